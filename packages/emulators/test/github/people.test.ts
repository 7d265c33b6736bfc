import { refreshToken } from "@octokit/oauth-methods";
import { expect, test } from "vitest";
import { z } from "zod";
import { client, type LoginWorld, oauth, startLoginWorld } from "./browser.ts";
import { validateWebhook } from "./openapi.ts";
import { app, authenticated, failureOf, git, person, startReceiver, startWorld, temporaryFolder } from "./support.ts";

const where = { owner: "acme", repo: "sample" };
const ask = { ...where, title: "Work", head: "work", base: "main" };

/** `acme/sample`, private, with a branch `work` one commit ahead; `acme/open`, public; `local/own`, private and somebody else's. */
async function startSample(webhookUrl?: string) {
  const world = await startLoginWorld(webhookUrl === undefined ? {} : { webhookUrl });
  const { cloneUrl } = await world.github.addRepository({ owner: "acme", name: "sample", private: true, empty: true });
  await world.github.addRepository({ owner: "acme", name: "open", empty: true });
  await world.github.addRepository({ owner: "local", name: "own", private: true, empty: true });
  await world.github.commit("acme", "sample", { message: "First", files: { a: "1\n" } });
  await world.github.commit("acme", "sample", { branch: "work", message: "Work", files: { b: "2\n" } });
  return { world, cloneUrl };
}
const setAccess = async (world: LoginWorld, login: string, access: object[]) => {
  expect((await world.admin("PUT", `/people/${login}/access`, { access })).status).toBe(200);
};
const installationsOf = async ({ octokit }: Awaited<ReturnType<LoginWorld["logIn"]>>) =>
  (await octokit.rest.apps.listInstallationsForAuthenticatedUser()).data.installations;

test("people see the installations that they share with the app, and in them what they may do", async () => {
  const { world } = await startSample();
  const [mona, stranger] = [await world.logIn("mona"), await world.logIn("stranger")];
  const [installation, ...more] = await installationsOf(mona);
  expect([installation, more]).toMatchObject([{ account: { login: "acme" }, client_id: client.clientId }, []]);
  const at = { installation_id: installation?.id ?? 0 };
  const listed = async ({ octokit }: typeof mona) =>
    (await octokit.rest.apps.listInstallationReposForAuthenticatedUser(at)).data.repositories.map(
      (one) => `${one.full_name} ${one.permissions?.push === true ? "push" : "read"}`,
    );
  expect(await listed(mona)).toEqual(["acme/sample push", "acme/open push"]);
  expect(await installationsOf(stranger)).toEqual([]);
  expect((await failureOf(listed(stranger))).status).toBe(404);
  await setAccess(world, "stranger", [{ owner: "acme", name: "sample", push: false }]);
  expect(await listed(stranger)).toEqual(["acme/sample read"]);
  // Without the app an account shares nothing with it.
  await world.admin("DELETE", "/accounts/acme/installation");
  expect(await installationsOf(mona)).toEqual([]);
  expect((await failureOf(mona.octokit.rest.repos.get(where))).status).toBe(404);

  const other = world.withToken(person.token).rest.apps.listInstallationsForAuthenticatedUser();
  expect(await failureOf(other)).toMatchObject({ status: 403 });
  expect((await failureOf(world.withToken(null).rest.users.getAuthenticated())).status).toBe(401);
});

test("a person's token reads what both they and the app may see, and nothing of the rest exists", async () => {
  const { world, cloneUrl } = await startSample();
  const [mona, stranger] = [await world.logIn("mona"), await world.logIn("stranger")];
  expect((await mona.octokit.rest.repos.get(where)).data.permissions?.push).toBe(true);
  expect((await mona.octokit.rest.repos.getBranch({ ...where, branch: "work" })).data.name).toBe("work");
  expect((await mona.octokit.rest.repos.listCommits(where)).data).toHaveLength(1);
  expect((await failureOf(mona.octokit.rest.repos.get({ owner: "local", repo: "own" }))).status).toBe(404);
  for (const refused of [
    stranger.octokit.rest.repos.get(where),
    stranger.octokit.rest.repos.listBranches(where),
    stranger.octokit.rest.repos.listCommits(where),
    stranger.octokit.rest.pulls.list(where),
    stranger.octokit.rest.pulls.create(ask),
  ]) {
    expect((await failureOf(refused)).status).toBe(404);
  }
  expect((await stranger.octokit.rest.repos.get({ owner: "acme", repo: "open" })).data.permissions?.push).toBe(false);
  const query = `{ repository(owner: "acme", name: "sample") { name } }`;
  expect(await mona.octokit.graphql(query)).toEqual({ repository: { name: "sample" } });
  await expect(stranger.octokit.graphql(query)).rejects.toThrow(/Could not resolve/);

  const folder = await temporaryFolder();
  await git(folder, "clone", "-q", authenticated(cloneUrl, mona.token), "clone");
  await git(`${folder}/clone`, "push", "-q", "origin", "HEAD:refs/heads/by-mona");
  await expect(git(folder, "clone", "-q", authenticated(cloneUrl, stranger.token), "none")).rejects.toThrow(/not found/);
});

