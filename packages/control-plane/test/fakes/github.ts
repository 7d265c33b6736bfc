/** The part of GitHub's API that the control plane calls, in memory. Runs in Node; the emulator that is checked against GitHub's description is a package of its own. */
import { createFakeLogin, type LoginOrder } from "./github-login.ts";
import { createFakePulls, type FakePull } from "./github-pulls.ts";
import { type Fetch } from "./world.ts";

export interface FakeRepository {
  owner: string;
  name: string;
  defaultBranch: string;
  branches: Record<string, string>;
  id?: number;
  archived?: boolean;
  /** the name that it had, which GitHub goes on answering */
  formerly?: string;
  /** what lies between any two commits of it */
  comparison?: { status: string; files: string[] };
}
export type GitHubOrder =
  | { do: "repositories"; repositories: FakeRepository[] }
  /** `only`: nothing but GraphQL is down */
  | { do: "down"; status: number | null; only?: "graphql"; headers?: Record<string, string> }
  | { do: "lost"; lost: boolean }
  /** the allowance that REST's comparisons speak of */
  | { do: "rest-rate"; remaining: number; resetAt: number }
  /** the allowance that GraphQL's answers speak of; each takes one off */
  | { do: "rate"; remaining: number; resetAt: number }
  /** what a person does at GitHub */
  | { do: "pull"; number: number; change: Partial<FakePull> }
  /** what creations are refused with; null: they are taken */
  | { do: "refuse_pulls"; message: string | null }
  | LoginOrder
  | { do: "state" };
export interface GitHubState {
  pulls: FakePull[];
  calls: string[];
  tokenBodies: unknown[];
  /** of people who log in */
  login: { refreshes: number; ended: string[]; tokens: string[] };
}

export const someSha = (digit: string): string => digit.repeat(40);

/** Every commit is written by the same person. */
const commitOf = (sha: string) => ({
  messageHeadline: `Commit ${sha.slice(0, 7)}`,
  author: { name: "Ada Lovelace", user: { login: "ada" } },
});

