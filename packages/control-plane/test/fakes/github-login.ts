/** The login of the in-memory GitHub: people, codes with PKCE, tokens that end, installations. */
import { challengeOf, newSecret } from "../../src/adapters/login-secrets.ts";

export interface FakePerson {
  id: number;
  login: string;
  name: string | null;
  /** accounts whose installation they may access */
  accounts: string[];
  /** what a call to a repository in their name is refused with; null: they may write */
  refusedWith: number | null;
  /** seconds that access tokens live from now on */
  tokenSeconds: number;
}
interface Grant {
  person: string;
  endsAt: number;
  isRefresh: boolean;
}
export type LoginOrder =
  | { do: "person"; login: string; change: Partial<FakePerson> }
  /** a person takes back what they have allowed */
  | { do: "revoke"; login: string }
  /** `lost`: what is asked for is done and the answer is lost; `down`: the endpoint of tokens does not answer; `slow`: it takes its time */
  | { do: "tokens"; are: "lost" | "down" | "slow" | null };

export function createFakeLogin() {
  const people = new Map<string, FakePerson>(
    [
      { id: 7_000_002, login: "mona", name: "Mona Lisa", accounts: ["Other", "Acme"] },
      { id: 7_000_001, login: "octo-dev", name: null, accounts: ["acme"] },
      { id: 7_000_003, login: "stranger", name: "A Stranger", accounts: [] },
    ].map((one) => [one.login, { ...one, refusedWith: null, tokenSeconds: 28_800 }]),
  );
  const codes = new Map<string, { person: string; challenge: string | null; redirect: string | null }>();
  const grants = new Map<string, Grant>();
  let tokens: "lost" | "down" | "slow" | null = null;
  let refreshes = 0;
  const ended: string[] = [];
  const secretOf = (kind: string) => `${kind}_${newSecret().replaceAll(/[-_]/g, "0")}`;
  const badCredentials = () => Response.json({ message: "Bad credentials" }, { status: 401 });
  const fault = (error: string) =>
    Response.json({ error, error_description: `The ${error}.`, error_uri: "https://docs.github.com" }, { headers: dated() });
  const dated = () => ({ date: new Date().toUTCString() });

  function issue(person: string): Response {
    const [access, refresh, seconds] = [secretOf("ghu"), secretOf("ghr"), people.get(person)?.tokenSeconds ?? 0];
    grants.set(access, { person, endsAt: Date.now() + seconds * 1_000, isRefresh: false });
    grants.set(refresh, { person, endsAt: Date.now() + 15_897_600_000, isRefresh: true });
    const answer = { access_token: access, expires_in: seconds, refresh_token: refresh, refresh_token_expires_in: 15_897_600 };
    return Response.json({ ...answer, scope: "", token_type: "bearer" }, { headers: dated() });
  }

  /** Whoever the token of a request is of; a Response: it is none. */
  function personOf(request: Request): FakePerson | Response {
    const token = /^(?:token|bearer) (.+)$/i.exec(request.headers.get("authorization") ?? "")?.[1] ?? "";
    const grant = grants.get(token);
    const person = grant && !grant.isRefresh && grant.endsAt > Date.now() ? people.get(grant.person) : undefined;
    return person ?? badCredentials();
  }

  async function exchange(request: Request): Promise<Response> {
    if (tokens === "down") return Response.json({ message: "fake outage" }, { status: 503 });
    if (tokens === "slow") await new Promise((resolve) => setTimeout(resolve, 400));
    const body = (await request.json()) as Record<string, string>;
    if (body.client_id !== "Iv1.client" || body.client_secret !== "the-client-secret")
      return fault("incorrect_client_credentials");
    if (body.grant_type === "refresh_token") {
      const grant = grants.get(body.refresh_token ?? "");
      if (!grant?.isRefresh) return fault("bad_refresh_token");
      refreshes += 1;
      for (const [token, { person }] of grants) if (person === grant.person) grants.delete(token);
      const answer = issue(grant.person);
      return tokens === "lost" ? Response.json({ message: "fake outage" }, { status: 502 }) : answer;
    }
    const code = codes.get(body.code ?? "");
    codes.delete(body.code ?? "");
    const challenge = await challengeOf(body.code_verifier ?? "");
    if (!code || code.challenge !== challenge || code.redirect !== body.redirect_uri) return fault("bad_verification_code");
    return issue(code.person);
  }

  return {
    personOf,
    state: () => ({ refreshes, ended, tokens: [...grants.keys()] }),
    take(order: LoginOrder) {
      if (order.do === "tokens") tokens = order.are;
      if (order.do === "revoke") for (const [token, { person }] of grants) if (person === order.login) grants.delete(token);
      const person = order.do === "person" ? people.get(order.login) : undefined;
      if (person && order.do === "person") Object.assign(person, order.change);
    },
    /** null: it is nothing of these */
    async serve(request: Request): Promise<Response | null> {
      const url = new URL(request.url);
      const query = url.searchParams;
      if (url.pathname === "/login/oauth/authorize") {
        // A person's yes is `person=` in the query, which stands for the button.
        const [state, redirect, person] = [query.get("state") ?? "", query.get("redirect_uri"), query.get("person")];
        const code = secretOf("code");
        if (person !== null) codes.set(code, { person, challenge: query.get("code_challenge"), redirect });
        const answer = person === null ? { error: "access_denied", state } : { code, state };
        return new Response(null, { status: 302, headers: { location: `${redirect}?${new URLSearchParams(answer)}` } });
      }
      if (url.pathname === "/login/oauth/access_token") return exchange(request);
      if (url.pathname === "/applications/Iv1.client/token" && request.method === "DELETE") {
        const { access_token } = (await request.json()) as { access_token: string };
        if (!grants.delete(access_token)) return Response.json({ message: "Not Found" }, { status: 404 });
        ended.push(access_token);
        return new Response(null, { status: 204 });
      }
      if (url.pathname !== "/user" && url.pathname !== "/user/installations") return null;
      const person = personOf(request);
      if (person instanceof Response) return person;
      const { id, login, name, accounts } = person;
      if (url.pathname === "/user") {
        return Response.json({ id, login, name, email: null, avatar_url: `https://avatars.githubusercontent.com/u/${id}` });
      }
      const size = Number(query.get("per_page") ?? 30);
      const from = (Number(query.get("page") ?? 1) - 1) * size;
      const all = accounts.map((account, index) => ({ id: index + 1, account: { login: account }, suspended_at: null }));
      return Response.json({ total_count: all.length, installations: all.slice(from, from + size) });
    },
  };
}