test("a pull request that is opened with a person's token is theirs: in the API, on its page and in the webhook", async () => {
  const receiver = await startReceiver();
  const { world } = await startSample(receiver.url);
  const mona = await world.logIn("mona");
  const { data: opened } = await mona.octokit.rest.pulls.create({ ...ask, draft: true });
  expect(opened).toMatchObject({ user: { login: "mona", id: 7_000_002, type: "User" }, author_association: "MEMBER" });
  expect(opened.user.avatar_url).toBe(`${world.github.url}/avatars/7000002`);
  const { octokit: asApp } = await world.asInstallation("acme");
  expect((await asApp.rest.pulls.list(where)).data[0]?.user?.login).toBe("mona");
  const at = { ...where, pull_number: opened.number };
  const octo = await world.logIn("octo-dev");
  expect((await octo.octokit.rest.pulls.update({ ...at, title: "Better" })).data).toMatchObject({ user: { login: "mona" } });
  const second = await world.github.commit("acme", "sample", { branch: "more", message: "More", files: { c: "3\n" } });
  const { data: byApp } = await asApp.rest.pulls.create({ ...ask, head: "more" });
  expect(byApp).toMatchObject({ user: { login: `${app.slug}[bot]` }, head: { sha: second.sha } });

  const event = z.looseObject({ action: z.string(), sender: z.looseObject({ login: z.string() }) });
  const deliveries = await receiver.waitFor(6);
  const heard = deliveries
    .filter((one) => one.headers["x-github-event"] === "pull_request")
    .map((one) => event.parse(JSON.parse(one.body)));
  expect(heard.map((one) => [one.action, one.sender.login])).toEqual([
    ["opened", "mona"],
    ["edited", "octo-dev"],
    ["opened", `${app.slug}[bot]`],
  ]);
  for (const one of heard) validateWebhook(`pull-request-${one.action}`, one);
});

test("a commit with a person's hidden address is theirs, and one with an unknown address is nobody's", async () => {
  const { world, cloneUrl } = await startSample();
  const mona = await world.logIn("mona");
  const folder = await temporaryFolder();
  await git(folder, "clone", "-q", authenticated(cloneUrl, mona.token), "clone");
  const author = "Mona Lisa <7000002+mona@users.noreply.github.com>";
  await git(`${folder}/clone`, "commit", "-q", "--allow-empty", `--author=${author}`, "-m", "Mine");
  await git(`${folder}/clone`, "push", "-q");
  const { data } = await mona.octokit.rest.repos.getCommit({ ...where, ref: "main" });
  expect(data).toMatchObject({ author: { login: "mona", id: 7_000_002 }, committer: null });
});

test("the page of a public pull request says who opened it", async () => {
  const { world } = await startSample();
  await world.github.commit("acme", "open", { message: "First", files: { a: "1\n" } });
  await world.github.commit("acme", "open", { branch: "work", message: "Work", files: { b: "2\n" } });
  const { octokit } = await world.logIn("mona");
  const { data } = await octokit.rest.pulls.create({ ...ask, repo: "open" });
  expect(await (await fetch(data.html_url)).text()).toContain("opened by mona");
});

