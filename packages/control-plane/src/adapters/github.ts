/**
 * GitHub through octokit: the App's JWT, installation tokens kept until shortly before they end, repositories, branches and heads.
 * Every failure is classified once. Knows nothing of builds; a call is one try with one deadline.
 */
import { type RepositoryRef, shaSchema } from "@open-inspect/protocol";
import { App, Octokit, RequestError } from "octokit";
import { deadlines, limits } from "../domain/deadlines.ts";
import {
  type GitHub,
  type GitHubFailure,
  type GitHubResult,
  type KnownRepository,
  type RepositoryHead,
} from "../domain/ports.ts";

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

/** octokit's own waiting is switched off: retries are owed effects of the objects, with their own limits. */
const PlainOctokit = Octokit.defaults({ throttle: { enabled: false }, retry: { enabled: false } });

const pageSize = 100;
const pagesMax = 200;

export function createGitHub(options: GitHubOptions): GitHub {
  const { baseUrl, appId, privateKey, webhookSecret, now } = options;
  const request = { fetch: fetchWithin(deadlines.githubRequestMs) };
  const quiet = { debug() {}, info() {}, warn() {}, error() {} };
  const clientOptions = { baseUrl, request, log: quiet };
  const app = new App({
    appId,
    privateKey,
    webhooks: { secret: webhookSecret },
    Octokit: PlainOctokit.defaults(clientOptions),
    log: quiet,
  });
  const asInstallation = async (installationId: number): Promise<Octokit> =>
    new PlainOctokit({ ...clientOptions, auth: await installationToken(installationId, null) });

  async function installationToken(installationId: number, repository: RepositoryRef | null): Promise<string> {
    const key = `${baseUrl} ${appId} ${installationId} ${repository ? `${repository.owner}/${repository.name}`.toLowerCase() : "*"}`;
    const known = tokenCache.get(key);
    if (known && known.expiresAt - tokenSpareMs > now()) return known.token;
    const { data } = await app.octokit.rest.apps.createInstallationAccessToken({
      installation_id: installationId,
      ...(repository ? { repositories: [repository.name], permissions: { contents: "read" } } : {}),
    });
    if (tokenCache.size >= tokenCacheMax) tokenCache.clear();
    tokenCache.set(key, { token: data.token, expiresAt: Date.parse(data.expires_at) });
    return data.token;
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

  async function repositoriesOf(installationId: number): Promise<KnownRepository[]> {
    const octokit = await asInstallation(installationId);
    const found: KnownRepository[] = [];
    const maybeEmpty: KnownRepository[] = [];
    for (let page = 1; page <= pagesMax; page++) {
      const { data } = await octokit.rest.apps.listReposAccessibleToInstallation({ per_page: pageSize, page });
      for (const repository of data.repositories) {
        const known: KnownRepository = {
          owner: repository.owner.login,
          name: repository.name,
          defaultBranch: repository.default_branch || null,
          private: repository.private,
          cloneUrl: repository.clone_url,
          installationId,
        };
        found.push(known);
        if (repository.size === 0) maybeEmpty.push(known);
      }
      if (data.repositories.length < pageSize) break;
    }
    // GitHub names a default branch even where no commit is; `size` is in KiB, so only small ones have to be asked for.
    for (let index = 0; index < maybeEmpty.length; index += limits.headsPerRequest) {
      const some = maybeEmpty.slice(index, index + limits.headsPerRequest);
      const heads = await readHeads(octokit, some);
      for (const known of some) {
        const head = heads.find((one) => one.repository === known);
        if (head) known.defaultBranch = head.defaultBranch;
      }
    }
    return found;
  }

  async function listRepositories(): Promise<KnownRepository[]> {
    const found: KnownRepository[] = [];
    for (let page = 1; page <= pagesMax; page++) {
      const { data } = await app.octokit.rest.apps.listInstallations({ per_page: pageSize, page });
      for (const installation of data) {
        if (!installation.suspended_at) found.push(...(await repositoriesOf(installation.id)));
      }
      if (data.length < pageSize) break;
    }
    return found;
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
      attempt(async () => readHeads(await asInstallation(installationId), repositories)),
    readToken: (repository, installationId) =>
      attempt(async () => ({ token: await installationToken(installationId, repository) })),
    verifyWebhook: (body, signature) => app.webhooks.verify(body, signature),
    ping: () => attempt(async () => void (await app.octokit.rest.apps.listInstallations({ per_page: 1 }))),
  };
}

/**
 * A fetch with a deadline for the whole answer. The timer is cleared: one that is left running, as AbortSignal.timeout leaves it,
 * keeps the Durable Object that asked from hibernating.
 */
function fetchWithin(limitMs: number): (url: string, init: RequestInit) => Promise<Response> {
  return async (url, init) => {
    const controller = new AbortController();
    const timer = setTimeout(() => controller.abort(new Error(`GitHub did not answer within ${limitMs} ms`)), limitMs);
    try {
      const response = await fetch(url, { ...init, signal: controller.signal });
      const empty = response.status === 204 || response.status === 304;
      return new Response(empty ? null : await response.arrayBuffer(), response);
    } finally {
      clearTimeout(timer);
    }
  };
}

type HeadAnswer = Record<
  string,
  { name: string; owner: { login: string }; defaultBranchRef: { name: string; target: { oid: string } | null } | null } | null
>;

/** One GraphQL request with an alias per repository. A repository that is gone comes back as null beside an error. */
async function readHeads(octokit: Octokit, repositories: readonly RepositoryRef[]): Promise<RepositoryHead[]> {
  const parameters = repositories.map((_, index) => `$o${index}: String!, $n${index}: String!`).join(", ");
  const fields = repositories.map(
    (_, index) =>
      `r${index}: repository(owner: $o${index}, name: $n${index}) { name owner { login } defaultBranchRef { name target { oid } } }`,
  );
  const variables = Object.fromEntries(
    repositories.flatMap(({ owner, name }, index) => [
      [`o${index}`, owner],
      [`n${index}`, name],
    ]),
  );
  const answer = await octokit
    .graphql<HeadAnswer>(`query heads(${parameters}) { ${fields.join(" ")} }`, variables)
    .catch((error: unknown) => {
      if (error instanceof Error && error.name === "GraphqlResponseError" && "data" in error && error.data) {
        return error.data as HeadAnswer;
      }
      throw error;
    });
  return repositories.flatMap((repository, index) => {
    const found = answer[`r${index}`];
    if (!found) return [];
    const sha = shaSchema.safeParse(found.defaultBranchRef?.target?.oid);
    return [{ repository, defaultBranch: found.defaultBranchRef?.name ?? null, sha: sha.success ? sha.data : null }];
  });
}

export function classify(error: unknown): GitHubFailure {
  const message = error instanceof Error ? error.message : String(error);
  if (!(error instanceof RequestError)) return { kind: "transient", message };
  const { status, response } = error;
  if (status === 404 || status === 410) return { kind: "not_found", message };
  const exhausted = response?.headers["x-ratelimit-remaining"] === "0" || response?.headers["retry-after"] !== undefined;
  if (status === 429 || (status === 403 && exhausted)) return { kind: "rate_limited", message };
  if (status === 401 || status === 403 || status === 422) return { kind: "unauthorized", message };
  return { kind: "transient", message };
}
