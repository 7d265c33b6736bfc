import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { createOAuthUserAuth } from "@octokit/auth-oauth-user";
import {
  checkToken,
  deleteAuthorization,
  deleteToken,
  exchangeWebFlowCode,
  getWebFlowAuthorizationUrl,
  refreshToken,
} from "@octokit/oauth-methods";
import { expect, test } from "vitest";
import { callback, client, type LoginWorld, newProof, oauth, startLoginWorld } from "./browser.ts";
import { validateAnswer } from "./openapi.ts";
import { app, failureOf, person, startWorld, temporaryFolder } from "./support.ts";

const hour = 3_600_000;

async function startSample(overrides: Parameters<typeof startLoginWorld>[0] = {}) {
  const world = await startLoginWorld(overrides);
  for (const name of ["sample", "other"]) {
    await world.github.addRepository({ owner: "acme", name, private: true, empty: true });
  }
  return world;
}
/** What the token endpoint says, as a program without a library asks it. */
async function ask(world: LoginWorld, body: Record<string, string>, headers: Record<string, string> = {}) {
  return fetch(`${world.github.url}/login/oauth/access_token`, { method: "POST", body: new URLSearchParams(body), headers });
}
const credentials = { client_id: client.clientId, client_secret: client.clientSecret };
/** A code for mona with a proof. */
async function newCode(world: LoginWorld) {
  const { verifier, query } = newProof();
  const sent = await world.choose(world.authorizeUrl(query), { person: "mona" });
  return { code: sent.searchParams.get("code") ?? "", verifier };
}
const errorOf = async (response: Response) => {
  expect(response.status).toBe(200);
  const form = new URLSearchParams(await response.text());
  expect(form.get("error_description")).toMatch(/^The .+\.$/);
  expect(URL.canParse(form.get("error_uri") ?? "")).toBe(true);
  return form.get("error");
};

test("a person logs in with octokit's own web flow and PKCE, is known by their token, and refreshes it", async () => {
  const world = await startSample();
  const { verifier, query } = newProof();
  const { url } = getWebFlowAuthorizationUrl({
    ...{ clientType: client.clientType, clientId: client.clientId },
    ...{ redirectUrl: callback, state: "xyz", login: "mona", request: world.request() },
  });
  const asked = new URL(url);
  for (const [name, value] of Object.entries(query)) asked.searchParams.set(name, value);
  const sent = await world.choose(asked.href, { person: "mona" });
  expect([sent.origin + sent.pathname, sent.searchParams.get("state")]).toEqual([callback, "xyz"]);
  const code = sent.searchParams.get("code") ?? "";

  const exchange = { ...client, code, redirectUrl: callback, request: world.request({ code_verifier: verifier }) };
  const { data, authentication } = await exchangeWebFlowCode(exchange);
  expect(data).toEqual({
    access_token: expect.stringMatching(/^ghu_[A-Za-z0-9]{36}$/),
    expires_in: 28_800,
    refresh_token: expect.stringMatching(/^ghr_[A-Za-z0-9]{76}$/),
    ...{ refresh_token_expires_in: 15_897_600, scope: "", token_type: "bearer" },
  });
  const octokit = world.withToken(authentication.token);
  const { data: self } = await octokit.rest.users.getAuthenticated();
  expect(self).toMatchObject({ login: "mona", id: 7_000_002, name: "Mona Lisa", email: null, type: "User" });
  expect((await octokit.rest.users.getByUsername({ username: "octo-dev" })).data.name).toBe("Octavia Developer");

  if (!("refreshToken" in authentication)) throw new Error("no refresh token");
  const renewed = await refreshToken({ ...client, refreshToken: authentication.refreshToken, request: world.request() });
  expect((await failureOf(octokit.rest.users.getAuthenticated())).status).toBe(401);
  const again = refreshToken({ ...client, refreshToken: authentication.refreshToken, request: world.request() });
  await expect(again).rejects.toThrow(/bad_refresh_token/);
  const fresh = world.withToken(renewed.authentication.token);
  expect((await fresh.rest.users.getAuthenticated()).data.login).toBe("mona");
});

test("octokit's authentication strategy takes a code, refreshes by itself when the hours are over, and revokes", async () => {
  let at = Date.now();
  const world = await startSample({ now: () => at });
  const { code, verifier } = await newCode(world);
  const auth = createOAuthUserAuth({
    ...client,
    code,
    redirectUrl: callback,
    request: world.request({ code_verifier: verifier }),
  });
  const first = await auth();
  at += 9 * hour;
  expect((await failureOf(world.withToken(first.token).rest.users.getAuthenticated())).message).toContain("Bad credentials");
  const second = await auth({ type: "refresh" });
  expect(second.token).not.toBe(first.token);
  expect(await auth({ type: "check" })).toMatchObject({ token: second.token });
  await auth({ type: "delete" });
  expect((await failureOf(world.withToken(second.token).rest.users.getAuthenticated())).status).toBe(401);
});

