import { join } from "node:path";
import { expect, test } from "vitest";
import { z } from "zod";
import { validateWebhook } from "./openapi.ts";
import { authenticated, failureOf, git, person, startReceiver, startWorld, temporaryFolder, type World } from "./support.ts";

const eventSchema = z.looseObject({ action: z.string().default("push"), installation: z.looseObject({ id: z.number() }) });

/** A world whose webhooks are read: each must be what GitHub's description says. */
async function startHeard() {
  const receiver = await startReceiver();
  const world = await startWorld({ webhookUrl: receiver.url });
  const admin = async (method: string, path: string, body?: unknown) => {
    const response = await world.admin(method, path, body);
    expect([path, response.ok]).toEqual([path, true]);
  };
  return {
    world,
    admin,
    /** the event of this number, counted from 1 */
    async event(count: number) {
      const delivery = (await receiver.waitFor(count))[count - 1];
      const body = eventSchema.parse(JSON.parse(delivery?.body ?? ""));
      const event = String(delivery?.headers["x-github-event"]);
      if (event !== "push") validateWebhook(`${event.replace("_", "-")}-${body.action}`, body);
      return { event, ...body };
    },
    received: receiver.received,
  };
}

const clone = async (world: World, path: string, token: string | null = null) => {
  const folder = await temporaryFolder();
  const url = `${world.github.url}/${path}.git`;
  await git(folder, "clone", "-q", token === null ? url : authenticated(url, token), "clone");
  return join(folder, "clone");
};

test("a renamed repository: announced, and its old name leads to it by REST, GraphQL and git", async () => {
  const { world, admin, event } = await startHeard();
  const { id } = await world.github.addRepository({ owner: "acme", name: "old", private: true, empty: true });
  const { sha } = await world.github.commit("acme", "old", { message: "One", files: { a: "1" } });
  const { token } = await world.asInstallation("acme");
  await admin("PATCH", "/repositories/acme/old", { name: "new" });
  expect(await event(2)).toMatchObject({
    event: "repository",
    action: "renamed",
    changes: { repository: { name: { from: "old" } } },
    repository: { id, full_name: "acme/new" },
  });

  const answer = await fetch(`${world.github.url}/repos/acme/old/branches/main?x=1`, {
    redirect: "manual",
    headers: { authorization: `Bearer ${token}`, "user-agent": "test" },
  });
  const location = `${world.github.url}/repositories/${id}/branches/main?x=1`;
  expect([answer.status, answer.headers.get("location")]).toEqual([301, location]);
  expect(await answer.json()).toMatchObject({ message: "Moved Permanently", url: location });
  const octokit = world.withToken(token);
  expect((await octokit.rest.repos.get({ owner: "acme", repo: "old" })).data.full_name).toBe("acme/new");
  expect((await octokit.rest.repos.getBranch({ owner: "ACME", repo: "Old", branch: "main" })).data.commit.sha).toBe(sha);

  const query = 'query($follow: Boolean!) { repository(owner: "acme", name: "old", followRenames: $follow) { nameWithOwner } }';
  expect(await octokit.graphql(query, { follow: true })).toEqual({ repository: { nameWithOwner: "acme/new" } });
  await expect(octokit.graphql(query, { follow: false })).rejects.toThrow(/Could not resolve/);

  const copy = await clone(world, "acme/old", token);
  expect(await git(copy, "rev-parse", "HEAD")).toBe(sha);
  await git(copy, "commit", "-q", "--allow-empty", "-m", "Two");
  await git(copy, "push", "-q", "origin", "HEAD");
  expect(await event(3)).toMatchObject({ event: "push", repository: { full_name: "acme/new" } });

  // Strangers do not learn that there is such a repository.
  expect((await failureOf(world.withToken(null).request("GET /repos/acme/old"))).status).toBe(404);
  await world.github.addRepository({ owner: "acme", name: "old", empty: true });
  expect((await octokit.rest.repos.get({ owner: "acme", repo: "old" })).data.full_name).toBe("acme/old");
});

test("a name that is taken cannot be given, and a name that was given back is no redirect", async () => {
  const { world, admin } = await startHeard();
  await world.github.addRepository({ owner: "acme", name: "one", empty: true });
  await world.github.addRepository({ owner: "acme", name: "two", empty: true });
  expect((await world.admin("PATCH", "/repositories/acme/one", { name: "TWO" })).status).toBe(400);
  expect((await world.admin("PATCH", "/repositories/acme/one", { name: "a/b" })).status).toBe(400);
  expect((await world.admin("PATCH", "/repositories/acme/none", { name: "x" })).status).toBe(404);
  await admin("PATCH", "/repositories/acme/one", { name: "three" });
  await admin("PATCH", "/repositories/acme/three", { name: "one" });
  const octokit = world.withToken(person.token);
  expect((await octokit.rest.repos.get({ owner: "acme", repo: "three" })).data.full_name).toBe("acme/one");
  await admin("PATCH", "/repositories/acme/one", { name: "One" });
  expect((await octokit.rest.repos.get({ owner: "acme", repo: "one" })).data.full_name).toBe("acme/One");
});

