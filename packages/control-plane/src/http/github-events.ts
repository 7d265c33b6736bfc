/** What each of GitHub's events comes to. They are genuine and parsed; each is safe to take twice. */
import {
  type GithubPullRequestEvent,
  type GithubPush,
  type GithubRepositoryEvent,
  type githubAppAuthorizationSchema,
  type githubInstallationEventSchema,
  type githubInstallationRepositoriesSchema,
  imageScopeOf,
  shaSchema,
  type webhookAcceptedSchema,
} from "@open-inspect/protocol";
import { type z } from "zod";
import { createHeadChecks } from "../adapters/d1/head-checks.ts";
import { createHeadSightings } from "../adapters/d1/head-sightings.ts";
import { createInstallations } from "../adapters/d1/installations.ts";
import { createPeople } from "../adapters/d1/people.ts";
import { createRepositories } from "../adapters/d1/repositories.ts";
import { createSessionLinks } from "../adapters/d1/session-links.ts";
import { createTickRows } from "../adapters/d1/tick-rows.ts";
import { toPullFound } from "../adapters/github-pulls.ts";
import { gitHubOf } from "../compose.ts";
import { deadlines } from "../domain/deadlines.ts";
import { isIgnored } from "../domain/ignored-paths.ts";
import { type Target } from "../domain/image-scope-state.ts";
import { type Comparison, type KnownRepository } from "../domain/ports.ts";
import { commitInfo, sightingOf } from "../domain/sightings.ts";
import { planCheck } from "../domain/tick-plan.ts";
import { type Env, readConfig } from "../env.ts";
import { loseInstallation, loseRepositories, renameRepository } from "../repository-changes.ts";
import { syncRepositories } from "../repository-sync.ts";
import { recordChecks } from "../scheduler/record.ts";

export type Accepted = z.infer<typeof webhookAcceptedSchema>;
const accepted = (reason: string): Accepted => ({ accepted: true, reason });
const ignored = (reason: string): Accepted => ({ accepted: false, reason });

/** commits that a push names at most; with as many there may be more */
const pushedCommitsMax = 2_048;

/** @param at when the push arrived here */
export async function takePush(env: Env, push: GithubPush, at: number): Promise<Accepted> {
  const head = shaSchema.safeParse(push.after);
  const branch = push.repository.default_branch;
  if (push.ref !== `refs/heads/${branch}`) return ignored("not the default branch");
  if (push.deleted || !head.success) return ignored("the branch was deleted");
  const { name, owner, pushed_at: pushedAt } = push.repository;
  const known = createRepositories(env.DB);
  const found = await known.find({ owner: owner.login, name });
  if (!found) return ignored("the repository is not known");
  if (!found.view.image.enabled) return ignored("pre-built images are switched off for the repository");
  const target = { ...found.target, branch };
  const scope = imageScopeOf(target);
  if (found.target.branch !== branch) await known.setDefaultBranch(scope, branch);
  const { head_commit: named } = push;
  const said = named?.id === head.data ? named : null;
  const commit = said && commitInfo({ author: said.author.name, login: said.author.username ?? null, message: said.message });
  const sighting = { scope, sha: head.data, commit, at, pushedAt: typeof pushedAt === "number" ? pushedAt * 1_000 : null };
  await createHeadSightings(env.DB).save([sightingOf("push", sighting)]);
  if (await skipsIgnored(env, { push, target, sha: head.data, at })) return accepted("only ignored paths changed");
  const build = await env.IMAGES.getByName(scope).trigger("push", target, head.data, null);
  return accepted(build ? `build ${build.id}` : "nothing to build");
}

/** True when nothing that the image depends on was pushed; the check is written then. */
async function skipsIgnored(
  env: Env,
  { push, target, sha, at }: { push: GithubPush; target: Target & { branch: string }; sha: string; at: number },
): Promise<boolean> {
  const row = await createTickRows(env.DB).find(imageScopeOf(target));
  if (!row || (row.ignorePaths?.length ?? 0) === 0) return false;
  const config = readConfig(env);
  const head = { branch: target.branch, sha, archived: false };
  const plan = planCheck(row, head, config.RUNTIME_FLOOR, at);
  if (plan.do !== "compare") return plan.do === "record" && plan.outcome === "ignored_paths";
  const known = push.before === plan.base ? comparisonOf(push) : null;
  const asked = known ? null : await gitHubOf(config).compare(target.installationId, target, plan.base, sha);
  const comparison = known ?? (asked?.ok ? asked.value : null);
  if (!comparison || !isIgnored(comparison, row.ignorePaths ?? [])) return false;
  await recordChecks(env, [{ row, head, outcome: "ignored_paths" }], at, at);
  return true;
}

