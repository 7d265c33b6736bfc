import { createSign, generateKeyPairSync } from "node:crypto";
import { describe, expect, test } from "vitest";
import { app, authenticated, failureOf, git, person, privateKey, startWorld, temporaryFolder } from "./support.ts";

const nowSeconds = () => Math.floor(Date.now() / 1000);
function jwt(claims: object, key = privateKey, header: object = { alg: "RS256", typ: "JWT" }): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const text = `${part(header)}.${part(claims)}`;
  return `${text}.${createSign("RSA-SHA256").update(text).sign(key).toString("base64url")}`;
}

describe("the app's JWT", () => {
  const good = () => ({ iat: nowSeconds() - 30, exp: nowSeconds() + 540, iss: app.id });
  const stranger = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ type: "pkcs8", format: "pem" });
  test.each([
    ["is taken when it is right", () => jwt(good()), null],
    ["is taken with the id as text", () => jwt({ ...good(), iss: String(app.id) }), null],
    [
      "must not live longer than ten minutes",
      () => jwt({ ...good(), exp: nowSeconds() + 700 }),
      /'exp'\) is too far in the future/,
    ],
    ["must not have ended", () => jwt({ ...good(), exp: nowSeconds() - 1 }), /'exp'\) must be a numeric value/],
    ["must have an end", () => jwt({ ...good(), exp: undefined }), /'exp'\) must be a numeric value/],
    ["must not come from the future", () => jwt({ ...good(), iat: nowSeconds() + 300 }), /'iat'\) must be an Integer/],
    ["must be this app's", () => jwt({ ...good(), iss: 1 }), /Integration/],
    ["must be signed by this app's key", () => jwt(good(), stranger.toString()), /could not be decoded/],
    [
      "must be signed at all",
      () => `${jwt(good(), privateKey, { alg: "none" }).split(".").slice(0, 2).join(".")}.`,
      /could not be decoded/,
    ],
    ["must be signed with RS256", () => jwt(good(), privateKey, { alg: "HS256" }), /could not be decoded/],
    ["must be JSON", () => "abc.def.ghi", /could not be decoded/],
  ])("%s", async (_rule, make, refusal) => {
    const world = await startWorld();
    const request = world.withToken(null).request("GET /app", { headers: { authorization: `Bearer ${make()}` } });
    if (refusal === null) expect((await request).data?.slug).toBe(app.slug);
    else {
      const failure = await failureOf(request);
      expect(failure.status).toBe(401);
      expect(failure.message).toMatch(refusal);
    }
  });
});

test("an installation is found by repository, organization, person and id", async () => {
  const world = await startWorld();
  await world.github.addRepository({ owner: "acme", name: "one", empty: true });
  await world.github.addRepository({ owner: person.login, name: "own", empty: true });
  const { octokit } = world.octokitApp;
  const byRepository = await octokit.request("GET /repos/{owner}/{repo}/installation", { owner: "ACME", repo: "One" });
  const byOrganization = await octokit.request("GET /orgs/{org}/installation", { org: "acme" });
  expect(byOrganization.data.id).toBe(byRepository.data.id);
  const byPerson = await octokit.request("GET /users/{username}/installation", { username: person.login });
  expect(byPerson.data).toMatchObject({ target_type: "User", app_slug: app.slug });
  const byId = await octokit.request("GET /app/installations/{installation_id}", { installation_id: byPerson.data.id });
  expect(byId.data.id).toBe(byPerson.data.id);
  const all = await octokit.request("GET /app/installations");
  expect(all.data.map((entry) => entry.id).sort()).toEqual([byRepository.data.id, byPerson.data.id].sort());
  for (const path of ["GET /repos/acme/none/installation", "GET /orgs/ada/installation", "GET /users/nobody/installation"]) {
    expect((await failureOf(octokit.request(path))).status).toBe(404);
  }
});

test("octokit's own App class walks over every installation's repositories, page by page", async () => {
  const world = await startWorld();
  for (let index = 0; index < 35; index++) await world.github.addRepository({ owner: "acme", name: `r${index}`, empty: true });
  await world.github.addRepository({ owner: "other", name: "last", empty: true });
  const names: string[] = [];
  await world.octokitApp.eachRepository(({ repository }) => void names.push(repository.full_name));
  expect(new Set(names).size).toBe(36);
  expect(names).toContain("acme/r34");
  const { octokit } = await world.asInstallation("acme");
  const page = await octokit.request("GET /installation/repositories", { per_page: 15, page: 2 });
  expect(page.data.repositories).toHaveLength(15);
  expect(page.headers.link).toContain(`<${world.github.url}/installation/repositories?per_page=15&page=3>; rel="next"`);
  expect(page.headers.link).toMatch(/page=1>; rel="prev".*page=3>; rel="last".*page=1>; rel="first"/);
});

