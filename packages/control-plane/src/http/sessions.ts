/** `/api/sessions`: start one, list them, look at one, stop it, watch it. */
import {
  createSessionRequestSchema,
  defaultSessionSettings,
  imageScopeOf,
  type RepositoryRef,
  type SessionList,
  sessionIdSchema,
} from "@open-inspect/protocol";
import { type Context, Hono } from "hono";
import { createSessions, noHistory, type StartFacts } from "../adapters/d1/sessions.ts";
import { createLog } from "../adapters/log.ts";
import { gitHubOf } from "../compose.ts";
import { selectImage } from "../domain/image-selection.ts";
import { readConfig } from "../env.ts";
import { newAttempt, newId } from "../objects/ids.ts";
import { findRepository, syncRepositories } from "../repository-sync.ts";
import { type App } from "./app-types.ts";
import { ApiError, gitHubUnavailable, repositoryNotFound } from "./errors.ts";
import { readAfter, requireUpgrade, upgradeRequest } from "./upgrade.ts";
import { parse, readJson } from "./validation.ts";

const log = createLog({ part: "sessions" });
const titleLength = 80;

const idOf = (c: Context<App>): string => parse(sessionIdSchema, c.req.param("id"), "session id", "session_not_found");
const notFound = (id: string): ApiError =>
  new ApiError("session_not_found", `There is no session ${id}.`, "GET /api/sessions lists them.");

const modelNotAllowed = (model: string, allowed: readonly string[]): ApiError =>
  new ApiError("model_not_allowed", `This installation does not offer the model ${model}.`, `Use one of ${allowed.join(", ")}.`);

/** Everything that the start is decided from. A repository that is not known yet may be new on GitHub. */
async function startFacts(c: Context<App>, ref: RepositoryRef): Promise<StartFacts> {
  const sessions = createSessions(c.env.DB);
  const { RUNTIME_FLOOR: floor } = readConfig(c.env);
  try {
    const facts = await sessions.startFacts(ref, floor);
    if (facts && facts.target.branch !== null) return facts;
    if (facts) {
      // It had no branch when the list was read; its first push may have come since.
      await syncRepositories(c.env, { force: true, background: (work) => c.executionCtx.waitUntil(work) });
      return (await sessions.startFacts(ref, floor)) ?? facts;
    }
    const found = await findRepository(c.env, ref, (work) => c.executionCtx.waitUntil(work));
    const fresh = found && (await sessions.startFacts(ref, floor));
    if (fresh) return fresh;
  } catch (error) {
    log.error("start.lookup_failed", { error });
    return withoutDatabase(c, ref);
  }
  throw repositoryNotFound(ref.owner, ref.name);
}

/** The database does not answer: GitHub knows the repository, and the start is cold. */
async function withoutDatabase(c: Context<App>, ref: RepositoryRef): Promise<StartFacts> {
  const listed = await gitHubOf(readConfig(c.env)).listRepositories();
  if (!listed.ok) throw gitHubUnavailable(listed.error);
  const known = listed.value.repositories.find((one) => imageScopeOf(one) === imageScopeOf(ref));
  if (!known) throw repositoryNotFound(ref.owner, ref.name);
  return {
    target: { ...known, branch: known.defaultBranch },
    selection: null,
    history: noHistory,
    settings: defaultSessionSettings,
  };
}

/** The default branch is taken at its word, because the look-up would delay the start; any other one is asked for first. */
async function branchOf(c: Context<App>, { target }: StartFacts, wanted: string | undefined): Promise<string> {
  const branch = wanted ?? target.branch;
  if (branch === null) {
    throw new ApiError(
      "repository_empty",
      `${target.owner}/${target.name} has no branch yet.`,
      "Push a first commit, then start a session.",
    );
  }
  if (branch === target.branch) return branch;
  const head = await gitHubOf(readConfig(c.env)).branchHead(target, target.installationId, branch);
  if (!head.ok && head.error.kind === "not_found") {
    throw new ApiError(
      "branch_not_found",
      `${target.owner}/${target.name} has no branch ${branch}.`,
      "Push it first, or pick another one.",
    );
  }
  if (!head.ok) log.warn("branch.unchecked", { branch, cause: head.error.message });
  return branch;
}

const titleOf = (prompt: string | undefined, repository: string): string => {
  const line = prompt?.split("\n", 1)[0]?.trim() ?? "";
  if (line === "") return repository;
  return line.length > titleLength ? `${line.slice(0, titleLength - 1)}…` : line;
};

export const sessions = new Hono<App>()
  .post("/", async (c) => {
    const acceptedAt = Date.now();
    const { repository, branch: wanted, prompt, model } = await readJson(c, createSessionRequestSchema);
    const { MODELS, SESSION_START_LIMIT_MS } = readConfig(c.env);
    if (model !== undefined && !MODELS.includes(model)) throw modelNotAllowed(model, MODELS);
    const facts = await startFacts(c, repository);
    const branch = await branchOf(c, facts, wanted);
    const { owner, name, cloneUrl, installationId } = facts.target;
    const selection = selectImage(facts.selection, branch, acceptedAt);
    const id = newId("session", acceptedAt);
    const { view, controlPlaneMs } = await c.env.SESSIONS.getByName(id).create(
      {
        id,
        repository: { owner, name, cloneUrl, installationId },
        branch,
        isDefaultBranch: wanted === undefined,
        model: model ?? null,
        title: titleOf(prompt, `${owner}/${name}`),
        acceptedAt,
        image: selection.kind === "image" ? selection.image : null,
        cold: selection.kind === "cold" ? selection.reason : null,
        history: facts.history,
        attempts: [newAttempt(), newAttempt()],
        startLimitMs: SESSION_START_LIMIT_MS,
      },
      prompt === undefined ? null : { id: newId("prompt", acceptedAt), text: prompt },
    );
    if (controlPlaneMs !== null) c.header("server-timing", `control-plane;dur=${controlPlaneMs}`);
    return c.json(view, 201);
  })
  .get("/", async (c) => c.json({ sessions: await createSessions(c.env.DB).list(), next: null } satisfies SessionList))
  .get("/:id", async (c) => {
    const id = idOf(c);
    const found = await c.env.SESSIONS.getByName(id).view();
    if (!found) throw notFound(id);
    if (found.controlPlaneMs !== null) c.header("server-timing", `control-plane;dur=${found.controlPlaneMs}`);
    return c.json(found.view);
  })
  .post("/:id/stop", async (c) => {
    const id = idOf(c);
    const view = await c.env.SESSIONS.getByName(id).stop();
    if (!view) throw notFound(id);
    return c.json(view);
  })
  .get("/:id/events", async (c) => {
    requireUpgrade(c);
    const id = idOf(c);
    const after = readAfter(c);
    const object = c.env.SESSIONS.getByName(id);
    if (!(await object.view())) throw notFound(id);
    return object.fetch(upgradeRequest(`/events?after=${after}`));
  });