test("the token endpoint answers a form to whoever does not ask for JSON, and refuses under status 200", async () => {
  const world = await startSample();
  const { code, verifier } = await newCode(world);
  const exchange = { ...credentials, code, redirect_uri: callback, code_verifier: verifier };
  expect(await errorOf(await ask(world, { ...exchange, client_secret: "wrong" }))).toBe("incorrect_client_credentials");
  expect(await errorOf(await ask(world, { ...exchange, client_id: "wrong" }))).toBe("incorrect_client_credentials");
  expect(await errorOf(await ask(world, { ...exchange, code_verifier: newProof().verifier }))).toBe("bad_verification_code");
  const { code_verifier: _, ...unproven } = exchange;
  expect(await errorOf(await ask(world, unproven))).toBe("bad_verification_code");
  expect(await errorOf(await ask(world, { ...exchange, redirect_uri: `${callback}/more` }))).toBe("redirect_uri_mismatch");
  expect(await errorOf(await ask(world, { ...exchange, code: "0000" }))).toBe("bad_verification_code");
  expect(await errorOf(await ask(world, { ...exchange, grant_type: "password" }))).toBe("unsupported_grant_type");
  const unknown = { ...credentials, grant_type: "refresh_token", refresh_token: "ghr_x" };
  expect(await errorOf(await ask(world, unknown))).toBe("bad_refresh_token");

  const good = await ask(world, exchange);
  expect(good.headers.get("content-type")).toMatch(/^application\/x-www-form-urlencoded/);
  expect(new URLSearchParams(await good.text()).get("access_token")).toMatch(/^ghu_/);
  const wrongSecret = exchangeWebFlowCode({ ...client, clientSecret: "wrong", code, request: world.request() });
  await expect(wrongSecret).rejects.toThrow(/incorrect_client_credentials/);
});

test("a code is good once and for ten minutes, and one that is used again ends what it gave", async () => {
  let at = Date.now();
  const world = await startSample({ now: () => at });
  const late = await newCode(world);
  at += 10 * 60_000;
  const exchange = ({ code, verifier }: typeof late) => ask(world, { ...credentials, code, code_verifier: verifier });
  expect(await errorOf(await exchange(late))).toBe("bad_verification_code");

  const replayed = await newCode(world);
  const token = new URLSearchParams(await (await exchange(replayed)).text()).get("access_token") ?? "";
  const other = await world.logIn("mona");
  expect((await world.withToken(token).rest.users.getAuthenticated()).data.login).toBe("mona");
  expect(await errorOf(await exchange(replayed))).toBe("bad_verification_code");
  expect((await failureOf(world.withToken(token).rest.users.getAuthenticated())).status).toBe(401);
  expect((await other.octokit.rest.users.getAuthenticated()).data.login).toBe("mona");
});

test("a code of an authorization that was taken back is worth nothing, and a refresh token is worth half a year", async () => {
  let at = Date.now();
  const world = await startSample({ now: () => at });
  const { code, verifier } = await newCode(world);
  const { refreshToken: refresh_token } = await world.logIn("octo-dev");
  expect((await world.admin("DELETE", "/people/mona/tokens")).status).toBe(204);
  expect(await errorOf(await ask(world, { ...credentials, code, code_verifier: verifier }))).toBe("bad_verification_code");
  at += 184 * 24 * hour;
  expect(await errorOf(await ask(world, { ...credentials, grant_type: "refresh_token", refresh_token }))).toBe(
    "bad_refresh_token",
  );
});

test("two refreshes with the same token at once give one pair", async () => {
  const world = await startSample();
  const { refreshToken: old } = await world.logIn("mona");
  const body = { ...credentials, grant_type: "refresh_token", refresh_token: old };
  const answers = await Promise.all([ask(world, body), ask(world, body)]);
  const forms = await Promise.all(answers.map(async (answer) => new URLSearchParams(await answer.text())));
  expect(forms.map((form) => form.get("error") ?? "a pair").sort()).toEqual(["a pair", "bad_refresh_token"]);
});

test("the page names the app and offers each person and a way out, without script, in a policy that lets it end at the app", async () => {
  const world = await startSample({ app: { ...app, name: "Open & Inspect" } });
  const response = await fetch(world.authorizeUrl({ state: '"><script>', login: "mona" }));
  expect(response.status).toBe(200);
  const page = await response.text();
  expect(page).toContain("<h1>Authorize Open &amp; Inspect</h1>");
  for (const login of ["octo-dev", "mona", "stranger"]) expect(page).toContain(`Continue as ${login}`);
  expect(page).toMatch(/value="mona"[^>]* autofocus/);
  expect(page).toContain(">Cancel</button>");
  expect(page).toContain("prefers-color-scheme: dark");
  expect(page).not.toContain("<script");
  const policy = response.headers.get("content-security-policy") ?? "";
  expect(policy).toContain("default-src 'none'");
  expect(policy).toContain("form-action 'self' http://127.0.0.1:8787;");
  expect(policy).toContain("frame-ancestors 'none'");
  const [, source = ""] = /<img src="([^"]+)"/.exec(page) ?? [];
  const avatar = await fetch(`${world.github.url}${source}`);
  expect([avatar.status, avatar.headers.get("content-type")]).toEqual([200, "image/svg+xml; charset=utf-8"]);
  expect(await avatar.text()).toContain("<svg");

  const foreign = { method: "POST", body: new URLSearchParams({ person: "mona" }), headers: { origin: "http://evil.example" } };
  expect((await fetch(world.authorizeUrl(), foreign)).status).toBe(403);
  const nobody = { method: "POST", body: new URLSearchParams({ person: "nobody" }) };
  expect((await fetch(world.authorizeUrl(), nobody)).status).toBe(400);
});