test("a transferred repository belongs to the other owner's installation", async () => {
  const { world, admin, event } = await startHeard();
  await world.github.addRepository({ owner: "acme", name: "moved", empty: true });
  await admin("PATCH", "/repositories/acme/moved", { owner: "globex" });
  expect(await event(1)).toMatchObject({
    event: "repository",
    action: "transferred",
    changes: { owner: { from: { organization: { login: "acme" } } } },
    repository: { full_name: "globex/moved" },
  });
  await admin("PATCH", "/repositories/globex/moved", { owner: person.login });
  await admin("PATCH", `/repositories/${person.login}/moved`, { owner: "globex" });
  expect(await event(3)).toMatchObject({ changes: { owner: { from: { user: { login: person.login } } } } });
  const { octokit } = await world.asInstallation("globex");
  expect((await octokit.rest.repos.get({ owner: "acme", repo: "moved" })).data.owner.login).toBe("globex");
});

test("archived, unarchived and deleted repositories are announced, and are so afterwards", async () => {
  const dataDir = await temporaryFolder();
  const receiver = await startReceiver();
  const world = await startWorld({ dataDir, webhookUrl: receiver.url });
  await world.github.addRepository({ owner: "acme", name: "sample", empty: true });
  await world.github.commit("acme", "sample", { message: "One", files: { a: "1" } });
  const copy = await clone(world, "acme/sample", person.token);
  const change = (archived: boolean) => world.admin("PATCH", "/repositories/acme/sample", { archived });
  await change(true);
  await change(true);
  await git(copy, "commit", "-q", "--allow-empty", "-m", "Two");
  await expect(git(copy, "push", "-q", "origin", "HEAD")).rejects.toThrow(/archived/);
  await change(false);
  await git(copy, "push", "-q", "origin", "HEAD");
  await world.admin("PATCH", "/repositories/acme/sample", { name: "renamed" });
  expect((await world.admin("DELETE", "/repositories/acme/renamed")).status).toBe(204);
  await expect.poll(() => receiver.received.length, { timeout: 5_000 }).toBe(6);
  const bodies = receiver.received.map((delivery) => eventSchema.parse(JSON.parse(delivery.body)));
  expect(bodies.map((body) => body.action)).toEqual([...["push", "archived", "unarchived", "push", "renamed", "deleted"]]);
  for (const body of bodies) if (body.action !== "push") validateWebhook(`repository-${body.action}`, body);
  const octokit = world.withToken(person.token);
  for (const repo of ["renamed", "sample"]) {
    expect((await failureOf(octokit.rest.repos.get({ owner: "acme", repo }))).status).toBe(404);
  }
  await world.github.stop();
  const again = await startWorld({ dataDir });
  expect((await again.github.addRepository({ owner: "acme", name: "sample", empty: true })).sha).toBeNull();
});

test("a suspended installation gets no token and reads nothing until it is taken up again", async () => {
  const { world, admin, event, received } = await startHeard();
  await world.github.addRepository({ owner: "acme", name: "sample", private: true, empty: true });
  const { octokit, token } = await world.asInstallation("acme");
  await admin("PATCH", "/accounts/acme/installation", { suspended: true });
  expect(await event(1)).toMatchObject({ event: "installation", action: "suspend", repositories: [{ name: "sample" }] });
  const listed = await world.octokitApp.octokit.request("GET /app/installations");
  expect(listed.data).toMatchObject([{ suspended_at: expect.any(String) }]);
  const suspended = { status: 403, message: expect.stringContaining("This installation has been suspended") };
  expect(await failureOf(octokit.rest.repos.get({ owner: "acme", repo: "sample" }))).toMatchObject(suspended);
  expect(await failureOf(world.asInstallation("acme"))).toMatchObject(suspended);
  await expect(clone(world, "acme/sample", token)).rejects.toThrow(/403/);
  await world.github.commit("acme", "sample", { message: "Unheard", files: { a: "1" } });
  await admin("PATCH", "/accounts/acme/installation", { suspended: false });
  expect(await event(2)).toMatchObject({ action: "unsuspend" });
  expect((await octokit.rest.repos.get({ owner: "acme", repo: "sample" })).status).toBe(200);
  expect(received).toHaveLength(2);
});