export function createFakeGitHub(): Fetch {
  let repositories: FakeRepository[] = [
    { owner: "Acme", name: "Shop", defaultBranch: "main", branches: { main: someSha("a"), feature: someSha("b") } },
    { owner: "acme", name: "empty", defaultBranch: "main", branches: {} },
  ];
  let down: { status: number; only?: "graphql"; headers?: Record<string, string> } | null = null;
  let isLost = false;
  let rate: { remaining: number; resetAt: number } | null = null;
  let restRate: { remaining: number; resetAt: number } | null = null;
  const calls: string[] = [];
  const tokenBodies: unknown[] = [];
  const pulls = createFakePulls();
  const login = createFakeLogin();

  const shape = ({ owner, name, defaultBranch, id, archived }: FakeRepository) => ({
    id: id ?? 1 + repositories.findIndex((one) => one.name === name),
    archived: archived ?? false,
    name,
    owner: { login: owner },
    default_branch: defaultBranch,
    private: false,
    size: 0,
    clone_url: `http://github.test/${owner}/${name}.git`,
  });
  const notFound = () => Response.json({ message: "Not Found" }, { status: 404 });
  const find = (owner: unknown, name: unknown) =>
    repositories.find((one) =>
      [`${one.owner}/${one.name}`, one.formerly].some((known) => known?.toLowerCase() === `${owner}/${name}`.toLowerCase()),
    );

  function heads(variables: Record<string, string>): Response {
    const data: Record<string, unknown> = {};
    const errors: unknown[] = [];
    for (let index = 0; `o${index}` in variables; index++) {
      const found = find(variables[`o${index}`], variables[`n${index}`]);
      const sha = found?.branches[found.defaultBranch];
      if (!found) errors.push({ type: "NOT_FOUND", path: [`r${index}`], message: "Could not resolve to a Repository" });
      data[`r${index}`] = found
        ? {
            name: found.name,
            owner: { login: found.owner },
            isArchived: found.archived ?? false,
            defaultBranchRef: sha ? { name: found.defaultBranch, target: { oid: sha, ...commitOf(sha) } } : null,
          }
        : null;
    }
    return Response.json(errors.length > 0 ? { data, errors } : { data });
  }

  return async (request) => {
    const url = new URL(request.url);
    if (url.pathname === "/__control") {
      const order = (await request.json()) as GitHubOrder;
      if (order.do === "repositories") repositories = order.repositories;
      if (order.do === "down") down = order.status === null ? null : { ...order, status: order.status };
      if (order.do === "rest-rate") restRate = order;
      if (order.do === "lost") isLost = order.lost;
      if (order.do === "rate") rate = order;
      if (order.do === "pull") pulls.change(order.number, order.change);
      if (order.do === "refuse_pulls") pulls.refuse(order.message);
      if (order.do === "person" || order.do === "revoke" || order.do === "tokens") login.take(order);
      return Response.json({ calls, tokenBodies, pulls: pulls.list(), login: login.state() } satisfies GitHubState);
    }
    calls.push(`${request.method} ${url.pathname}`);
    if (down !== null && (down.only !== "graphql" || url.pathname === "/graphql")) {
      return Response.json({ message: "fake outage" }, { status: down.status, headers: down.headers ?? {} });
    }
    const ofLogin = await login.serve(request);
    if (ofLogin) return ofLogin;
    const [, first, owner, name, kind, branch] = url.pathname.split("/").map(decodeURIComponent);
    if (first === "app" && url.pathname.endsWith("/access_tokens")) {
      if (isLost) return notFound();
      const text = await request.text();
      tokenBodies.push(text === "" ? null : JSON.parse(text));
      return Response.json(
        { token: `ghs_fake${tokenBodies.length}`, expires_at: new Date(Date.now() + 3_600_000).toISOString() },
        { status: 201 },
      );
    }
    if (url.pathname === "/installation/token" && request.method === "DELETE") return new Response(null, { status: 204 });
    if (url.pathname === "/app/installations") return Response.json(isLost ? [] : [{ id: 7, suspended_at: null }]);
    if (url.pathname === "/installation/repositories") {
      const size = Number(url.searchParams.get("per_page") ?? 30);
      const from = (Number(url.searchParams.get("page") ?? 1) - 1) * size;
      return Response.json({ total_count: repositories.length, repositories: repositories.slice(from, from + size).map(shape) });
    }
    if (url.pathname === "/graphql") {
      const body = (await request.json()) as { variables: Record<string, string> };
      if (!rate) return heads(body.variables);
      const headers = { "x-ratelimit-limit": "5000", "x-ratelimit-reset": String(Math.ceil(rate.resetAt / 1000)) };
      const spent = rate.remaining === 0;
      rate.remaining = Math.max(0, rate.remaining - 1);
      const answer = spent ? Response.json({ message: "API rate limit exceeded" }, { status: 403 }) : heads(body.variables);
      for (const [key, value] of Object.entries(headers)) answer.headers.set(key, value);
      answer.headers.set("x-ratelimit-remaining", String(rate.remaining));
      return answer;
    }
    const found = first === "repos" ? find(owner, name) : undefined;
    if (found && kind === undefined) return Response.json(shape(found));
    if (found && kind === "commits" && request.headers.get("accept")?.includes("sha") !== true) {
      const { messageHeadline: message, author } = commitOf(branch ?? "");
      return Response.json({ sha: branch, author: author.user, commit: { message, author: { name: author.name } } });
    }
    if (found && kind === "commits") {
      const sha = found.branches[found.defaultBranch] ?? "";
      const known = request.headers.get("if-none-match") === `"${sha}"`;
      return known
        ? new Response(null, { status: 304 })
        : new Response(sha, { headers: { "content-type": "application/vnd.github.sha" } });
    }
    if (found?.comparison && kind === "compare") {
      const { status, files } = found.comparison;
      const answer = Response.json({ status, files: files.map((filename) => ({ filename })) });
      if (!restRate) return answer;
      restRate.remaining = Math.max(0, restRate.remaining - 1);
      answer.headers.set("x-ratelimit-limit", "5000");
      answer.headers.set("x-ratelimit-remaining", String(restRate.remaining));
      answer.headers.set("x-ratelimit-reset", String(Math.ceil(restRate.resetAt / 1000)));
      return answer;
    }
    if (found && kind === "pulls") {
      const person = request.headers.get("authorization")?.includes("ghu_") ? login.personOf(request) : null;
      if (person instanceof Response) return person;
      if (person?.refusedWith) return Response.json({ message: "Not for you" }, { status: person.refusedWith });
      return pulls.serve(request, `${found.owner}/${found.name}`, branch, person?.login ?? null);
    }
    if (!found || kind !== "branches") return notFound();
    if (branch === undefined) {
      return Response.json(Object.entries(found.branches).map(([known, sha]) => ({ name: known, commit: { sha } })));
    }
    const sha = found.branches[branch];
    return sha ? Response.json({ name: branch, commit: { sha } }) : notFound();
  };
}
