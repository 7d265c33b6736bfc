/**
 * GitHub through octokit: the App's JWT, installation tokens kept until shortly before they end, repositories, branches and heads.
 * Every failure is classified once. Knows nothing of builds; a call is one try with one deadline.
 */
import { type RepositoryRef } from "@open-inspect/protocol";
import { App, type Octokit, RequestError } from "octokit";
import { type Allowance, mergeAllowances, readAllowance, unknownAllowance } from "../domain/allowance.ts";
import { deadlines, limits } from "../domain/deadlines.ts";
import {
  type GitHub,
  type GitHubFailure,
  type GitHubResult,
  type KnownRepositories,
  type KnownRepository,
  type RatedResult,
} from "../domain/ports.ts";
import { fetchWithin, PlainOctokit, quiet } from "./github-client.ts";
import { openPull, readPull } from "./github-pulls.ts";
import { compareCommits, headUnlessKnown, isRateLimitedAnswer, readHeads } from "./github-reads.ts";

export interface GitHubOptions {
  baseUrl: string;
  appId: string;
  /** PEM, PKCS#8 */
  privateKey: string;
  webhookSecret: string;
  now: () => number;
}

/** A token must outlive the clone that it is for. */
const tokenSpareMs = 15 * 60_000;
const tokenCacheMax = 1_000;
/** Strings only, so sharing between the requests of an isolate is safe; a pending promise would belong to one of them. */
const tokenCache = new Map<string, { token: string; expiresAt: number }>();

type TokenPermissions = Partial<Record<"contents" | "pull_requests", "read" | "write">>;

const pageSize = 100;
const pagesMax = 200;

