/** What a session's start is decided from: the repository, its branch, the image, what is known of cold starts. Starts nothing. */
import { defaultSessionSettings, imageScopeOf, type RepositoryRef } from "@open-inspect/protocol";
import { createSessions, noHistory, type StartFacts } from "../adapters/d1/sessions.ts";
import { createLog } from "../adapters/log.ts";
import { gitHubOf } from "../compose.ts";
import { selectImage } from "../domain/image-selection.ts";
import { type SessionOrder } from "../domain/session-state.ts";
import { type Env, readConfig } from "../env.ts";
import { newAttempt } from "../objects/ids.ts";
import { findRepository, syncRepositories } from "../repository-sync.ts";
import { ApiError, gitHubUnavailable, repositoryNotFound } from "./errors.ts";

const log = createLog({ part: "sessions" });
const titleLength = 80;

/** Whoever starts a session: a request, or the object of a session whose agent asks for another one. */
export interface StartCaller {
  env: Env;
  executionCtx: { waitUntil(work: Promise<unknown>): void };
}

/** Everything that the start is decided from. A repository that is not known yet may be new on GitHub. */
export async function readStart(c: StartCaller, ref: RepositoryRef): Promise<StartFacts> {
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
async function withoutDatabase(c: StartCaller, ref: RepositoryRef): Promise<StartFacts> {
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
export async function branchOf(c: StartCaller, { target }: StartFacts, wanted: string | undefined): Promise<string> {
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

export const titleOf = (prompt: string | undefined, repository: string): string => {
  const line = prompt?.split("\n", 1)[0]?.trim() ?? "";
  if (line === "") return repository;
  return line.length > titleLength ? `${line.slice(0, titleLength - 1)}…` : line;
};

/** What a session's object is asked for: the image is chosen here. @param wanted the branch that was asked for by its name */
export function orderOf(
  c: StartCaller,
  { target, selection: found, history, settings }: StartFacts,
  asked: Pick<SessionOrder, "id" | "branch" | "model" | "title" | "author" | "acceptedAt"> & { wanted: string | undefined },
): SessionOrder {
  const { MODELS, SESSION_START_LIMIT_MS } = readConfig(c.env);
  const { owner, name, cloneUrl, installationId } = target;
  const { id, branch, model, title, author, acceptedAt, wanted } = asked;
  const selection = selectImage(found, branch, acceptedAt);
  return {
    ...{ id, branch, model, title, author, acceptedAt, history },
    repository: { owner, name, cloneUrl, installationId },
    isDefaultBranch: wanted === undefined,
    models: MODELS,
    parentId: null,
    reserved: null,
    image: selection.kind === "image" ? selection.image : null,
    cold: selection.kind === "cold" ? selection.reason : null,
    attempts: [newAttempt(), newAttempt()],
    startLimitMs: SESSION_START_LIMIT_MS,
    idleStopMs: settings.idleStopMinutes * 60_000,
  };
}