test("who may read but not push opens no pull request, neither where the app may not write", async () => {
  const { world } = await startSample();
  const [mona, stranger] = [await world.logIn("mona"), await world.logIn("stranger")];
  await setAccess(world, "stranger", [{ owner: "acme", push: false }]);
  expect((await stranger.octokit.rest.pulls.list(where)).data).toEqual([]);
  const refused = await failureOf(stranger.octokit.rest.pulls.create(ask));
  expect(refused).toMatchObject({ status: 403, message: expect.stringContaining("Resource not accessible by integration") });
  await setAccess(world, "mona", []);
  expect((await failureOf(mona.octokit.rest.pulls.create(ask))).status).toBe(404);
  await setAccess(world, "mona", [{ owner: "acme", name: "sample", push: true }]);
  await world.admin("PATCH", "/repositories/acme/sample", { granted: false });
  expect((await failureOf(mona.octokit.rest.pulls.create(ask))).status).toBe(404);
  await world.admin("PATCH", "/repositories/acme/sample", { granted: true });
  expect((await mona.octokit.rest.pulls.create(ask)).status).toBe(201);
});

test("a person's tokens are ended and let expire by hand, and the app hears that an authorization was taken back", async () => {
  const receiver = await startReceiver();
  const world = await startLoginWorld({ webhookUrl: receiver.url });
  const mona = await world.logIn("mona");
  const selfOf = (token: string) => world.withToken(token).rest.users.getAuthenticated();
  expect((await world.admin("PATCH", "/people/mona/tokens", { expired: true })).status).toBe(204);
  expect(await failureOf(selfOf(mona.token))).toMatchObject({ status: 401, message: expect.stringContaining("Bad credentials") });
  const renewed = await refreshToken({ ...client, refreshToken: mona.refreshToken, request: world.request() });
  expect((await selfOf(renewed.authentication.token)).status).toBe(200);

  expect((await world.admin("DELETE", "/people/mona/tokens")).status).toBe(204);
  expect((await failureOf(selfOf(renewed.authentication.token))).status).toBe(401);
  const again = refreshToken({ ...client, refreshToken: renewed.authentication.refreshToken, request: world.request() });
  await expect(again).rejects.toThrow(/bad_refresh_token/);
  const [delivery] = await receiver.waitFor(1);
  expect(delivery?.headers["x-github-event"]).toBe("github_app_authorization");
  const event: unknown = JSON.parse(delivery?.body ?? "");
  validateWebhook("github-app-authorization-revoked", event);
  expect(event).toMatchObject({ action: "revoked", sender: { login: "mona" } });

  expect((await world.admin("PATCH", "/login", { accessTokenLifetimeSeconds: 60 })).status).toBe(204);
  const { token } = await world.logIn("mona");
  expect((await selfOf(token)).status).toBe(200);
  const people = z.object({ people: z.array(z.object({ login: z.string() })) });
  const listed = people.parse(await (await world.admin("GET", "/people")).json()).people;
  expect(listed.map((one) => one.login)).toEqual(["octo-dev", "mona", "stranger"]);
  expect((await world.admin("DELETE", "/people/nobody/tokens")).status).toBe(404);
});

test("the login fails, hangs and is slow on demand, apart from the API", async () => {
  const world = await startLoginWorld();
  const post = (signal?: AbortSignal) =>
    fetch(`${world.github.url}/login/oauth/access_token`, { method: "POST", ...(signal ? { signal } : {}) });
  const fault = { match: "login:/login/oauth/access_token", kind: "status", code: 503 };
  expect((await world.admin("POST", "/faults", fault)).status).toBe(201);
  expect((await fetch(world.authorizeUrl())).status).toBe(200);
  expect((await post()).status).toBe(503);
  expect((await post()).status).toBe(200);
  await world.admin("POST", "/faults", { ...fault, kind: "hang" });
  await expect(post(AbortSignal.timeout(300))).rejects.toThrow();
  await world.admin("DELETE", "/faults");
  await world.admin("POST", "/faults", { match: "rest:/user", kind: "status", code: 502 });
  const { octokit } = await world.logIn("mona");
  expect((await failureOf(octokit.rest.users.getAuthenticated())).status).toBe(502);
});

test("what a person may see is kept over a restart", async () => {
  const dataDir = await temporaryFolder();
  const before = await startLoginWorld({ dataDir });
  await setAccess(before, "mona", []);
  await before.github.stop();
  const after = await startWorld({ dataDir, oauth });
  const listed = await (await after.admin("GET", "/people")).json();
  expect(listed).toMatchObject({
    people: [{ access: [{ owner: "acme", name: null, push: true }] }, { login: "mona", access: [] }, {}],
  });
});