export function createGitHub(options: GitHubOptions): GitHub {
  const { baseUrl, appId, privateKey, webhookSecret, now } = options;
  const request = { fetch: fetchWithin(deadlines.githubRequestMs) };
  const keyOf = (installationId: number, repository: RepositoryRef | null): string =>
    `${baseUrl} ${appId} ${installationId} ${repository ? `${repository.owner}/${repository.name}`.toLowerCase() : "*"}`;
  const clientOptions = { baseUrl, request, log: quiet };
  const app = new App({
    appId,
    privateKey,
    webhooks: { secret: webhookSecret },
    Octokit: PlainOctokit.defaults(clientOptions),
    log: quiet,
  });
  const asInstallation = async (installationId: number, heard?: (allowance: Allowance) => void): Promise<Octokit> => {
    const auth = await installationToken(installationId, null);
    if (!heard) return new PlainOctokit({ ...clientOptions, auth });
    const listening = async (url: string, init: RequestInit) => {
      const response = await request.fetch(url, init);
      heard(readAllowance((name) => response.headers.get(name), response.status, now()));
      return response;
    };
    return new PlainOctokit({ ...clientOptions, request: { fetch: listening }, auth });
  };

  /** A token that nobody else has, of one repository or of the whole installation. */
  async function newToken(installationId: number, repository: RepositoryRef | null, permissions: TokenPermissions) {
    const asked = app.octokit.rest.apps.createInstallationAccessToken({
      installation_id: installationId,
      ...(repository ? { repositories: [repository.name], permissions } : {}),
    });
    const { data } = await asked.catch((error: unknown) => {
      const { kind, message } = classify(error);
      if (repository === null && (kind === "not_found" || kind === "unauthorized")) throw new InstallationLost(message);
      throw error;
    });
    return data;
  }

  async function installationToken(installationId: number, repository: RepositoryRef | null): Promise<string> {
    const key = keyOf(installationId, repository);
    const known = tokenCache.get(key);
    if (known && known.expiresAt - tokenSpareMs > now()) return known.token;
    const data = await newToken(installationId, repository, { contents: "read" });
    if (tokenCache.size >= tokenCacheMax) tokenCache.clear();
    tokenCache.set(key, { token: data.token, expiresAt: Date.parse(data.expires_at) });
    return data.token;
  }

  /** For one pull request: rare enough to take a new token, of this repository alone, each time. */
  async function withPulls(installationId: number, repository: RepositoryRef): Promise<Octokit> {
    const { token } = await newToken(installationId, repository, { pull_requests: "write", contents: "read" });
    return new PlainOctokit({ ...clientOptions, auth: token });
  }

  async function attempt<T>(work: () => Promise<T>): GitHubResult<T> {
    try {
      return { ok: true, value: await work() };
    } catch (error) {
      const failure = classify(error);
      if (failure.kind === "unauthorized") tokenCache.clear();
      return { ok: false, error: failure };
    }
  }

  /** One request as an installation, with what every answer to it said of the rate limit. */
  async function rated<T>(installationId: number, work: (octokit: Octokit) => Promise<T>): RatedResult<T> {
    let allowance = unknownAllowance;
    const heard = (more: Allowance) => {
      allowance = mergeAllowances(allowance, more);
    };
    try {
      return { ok: true, value: await work(await asInstallation(installationId, heard)), allowance };
    } catch (error) {
      const failure = classify(error);
      if (failure.kind === "unauthorized") tokenCache.delete(keyOf(installationId, null));
      return { ok: false, error: failure, allowance };
    }
  }

  async function repositoriesOf(installationId: number): Promise<KnownRepository[]> {
    const octokit = await asInstallation(installationId);
    const found: KnownRepository[] = [];
    const maybeEmpty: KnownRepository[] = [];
    for (let page = 1; page <= pagesMax; page++) {
      const { data } = await octokit.rest.apps.listReposAccessibleToInstallation({ per_page: pageSize, page });
      for (const repository of data.repositories) {
        const known = toKnown(repository, installationId);
        found.push(known);
        if (repository.size === 0) maybeEmpty.push(known);
      }
      if (data.repositories.length < pageSize) break;
    }
    // GitHub names a default branch even where no commit is; `size` is in KiB, so only small ones have to be asked for.
    for (let index = 0; index < maybeEmpty.length; index += limits.headsPerRequest) {
      const some = maybeEmpty.slice(index, index + limits.headsPerRequest);
      const { heads } = await readHeads(octokit, some);
      for (const known of some) {
        const head = heads.find((one) => one.repository === known);
        if (head) known.defaultBranch = head.defaultBranch;
      }
    }
    return found;
  }

  async function listRepositories(): Promise<KnownRepositories> {
    const repositories: KnownRepository[] = [];
    const installationIds: number[] = [];
    for (let page = 1; page <= pagesMax; page++) {
      const { data } = await app.octokit.rest.apps.listInstallations({ per_page: pageSize, page });
      for (const installation of data) {
        if (installation.suspended_at) continue;
        installationIds.push(installation.id);
        repositories.push(...(await repositoriesOf(installation.id)));
      }
      if (data.length < pageSize) break;
    }
    return { repositories, installationIds };
  }

  return {
    listRepositories: () => attempt(listRepositories),
    listBranches: (repository, installationId, defaultBranch) =>
      attempt(async () => {
        const octokit = await asInstallation(installationId);
        const branches: { name: string; sha: string }[] = [];
        for (let page = 1; page <= 10; page++) {
          const { data } = await octokit.rest.repos.listBranches({
            owner: repository.owner,
            repo: repository.name,
            per_page: pageSize,
            page,
          });
          branches.push(...data.map((branch) => ({ name: branch.name, sha: branch.commit.sha })));
          if (data.length < pageSize) break;
        }
        const rank = (branch: { name: string }) => (branch.name === defaultBranch ? 0 : 1);
        return branches.sort((a, b) => rank(a) - rank(b));
      }),
    branchHead: (repository, installationId, branch) =>
      attempt(async () => {
        const octokit = await asInstallation(installationId);
        const { data } = await octokit.rest.repos.getBranch({ owner: repository.owner, repo: repository.name, branch });
        return data.commit.sha;
      }),
    readHeads: (installationId, repositories) =>
      rated(installationId, async (octokit) => (await readHeads(octokit, repositories)).heads),
    checkHeads: (installationId, repositories) => rated(installationId, (octokit) => readHeads(octokit, repositories)),
    headOf: (installationId, repository, branch, known) =>
      rated(installationId, (octokit) => headUnlessKnown(octokit, repository, branch, known)),
    compare: (installationId, repository, base, head) =>
      rated(installationId, (octokit) => compareCommits(octokit, repository, base, head)),
    findRepository: (installationId, { owner, name }) =>
      rated(installationId, async (octokit) =>
        toKnown((await octokit.rest.repos.get({ owner, repo: name })).data, installationId),
      ),
    readToken: (repository, installationId) =>
      attempt(async () => ({ token: await installationToken(installationId, repository) })),
    writeToken: (repository, installationId) =>
      attempt(async () => ({ token: (await newToken(installationId, repository, { contents: "write" })).token })),
    endToken: (token) =>
      attempt(
        async () => void (await new PlainOctokit({ ...clientOptions, auth: token }).rest.apps.revokeInstallationAccessToken()),
      ),
    openPull: (installationId, repository, ask) =>
      attempt(async () => openPull(await withPulls(installationId, repository), repository, ask)),
    openPullAs: (token, repository, ask) =>
      attempt(async () => openPull(new PlainOctokit({ ...clientOptions, auth: token }), repository, ask)),
    readPull: (installationId, repository, number) =>
      attempt(async () => readPull(await withPulls(installationId, repository), repository, number)),
    verifyWebhook: (body, signature) => app.webhooks.verify(body, signature),
    ping: () => attempt(async () => void (await app.octokit.rest.apps.listInstallations({ per_page: 1 }))),
  };
}

/** What of a repository in REST's answers and in webhooks is kept. */
interface RestRepository {
  id: number;
  name: string;
  owner: { login: string };
  default_branch?: string | null;
  private: boolean;
  clone_url: string;
  archived?: boolean;
}

const toKnown = (repository: RestRepository, installationId: number): KnownRepository => ({
  owner: repository.owner.login,
  name: repository.name,
  defaultBranch: repository.default_branch || null,
  private: repository.private,
  cloneUrl: repository.clone_url,
  installationId,
  archived: repository.archived ?? false,
  githubId: repository.id,
});

/** GitHub gives out no token for the installation. */
class InstallationLost extends Error {}

export function classify(error: unknown): GitHubFailure {
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof InstallationLost) return { kind: "lost", message };
  if (isRateLimitedAnswer(error)) return { kind: "rate_limited", message };
  if (!(error instanceof RequestError)) return { kind: "transient", message };
  const { status, response } = error;
  if (status === 404 || status === 410) return { kind: "not_found", message };
  const exhausted = response?.headers["x-ratelimit-remaining"] === "0" || response?.headers["retry-after"] !== undefined;
  if (status === 429 || (status === 403 && exhausted)) return { kind: "rate_limited", message };
  if (status === 401 || status === 403 || status === 422) return { kind: "unauthorized", message };
  return { kind: "transient", message };
}
