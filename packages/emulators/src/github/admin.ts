/**
 * The emulator's own routes below /__emulator: repositories, installations, people, commits, failure injection, counts and webhook deliveries.
 * No part of GitHub. Guarded by a token where one is set; never answers a web page.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { branchSchema } from "@open-inspect/protocol";
import { type Context, Hono } from "hono";
import { HTTPException } from "hono/http-exception";
import { z } from "zod";
import { type Changes, installationChangeSchema, repositoryChangeSchema } from "./changes.ts";
import { type WriteCommit } from "./commit-writer.ts";
import { type Faults, faultSchema } from "./faults.ts";
import { readJson } from "./json-body.ts";
import { type People, type Person } from "./people.ts";
import { owningPerson, type Pulls } from "./pulls.ts";
import { type AddRepository, type Repositories, type Repository } from "./repositories.ts";
import { type Account, type PullRecord } from "./state.ts";
import { type UserTokens } from "./user-tokens.ts";
import { type Webhooks } from "./webhooks.ts";

export const adminPrefix = "/__emulator";
const bodyMaxBytes = 64 * 1024 * 1024;

const addSchema = z.strictObject({
  owner: z.string(),
  name: z.string(),
  private: z.boolean().optional(),
  archived: z.boolean().optional(),
  defaultBranch: z.string().optional(),
  fromPath: z.string().optional(),
  fromTree: z.string().optional(),
  empty: z.literal(true).optional(),
});
const lifetimeSchema = z.strictObject({ accessTokenLifetimeSeconds: z.number().int().min(1).max(86_400) });
const commitSchema = z.strictObject({
  branch: branchSchema.optional(),
  message: z.string().min(1).max(65_536),
  /** null removes the file; a path ending in `.sh` becomes executable */
  files: z.record(z.string().min(1).max(4096), z.string().nullable()),
});

