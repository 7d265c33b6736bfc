/** REST routes of pull requests: open, list, read, change. Merging and drafts are the emulator's own routes. */
import { type Hono } from "hono";
import { z } from "zod";
import { type Decision } from "../access.ts";
import { accountOf, actorOf, printPull } from "../pull-event.ts";
import { type PullRefusal, type Pulls } from "../pulls.ts";
import { type Repository } from "../repositories.ts";
import { type PullRecord } from "../state.ts";
import {
  type ApiContext,
  type ApiEnv,
  type ApiPorts,
  apiError,
  linkPages,
  locate,
  movedTo,
  notAccessible,
  notFound,
  pageOf,
  requestJson,
} from "./answers.ts";
import { pullShape } from "./pull-shapes.ts";

const titleMax = 256;
const bodyMax = 65_536;
const createSchema = z.object({
  title: z.string().min(1).max(titleMax),
  head: z.string().min(1),
  base: z.string().min(1),
  body: z.string().max(bodyMax).nullish(),
  draft: z.boolean().default(false),
});
const changeSchema = z.object({
  title: z.string().min(1).max(titleMax).optional(),
  body: z.string().max(bodyMax).nullable().optional(),
  state: z.enum(["open", "closed"]).optional(),
});

export function addPullRoutes(api: Hono<ApiEnv>, ports: ApiPorts & { pulls: Pulls }): void {
  const { pulls } = ports;
  const open = (c: ApiContext, level: "read" | "write"): Repository => {
    const { repository, isHere } = locate(ports, c);
    const identity = c.get("identity");
    const decision: Decision = ports.access.mayUsePulls(identity, repository, level);
    if (decision === "hidden") throw notFound();
    if (decision === "denied") throw identity.kind === "anonymous" ? apiError(401, "Requires authentication") : notAccessible();
    if (!isHere) throw movedTo(ports, c, repository);
    if (level === "write" && repository.archived) throw apiError(403, "Repository was archived so is read-only.");
    return repository;
  };
  const found = (c: ApiContext, repository: Repository): PullRecord => {
    const pull = pulls.find(repository, Number(c.req.param("number")));
    if (pull === null) throw notFound();
    return pull;
  };
  const parse = async <T>(c: ApiContext, schema: z.ZodType<T>): Promise<T> => {
    const parsed = schema.safeParse(await requestJson(c));
    if (parsed.success) return parsed.data;
    const errors = parsed.error.issues.map(({ path, code }) => {
      return { resource: "PullRequest", field: path.join("."), code: code === "invalid_type" ? "missing_field" : "invalid" };
    });
    throw apiError(422, "Validation Failed", { errors });
  };
  const unprocessable = (refused: PullRefusal) =>
    apiError(422, "Validation Failed", { errors: [{ resource: "PullRequest", ...refused }] });
  const print = (repository: Repository, pull: PullRecord) => printPull(ports, repository, pull, true);
  /** `owner:branch` names a fork; here every repository is its own only fork. */
  const ownBranch = (repository: Repository, head: string): string | null => {
    const [owner, branch] = head.split(":");
    if (branch === undefined) return head;
    return owner?.toLowerCase() === repository.owner.login.toLowerCase() ? branch : null;
  };

  api.get("/repos/:owner/:repo/pulls", async (c) => {
    const repository = open(c, "read");
    const { state = "open", head, base, direction = "desc" } = c.req.query();
    let all = pulls.list(repository).filter((pull) => state === "all" || pull.state === state);
    // As on GitHub a head that does not name its owner filters nothing.
    if (head?.includes(":")) all = all.filter((pull) => pull.head === ownBranch(repository, head));
    if (base !== undefined) all = all.filter((pull) => pull.base === base);
    if (direction === "asc") all.reverse();
    const { skip, perPage } = pageOf(c);
    linkPages(ports, c, all.length);
    const shape = (pull: PullRecord) => pullShape(ports.url(), repository, pull, accountOf(ports, pull));
    return c.json(all.slice(skip, skip + perPage).map(shape));
  });
  api.post("/repos/:owner/:repo/pulls", async (c) => {
    const repository = open(c, "write");
    const { head: asked, body = null, ...rest } = await parse(c, createSchema);
    const head = ownBranch(repository, asked);
    if (head === null) throw unprocessable({ field: "head", code: "invalid" });
    const outcome = await pulls.open(repository, { ...rest, head, body, ...actorOf(c.get("identity")) });
    if ("refused" in outcome) throw unprocessable(outcome.refused);
    c.header("location", `${ports.url()}/repos/${repository.owner.login}/${repository.name}/pulls/${outcome.pull.number}`);
    return c.json(await print(repository, outcome.pull), 201);
  });
  api.get("/repos/:owner/:repo/pulls/:number{\\d+}", async (c) => {
    const repository = open(c, "read");
    return c.json(await print(repository, found(c, repository)));
  });
  api.patch("/repos/:owner/:repo/pulls/:number{\\d+}", async (c) => {
    const repository = open(c, "write");
    const pull = found(c, repository);
    const { title, body, state } = await parse(c, changeSchema);
    const change = {
      ...(title === undefined ? {} : { title }),
      ...(body === undefined ? {} : { body }),
      ...(state === undefined ? {} : { state }),
    };
    const outcome = await pulls.change(repository, pull, change, actorOf(c.get("identity")));
    if ("refused" in outcome) throw unprocessable(outcome.refused);
    return c.json(await print(repository, pull));
  });
}
