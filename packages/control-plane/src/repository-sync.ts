/** Keeps D1's list of repositories like GitHub's. When GitHub does not answer, D1's rows go on serving. */
import { type RepositoryRef } from "@open-inspect/protocol";
import { createInstallations } from "./adapters/d1/installations.ts";
import { createRepositories } from "./adapters/d1/repositories.ts";
import { createLog } from "./adapters/log.ts";
import { gitHubOf } from "./compose.ts";
import { deadlines } from "./domain/deadlines.ts";
import { type Env, readConfig } from "./env.ts";
import { loseInstallation, renameRepository } from "./repository-changes.ts";

const log = createLog({ part: "repository-sync" });

interface SyncOptions {
  /** reads GitHub now, however fresh the list is */
  force: boolean;
  background(work: Promise<unknown>): void;
}

/** A list that is a little old is served at once and renewed behind it; the first one is waited for. */
export async function syncRepositories(env: Env, { force, background }: SyncOptions): Promise<void> {
  const syncedAt = await createRepositories(env.DB).syncedAt();
  if (!force && Date.now() - syncedAt < deadlines.repositorySyncMs) return;
  const work = readFromGitHub(env);
  if (force || syncedAt === 0) await work;
  else background(work);
}

async function readFromGitHub(env: Env): Promise<void> {
  const startedAt = Date.now();
  const result = await gitHubOf(readConfig(env)).listRepositories();
  if (!result.ok) {
    log.warn("sync.failed", { kind: result.error.kind, message: result.error.message });
    return;
  }
  const known = createRepositories(env.DB);
  for (const { from, to } of await known.renamed(result.value.repositories)) await renameRepository(env, from, to);
  await known.save(result.value, startedAt);
  await noteLost(env, new Set(result.value.installationIds));
}

/** An installation that GitHub does not list, or that is suspended, is lost until it is listed again. */
async function noteLost(env: Env, listed: ReadonlySet<number>): Promise<void> {
  const installations = createInstallations(env.DB);
  const lost = new Set(await installations.lostIds());
  for (const id of await createRepositories(env.DB).installationIds()) {
    if (listed.has(id)) {
      if (lost.has(id)) await installations.found(id);
    } else if (!lost.has(id)) await loseInstallation(env, id);
  }
}

/** Looks in D1; a name that is not there may be new, so GitHub is asked once before it is called unknown. */
export async function findRepository(env: Env, ref: RepositoryRef, background: (work: Promise<unknown>) => void) {
  const known = createRepositories(env.DB);
  const found = await known.find(ref);
  if (found) return found;
  const age = Date.now() - (await known.syncedAt());
  if (age < newNamesMs) return null;
  await syncRepositories(env, { force: true, background });
  return known.find(ref);
}

/** unknown names cause at most one reading of GitHub in this time */
const newNamesMs = 2_000;