test("a token says when it ends, and is refused everywhere from then on", async () => {
  let at = Date.now();
  const world = await startWorld({ now: () => at });
  const { cloneUrl } = await world.github.addRepository({ owner: "acme", name: "one", private: true, empty: true });
  const installation = await world.octokitApp.octokit.request("GET /orgs/{org}/installation", { org: "acme" });
  const { data } = await world.octokitApp.octokit.request("POST /app/installations/{installation_id}/access_tokens", {
    installation_id: installation.data.id,
  });
  expect(data.token).toMatch(/^ghs_[A-Za-z0-9]{36}$/);
  const life = Date.parse(data.expires_at) - at;
  expect(life).toBeGreaterThan(3_598_000);
  expect(life).toBeLessThanOrEqual(3_600_000);
  expect(data).toMatchObject({ repository_selection: "all", permissions: { contents: "write", metadata: "read" } });
  const octokit = world.withToken(data.token);
  expect((await octokit.request("GET /repos/acme/one")).status).toBe(200);
  at += 3_600_000;
  const failure = await failureOf(octokit.request("GET /repos/acme/one"));
  expect(failure).toMatchObject({ status: 401, message: expect.stringContaining("Bad credentials") });
  expect((await failureOf(octokit.graphql("{ rateLimit { limit } }"))).status).toBe(401);
  const folder = await temporaryFolder();
  await expect(git(folder, "ls-remote", authenticated(cloneUrl, data.token))).rejects.toThrow(/Authentication failed/);
});

test("a token sees only its repositories, whatever the way in", async () => {
  const world = await startWorld();
  const one = await world.github.addRepository({ owner: "acme", name: "one", private: true, empty: true });
  const two = await world.github.addRepository({ owner: "acme", name: "two", private: true, empty: true });
  await world.github.addRepository({ owner: "other", name: "three", private: true, empty: true });
  const { octokit, token } = await world.asInstallation("acme", ["ONE"], { contents: "read" });
  const { data } = await octokit.request("GET /installation/repositories");
  expect(data).toMatchObject({ total_count: 1, repository_selection: "selected", repositories: [{ id: one.id }] });
  for (const repo of ["acme/two", "other/three"]) {
    expect((await failureOf(octokit.request(`GET /repos/${repo}`))).status).toBe(404);
    expect((await failureOf(octokit.request(`GET /repos/${repo}/branches`))).status).toBe(404);
  }
  await expect(octokit.graphql('{ repository(owner: "acme", name: "two") { id } }')).rejects.toThrow(/Could not resolve/);
  const folder = await temporaryFolder();
  await expect(git(folder, "ls-remote", authenticated(two.cloneUrl, token))).rejects.toThrow(/Repository not found/);
  expect(await git(folder, "ls-remote", authenticated(one.cloneUrl, token))).toBe("");
});

test("a token without contents sees that a repository is there, and nothing in it", async () => {
  const world = await startWorld();
  const one = await world.github.addRepository({ owner: "acme", name: "one", private: true, empty: true });
  const { octokit, token } = await world.asInstallation("acme", ["one"], { metadata: "read" });
  expect((await octokit.request("GET /repos/acme/one")).data.permissions?.push).toBe(false);
  const failure = await failureOf(octokit.request("GET /repos/acme/one/branches"));
  expect(failure).toMatchObject({ status: 403, message: expect.stringContaining("Resource not accessible by integration") });
  await expect(git(await temporaryFolder(), "ls-remote", authenticated(one.cloneUrl, token))).rejects.toThrow(/403/);
});

test("a token is not issued for more than the installation has", async () => {
  const world = await startWorld();
  const { id } = await world.github.addRepository({ owner: "acme", name: "one", empty: true });
  const other = await world.github.addRepository({ owner: "other", name: "two", empty: true });
  const installation = await world.octokitApp.octokit.request("GET /orgs/{org}/installation", { org: "acme" });
  const ask = (body: object, installationId = installation.data.id) =>
    world.octokitApp.octokit.request("POST /app/installations/{installation_id}/access_tokens", {
      installation_id: installationId,
      ...body,
    });
  expect((await ask({ repository_ids: [id] })).data.repositories?.map((entry) => entry.id)).toEqual([id]);
  const refusals: [object, RegExp][] = [
    [{ repositories: ["none"] }, /does not exist or is not accessible to the parent installation/],
    [{ repositories: ["two"] }, /does not exist or is not accessible/],
    [{ repository_ids: [other.id] }, /does not exist or is not accessible/],
    [{ permissions: { administration: "write" } }, /permissions requested are not granted/],
    [{ permissions: { metadata: "write" } }, /permissions requested are not granted/],
    [{ permissions: { contents: "everything" } }, /Invalid request/],
  ];
  for (const [body, reason] of refusals) {
    const failure = await failureOf(ask(body));
    expect(failure.status).toBe(422);
    expect(failure.message).toMatch(reason);
  }
  expect((await failureOf(ask({}, 1))).status).toBe(404);
});

test("each credential is good for its own routes only", async () => {
  const world = await startWorld();
  await world.github.addRepository({ owner: "acme", name: "one", private: true, empty: true });
  const { octokit, token } = await world.asInstallation("acme");
  expect((await failureOf(octokit.request("GET /app"))).status).toBe(401);
  expect((await failureOf(world.withToken(person.token).request("GET /installation/repositories"))).status).toBe(403);
  const asApp = { headers: { authorization: `Bearer ${jwt({ iat: nowSeconds(), exp: nowSeconds() + 60, iss: app.id })}` } };
  expect((await failureOf(world.withToken(null).request("GET /repos/acme/one", asApp))).status).toBe(404);
  expect((await failureOf(world.withToken("ghs_made_up").request("GET /rate_limit"))).status).toBe(401);
  expect((await failureOf(world.withToken(null).request("GET /app"))).status).toBe(401);
  expect((await octokit.request("DELETE /installation/token")).status).toBe(204);
  expect((await failureOf(world.withToken(token).request("GET /installation/repositories"))).status).toBe(401);
});
