/** What becomes of a repository that GitHub has renamed, moved, archived or deleted: one rule each, whoever noticed it. Safe to repeat. */
import { imageScopeOf, type RepositoryRef } from "@open-inspect/protocol";
import { createHeadChecks } from "./adapters/d1/head-checks.ts";
import { createInstallations } from "./adapters/d1/installations.ts";
import { createRepositories } from "./adapters/d1/repositories.ts";
import { createSessionSettings } from "./adapters/d1/session-settings.ts";
import { type GitHubResult, type KnownRepository, type Log } from "./domain/ports.ts";
import { type Env } from "./env.ts";
import { tellPools } from "./pools.ts";

/** who switched on, as the first build under a new name says */
const renamedBy = "GitHub (renamed)";

interface LookUp {
  /** null when no more can be looked up now */
  lookUp(repository: RepositoryRef): Promise<Awaited<GitHubResult<KnownRepository>> | null>;
}

/**
 * Images belong to a name: the old one is switched off, the new one on, with the same settings. Images, pins and history stay with the
 * old name, whose images are kept as long as those of any repository that is switched off.
 */
export async function renameRepository(env: Env, from: string, to: KnownRepository): Promise<void> {
  const repositories = createRepositories(env.DB);
  await repositories.upsert([to], Date.now());
  const scope = imageScopeOf(to);
  if (scope === from) return;
  const old = await repositories.settingsOf(from);
  const target = { ...to, branch: to.defaultBranch };
  if (old?.settings) await env.IMAGES.getByName(scope).changeSettings(target, old.settings);
  await moveSessionSettings(env, from, scope);
  if (old?.enabled) {
    await env.IMAGES.getByName(scope).switchOn(target, null, renamedBy);
    await env.IMAGES.getByName(from).switchOff();
  }
  await repositories.markGone([from], Date.now());
}

/** What the new name has set already stays. The old one keeps no sandboxes. */
async function moveSessionSettings(env: Env, from: string, to: string): Promise<void> {
  const known = createSessionSettings(env.DB);
  const settings = await known.find(from);
  if (!settings) return;
  if (!(await known.find(to))) await env.POOLS.getByName(to).changeSettings(to, settings);
  if (settings.poolSize > 0) await env.POOLS.getByName(from).changeSettings(from, { ...settings, poolSize: 0 });
}

/**
 * GitHub has nothing under the old name, or something that is called otherwise.
 * @param name where to look for it
 * @returns whether the repository is gone, as far as its installation can say: one that was handed over to another owner is too
 */
export async function resolveMissing(env: Env, scope: string, name: RepositoryRef, from: LookUp, log: Log): Promise<boolean> {
  const found = await from.lookUp(name);
  const repositories = createRepositories(env.DB);
  if (found?.ok && imageScopeOf(found.value) !== scope) {
    log.info("repository.renamed", { from: scope, to: imageScopeOf(found.value) });
    await renameRepository(env, scope, found.value);
  } else if (found && !found.ok && found.error.kind === "not_found") {
    log.info("repository.gone", { scope });
    await loseRepositories(env, [scope]);
    return true;
  } else await repositories.markUnavailable([scope], Date.now());
  return false;
}

/** They are deleted, or cannot be seen any more: nothing stands ready for them. */
export async function loseRepositories(env: Env, scopes: readonly string[]): Promise<void> {
  await createRepositories(env.DB).markGone(scopes, Date.now());
  await tellPools(env, scopes);
}

/** Its repositories cannot be read until it is back; nothing else changes, and what they have goes on serving. */
export async function loseInstallation(env: Env, installationId: number): Promise<void> {
  await createInstallations(env.DB).lost(installationId, Date.now());
  await createHeadChecks(env.DB).saveUnavailable(installationId, "", Date.now());
}