test("what is wrong with a request to log in is said as GitHub says it", async () => {
  const world = await startSample();
  const sentBy = async (query: Record<string, string | undefined>) => {
    const response = await fetch(world.authorizeUrl(query), { redirect: "manual" });
    return response.status === 302 ? new URL(response.headers.get("location") ?? "") : response.status;
  };
  expect(await sentBy({ client_id: "wrong" })).toBe(404);
  expect(await sentBy({ client_id: undefined })).toBe(404);
  const saying = (to: URL | number) =>
    typeof to === "number" ? to : [to.origin + to.pathname, to.searchParams.get("error"), to.searchParams.get("state")];
  for (const redirect_uri of [
    "http://evil.example/",
    "http://127.0.0.1:8787/api",
    "https://127.0.0.1:8787/api/auth/github/callback",
    "x",
  ]) {
    expect(saying(await sentBy({ redirect_uri }))).toEqual([callback, "redirect_uri_mismatch", "a state"]);
  }
  const plain = { code_challenge: newProof().verifier, code_challenge_method: "plain" };
  expect(saying(await sentBy(plain))).toEqual([callback, "invalid_request", "a state"]);
  expect(saying(await sentBy({ code_challenge: "short", code_challenge_method: "S256" }))).toContain("invalid_request");
  // A program on this machine does not always get the same port.
  expect(await sentBy({ redirect_uri: "http://127.0.0.1:9999/api/auth/github/callback" })).toBe(200);

  const denied = await world.choose(world.authorizeUrl(), { cancel: "1" });
  expect(saying(denied)).toEqual([callback, "access_denied", "a state"]);
  expect(denied.searchParams.get("error_description")).toBe("The user has denied your application access.");
  const byDefault = await world.choose(world.authorizeUrl({ redirect_uri: undefined }), { person: "mona" });
  expect(byDefault.origin + byDefault.pathname).toBe(callback);
});

test("the app looks at a token, ends it, and takes a whole authorization back", async () => {
  const world = await startSample();
  const [first, second, others] = [await world.logIn("mona"), await world.logIn("mona"), await world.logIn("octo-dev")];
  const asked = (token: string) => ({ ...client, token, request: world.request() });
  const { data } = await checkToken(asked(first.token));
  const path = `/applications/${client.clientId}/token`;
  expect(validateAnswer("POST", path, 200, "application/json", data)).toBe("POST /applications/{client_id}/token 200");
  expect(data).toMatchObject({ token: first.token, user: { login: "mona" }, app: { client_id: client.clientId } });
  expect((await failureOf(checkToken({ ...asked(first.token), clientSecret: "wrong" }))).status).toBe(401);
  expect((await failureOf(checkToken(asked("ghu_none")))).status).toBe(404);

  expect((await deleteToken(asked(first.token))).status).toBe(204);
  const selfOf = async ({ octokit }: typeof first) => (await octokit.rest.users.getAuthenticated()).data.login;
  expect((await failureOf(selfOf(first))).status).toBe(401);
  const renewing = refreshToken({ ...client, refreshToken: first.refreshToken, request: world.request() });
  await expect(renewing).rejects.toThrow(/bad_refresh_token/);
  expect(await selfOf(second)).toBe("mona");
  expect((await deleteAuthorization(asked(second.token))).status).toBe(204);
  expect((await failureOf(selfOf(second))).status).toBe(401);
  expect(await selfOf(others)).toBe("octo-dev");
});

test("a restart knows the people and their tokens, and none of them is written down", async () => {
  const dataDir = await temporaryFolder();
  const before = await startSample({ dataDir });
  const { token, refreshToken: refresh } = await before.logIn("mona");
  const { code } = await newCode(before);
  await before.github.stop();
  const written = await readFile(join(dataDir, "state.json"), "utf8");
  for (const secret of [token, refresh, code, client.clientSecret]) expect(written).not.toContain(secret);
  const after = await startSample({ dataDir });
  expect((await after.withToken(token).rest.users.getAuthenticated()).data.id).toBe(7_000_002);
  expect((await refreshToken({ ...client, refreshToken: refresh, request: after.request() })).authentication.token).toMatch(
    /^ghu_/,
  );
});

test("without the app's login nobody can log in, and nobody is there", async () => {
  const world = await startWorld();
  const url = `${world.github.url}/login/oauth/authorize?client_id=${oauth.clientId}`;
  expect((await fetch(url)).status).toBe(404);
  expect((await failureOf(world.withToken(person.token).rest.users.getByUsername({ username: "mona" }))).status).toBe(404);
});