/** What a push itself says of the files that it changes; null where it may not say all: a merge names no files. */
function comparisonOf({ commits, forced }: GithubPush): Comparison | null {
  if (forced || !commits || commits.length === 0 || commits.length >= pushedCommitsMax) return null;
  const paths = commits.map(({ added = [], removed = [], modified = [] }) => [...added, ...removed, ...modified]);
  return paths.some((some) => some.length === 0) ? null : { isAhead: true, paths: paths.flat() };
}

export async function takeRepositoryEvent(env: Env, event: GithubRepositoryEvent): Promise<Accepted> {
  const { action, repository, changes, installation } = event;
  const repositories = createRepositories(env.DB);
  const now = Date.now();
  const ref = { owner: repository.owner.login, name: repository.name };
  const scope = imageScopeOf(ref);
  const known: KnownRepository | null = installation
    ? {
        ...ref,
        defaultBranch: repository.default_branch ?? null,
        private: repository.private,
        cloneUrl: repository.clone_url,
        installationId: installation.id,
        archived: repository.archived ?? false,
        githubId: repository.id,
      }
    : null;
  if (!known) return ignored("the event names no installation");
  switch (action) {
    case "renamed":
    case "transferred": {
      const { user, organization } = changes?.owner?.from ?? {};
      const owner = user?.login ?? organization?.login ?? ref.owner;
      const from = imageScopeOf({ owner, name: changes?.repository?.name.from ?? ref.name });
      await renameRepository(env, from, known);
      return accepted("the repository has another name");
    }
    case "archived":
    case "unarchived": {
      const row = await createTickRows(env.DB).find(scope);
      await repositories.setArchived([{ scope, archived: known.archived }]);
      if (row && known.archived) {
        await createHeadChecks(env.DB).save([{ scope, at: now, sha: row.seenSha ?? row.activeSha, outcome: "archived" }]);
      }
      return accepted(`the repository is ${action}`);
    }
    case "deleted":
      await loseRepositories(env, [scope]);
      return accepted("the repository is gone");
    case "privatized":
    case "publicized":
    case "edited":
    case "created":
      await repositories.upsert([known], now);
      return accepted("the repository is known anew");
    default:
      return ignored("nothing is done about such events");
  }
}

/** A session shows what becomes of its pull request. */
export async function takePullRequestEvent(env: Env, event: GithubPullRequestEvent): Promise<Accepted> {
  const { number, pull_request: pull, repository } = event;
  const key = `${repository.owner.login}/${repository.name}#${number}`.toLowerCase();
  const ids = await createSessionLinks(env.DB).byPullRequest(key);
  const found = toPullFound(number, pull);
  await Promise.all(ids.map((id) => env.SESSIONS.getByName(id).hearPullRequest(found)));
  return ids.length === 0 ? ignored("no session opened the pull request") : accepted("the session is told");
}

/** The event may be older than a login: GitHub is asked with the person's next request. */
export async function takeAppAuthorization(
  env: Env,
  { action, sender }: z.infer<typeof githubAppAuthorizationSchema>,
  at: number,
): Promise<Accepted> {
  if (action !== "revoked") return ignored("nothing is done about such events");
  await createPeople(env.DB).doubt(sender.id, at - deadlines.accessHoldsMs);
  return accepted("the person is asked after");
}

export async function takeInstallationEvent(
  env: Env,
  { action, installation: { id } }: z.infer<typeof githubInstallationEventSchema>,
  at: number,
): Promise<Accepted> {
  switch (action) {
    case "deleted":
    case "suspend":
      await loseInstallation(env, id);
      // Who may be here is known by what of the installations they may access.
      await createPeople(env.DB).doubt(null, at - deadlines.accessHoldsMs);
      return accepted("the installation is lost");
    case "unsuspend":
    case "created":
      await createInstallations(env.DB).found(id);
      return accepted("the installation is there");
    default:
      return ignored("nothing is done about such events");
  }
}

export async function takeInstallationRepositories(
  env: Env,
  { action, repositories_removed: removed }: z.infer<typeof githubInstallationRepositoriesSchema>,
  background: (work: Promise<unknown>) => void,
): Promise<Accepted> {
  if (action === "removed") {
    const scopes = removed.map(({ full_name: fullName }) => `repo:${fullName.toLowerCase()}`);
    await loseRepositories(env, scopes);
    return accepted(`${scopes.length} repositories are gone`);
  }
  // The event does not say all that has to be known of new ones.
  background(syncRepositories(env, { force: true, background }));
  return accepted("the repositories are read again");
}