export function createAdmin<View extends object>(ports: {
  adminToken: string | null;
  faults: Faults;
  webhooks: Webhooks;
  repositories: Repositories;
  addRepository: (request: AddRepository) => Promise<View>;
  view: (repository: Repository) => Promise<View>;
  changes: Changes;
  people: People;
  userTokens: UserTokens;
  pulls: Pulls;
  mergePull: (repository: Repository, pull: PullRecord) => Promise<void>;
  writeCommit: WriteCommit;
}) {
  const admin = new Hono().basePath(adminPrefix);
  const fail = (status: 400 | 401 | 403 | 404 | 409 | 429, message: string) =>
    new HTTPException(status, { res: Response.json({ message }, { status }) });
  const digest = (text: string) => createHash("sha256").update(text).digest();
  const parse = async <T>(c: Context, schema: z.ZodType<T>): Promise<T> => {
    // A page of another origin can send other types without asking first.
    if (!/^application\/json\b/.test(c.req.header("content-type") ?? "")) throw fail(400, "The body must be application/json.");
    const body = await readJson(c, bodyMaxBytes);
    if ("refused" in body) throw fail(400, `The body is ${body.refused}.`);
    const parsed = schema.safeParse(body.json);
    if (!parsed.success) throw fail(400, z.prettifyError(parsed.error));
    return parsed.data;
  };

  admin.use(async (c, next) => {
    if (c.req.header("origin") !== undefined) throw fail(403, "The emulator's own routes are not for web pages.");
    const given = c.req.header("x-emulator-token") ?? "";
    if (ports.adminToken !== null && !timingSafeEqual(digest(given), digest(ports.adminToken))) {
      throw fail(401, "Send the emulator's token in x-emulator-token.");
    }
    await next();
  });
  admin.onError((error) => {
    if (error instanceof HTTPException) return error.getResponse();
    return Response.json({ message: error.message }, { status: 400 });
  });

  admin.get("/faults", (c) => c.json({ faults: ports.faults.list() }));
  admin.post("/faults", async (c) => {
    const fault = await parse(c, faultSchema);
    if (!ports.faults.add(fault)) throw fail(429, "Too many faults are waiting: delete some first.");
    return c.json({ fault }, 201);
  });
  admin.delete("/faults", async (c) => {
    const typed = c.req.header("content-type") !== undefined;
    const { match } = typed ? await parse(c, z.object({ match: z.string().optional() }).default({})) : {};
    ports.faults.remove(match ?? null);
    return c.body(null, 204);
  });
  admin.get("/requests", (c) => c.json(ports.faults.counts()));
  admin.delete("/requests", (c) => {
    ports.faults.resetCounts();
    return c.body(null, 204);
  });
  admin.get("/deliveries", (c) => c.json({ deliveries: ports.webhooks.deliveries() }));
  admin.post("/deliveries/:id/redeliver", (c) => {
    if (!ports.webhooks.redeliver(c.req.param("id"))) throw fail(404, "There is no such delivery.");
    return c.body(null, 202);
  });

  admin.post("/repositories", async (c) => {
    const request = await parse(c, addSchema);
    // Whoever reaches the port could otherwise read any folder of this machine through a clone.
    if (ports.adminToken === null && (request.fromPath !== undefined || request.fromTree !== undefined)) {
      throw fail(403, "Local paths are taken only when the emulator has an admin token.");
    }
    const { owner, name, ...rest } = request;
    const given = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined));
    return c.json(await ports.addRepository({ owner, name, ...given }), 201);
  });
  const repositoryOf = (c: Context): Repository => {
    const repository = ports.repositories.find(c.req.param("owner") ?? "", c.req.param("name") ?? "");
    if (repository === null) throw fail(404, "There is no such repository.");
    return repository;
  };
  admin.patch("/repositories/:owner/:name", async (c) => {
    const changed = await ports.changes.changeRepository(repositoryOf(c), await parse(c, repositoryChangeSchema));
    return c.json(await ports.view(changed));
  });
  admin.delete("/repositories/:owner/:name", async (c) => {
    await ports.changes.deleteRepository(repositoryOf(c));
    return c.body(null, 204);
  });
  admin.post("/repositories/:owner/:name/commits", async (c) => {
    const repository = repositoryOf(c);
    const { branch, message, files } = await parse(c, commitSchema);
    const sha = await ports.writeCommit(repository, { branch: branch ?? repository.defaultBranch, message, files });
    return c.json({ sha }, 201);
  });

  const pullChangeSchema = z.union([
    z.strictObject({ merged: z.literal(true) }),
    z.strictObject({ draft: z.boolean() }),
    z.strictObject({ state: z.enum(["open", "closed"]) }),
  ]);
  const pullView = ({ number, title, state, draft, head, base, headSha, mergeSha }: PullRecord) => {
    return { number, title, state, draft, head, base, headSha, mergeSha };
  };
  admin.get("/repositories/:owner/:name/pulls", (c) => c.json({ pulls: ports.pulls.list(repositoryOf(c)).map(pullView) }));
  // What a person does on the pull request's page.
  admin.patch("/repositories/:owner/:name/pulls/:number", async (c) => {
    const repository = repositoryOf(c);
    const pull = ports.pulls.find(repository, Number(c.req.param("number")));
    if (pull === null) throw fail(404, "There is no such pull request.");
    const change = await parse(c, pullChangeSchema);
    if ("merged" in change) await ports.mergePull(repository, pull);
    else if ("draft" in change) await ports.pulls.setDraft(repository, pull, change.draft);
    else {
      const outcome = await ports.pulls.change(repository, pull, change, owningPerson);
      if ("refused" in outcome) throw fail(409, "message" in outcome.refused ? outcome.refused.message : "It cannot be.");
    }
    return c.json(pullView(pull));
  });

  const accountOf = (c: Context): Account => {
    const account = ports.repositories.findAccount(c.req.param("login") ?? "");
    if (account === null) throw fail(404, "There is no such account.");
    return account;
  };
  admin.post("/accounts/:login/installation", async (c) => {
    await ports.changes.install(accountOf(c));
    return c.body(null, 204);
  });
  admin.patch("/accounts/:login/installation", async (c) => {
    await ports.changes.suspend(accountOf(c), (await parse(c, installationChangeSchema)).suspended);
    return c.body(null, 204);
  });
  admin.delete("/accounts/:login/installation", async (c) => {
    await ports.changes.uninstall(accountOf(c));
    return c.body(null, 204);
  });

  const accessSchema = z.strictObject({
    /** without a name: all of the owner's */
    access: z.array(z.strictObject({ owner: z.string(), name: z.string().nullable().default(null), push: z.boolean() })).max(100),
  });
  const personView = ({ account, name, email, access }: Person) => {
    const nameOf = (id: number | null) => ports.repositories.list().find((entry) => entry.id === id)?.name ?? null;
    const granted = access.map(({ owner, repositoryId, push }) => ({ owner, name: nameOf(repositoryId), push }));
    return { id: account.id, login: account.login, name, email, access: granted };
  };
  const personOf = (c: Context): Person => {
    const person = ports.people.find(c.req.param("login") ?? "");
    if (person === null) throw fail(404, "There is no such person.");
    return person;
  };
  admin.get("/people", (c) => c.json({ people: ports.people.list().map(personView) }));
  admin.put("/people/:login/access", async (c) => {
    const person = personOf(c);
    const { access } = await parse(c, accessSchema);
    const granted = access.map(({ owner, name, push }) => {
      const repository = name === null ? null : ports.repositories.find(owner, name);
      if (name !== null && repository === null) throw fail(404, `There is no repository ${owner}/${name}.`);
      return { owner, repositoryId: repository?.id ?? null, push };
    });
    await ports.people.setAccess(person, granted);
    return c.json(personView(personOf(c)));
  });
  // The person takes the authorization back in GitHub's settings.
  admin.delete("/people/:login/tokens", async (c) => {
    await ports.changes.revokeAuthorization(personOf(c));
    return c.body(null, 204);
  });
  // As if eight hours had passed.
  admin.patch("/people/:login/tokens", async (c) => {
    const person = personOf(c);
    await parse(c, z.strictObject({ expired: z.literal(true) }));
    await ports.userTokens.expireAll(person.accountId);
    return c.body(null, 204);
  });
  admin.patch("/login", async (c) => {
    const { accessTokenLifetimeSeconds } = await parse(c, lifetimeSchema);
    ports.userTokens.setAccessLifetime(accessTokenLifetimeSeconds * 1000);
    return c.body(null, 204);
  });

  admin.put("/webhook", async (c) => {
    ports.webhooks.setUrl((await parse(c, z.strictObject({ url: z.url().nullable() }))).url);
    return c.body(null, 204);
  });
  return admin;
}