test("an installation that was taken off is gone with its tokens; the next one is another", async () => {
  const { world, admin, event } = await startHeard();
  await world.github.addRepository({ owner: "acme", name: "sample", empty: true });
  const { octokit } = await world.asInstallation("acme");
  await admin("DELETE", "/accounts/acme/installation");
  const { installation } = await event(1);
  expect((await failureOf(octokit.rest.repos.get({ owner: "acme", repo: "sample" }))).status).toBe(401);
  expect((await world.octokitApp.octokit.request("GET /app/installations")).data).toEqual([]);
  const asApp = world.octokitApp.octokit;
  const asking = asApp.rest.apps.createInstallationAccessToken({ installation_id: installation.id });
  expect((await failureOf(asking)).status).toBe(404);
  await admin("POST", "/accounts/acme/installation");
  const created = await event(2);
  expect(created).toMatchObject({ event: "installation", action: "created", repositories: [{ full_name: "acme/sample" }] });
  expect(created.installation.id).not.toBe(installation.id);
  expect((await (await world.asInstallation("acme")).octokit.rest.repos.get({ owner: "acme", repo: "sample" })).status).toBe(200);
});

test("a repository that the owner takes from the app is not there for it, and comes back", async () => {
  const { world, admin, event } = await startHeard();
  await world.github.addRepository({ owner: "acme", name: "shown", empty: true });
  const { id } = await world.github.addRepository({ owner: "acme", name: "hidden", empty: true });
  const { octokit } = await world.asInstallation("acme");
  await admin("PATCH", "/repositories/acme/hidden", { granted: false });
  expect(await event(1)).toMatchObject({
    event: "installation_repositories",
    action: "removed",
    repository_selection: "selected",
    repositories_added: [],
    repositories_removed: [{ id, full_name: "acme/hidden" }],
  });
  expect((await failureOf(octokit.rest.repos.get({ owner: "acme", repo: "hidden" }))).status).toBe(404);
  const listed = await octokit.rest.apps.listReposAccessibleToInstallation();
  expect(listed.data.repositories.map(({ name }) => name)).toEqual(["shown"]);
  expect((await failureOf(world.asInstallation("acme", ["hidden"]))).status).toBe(422);
  await admin("PATCH", "/repositories/acme/hidden", { granted: true });
  expect(await event(2)).toMatchObject({ action: "added", repository_selection: "all", repositories_added: [{ id }] });
  expect((await octokit.rest.repos.get({ owner: "acme", repo: "hidden" })).status).toBe(200);
});

test("the pages of a commit and of a comparison show git's output, as text", async () => {
  const world = await startWorld();
  await world.github.addRepository({ owner: "acme", name: "sample", empty: true });
  const one = await world.github.commit("acme", "sample", { message: "One", files: { a: "1\n" } });
  const two = await world.github.commit("acme", "sample", { message: "<b>Two</b>", files: { a: "<script>2</script>\n" } });
  const page = async (path: string) => {
    const response = await fetch(`${world.github.url}/${path}`);
    expect(response.headers.get("content-type")).toContain("text/html");
    expect(response.headers.get("content-security-policy")).toBe("default-src 'none'");
    return { status: response.status, text: await response.text() };
  };
  const commit = await page(`acme/sample/commit/${two.sha}`);
  expect(commit.status).toBe(200);
  expect(commit.text).toContain(two.sha);
  expect(commit.text).toContain("&lt;b&gt;Two&lt;/b&gt;");
  expect(commit.text).toContain("+&lt;script&gt;2&lt;/script&gt;");
  expect(commit.text).not.toMatch(/<b>|<script>/);
  expect((await page(`acme/sample/compare/${one.sha}...main`)).text).toContain("-1\n+&lt;script&gt;");
  for (const path of ["commit/0123456789", "commit/--output=x", "compare/main...none", `commit/${"0".repeat(40)}`]) {
    expect([path, (await page(`acme/sample/${path}`)).status]).toEqual([path, 404]);
  }
  await world.admin("PATCH", "/repositories/acme/sample", { name: "renamed" });
  expect((await page(`acme/sample/compare/${one.sha}...${two.sha}`)).status).toBe(200);
  await world.github.addRepository({ owner: "acme", name: "secret", private: true, empty: true });
  const { sha } = await world.github.commit("acme", "secret", { message: "One", files: { a: "1" } });
  expect((await page(`acme/secret/commit/${sha}`)).status).toBe(404);
});
