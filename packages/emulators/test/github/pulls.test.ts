import { createHmac } from "node:crypto";
import { join } from "node:path";
import { expect, test } from "vitest";
import { z } from "zod";
import { validateWebhook } from "./openapi.ts";
import { app, authenticated, failureOf, git, person, startReceiver, startWorld, temporaryFolder, type World } from "./support.ts";

const where = { owner: "acme", repo: "sample" };
const writer = { contents: "write", pull_requests: "write" };
const eventSchema = z.looseObject({
  action: z.string(),
  number: z.number(),
  pull_request: z.looseObject({ state: z.string(), merged: z.boolean(), draft: z.boolean(), updated_at: z.string() }),
});

/** A repository with a branch `work` one commit ahead of main. */
async function startSample(webhookUrl?: string) {
  const world = await startWorld(webhookUrl === undefined ? {} : { webhookUrl });
  const { cloneUrl } = await world.github.addRepository({ owner: "acme", name: "sample", private: true, empty: true });
  const { sha: base } = await world.github.commit("acme", "sample", { message: "First", files: { a: "1\n" } });
  const { sha: head } = await world.github.commit("acme", "sample", { branch: "work", message: "Work", files: { b: "2\n" } });
  return { world, cloneUrl, base, head };
}
const change = async (world: World, number: number, body: object) => {
  const response = await world.admin("PATCH", `/repositories/acme/sample/pulls/${number}`, body);
  expect(response.ok).toBe(true);
};
/** What a 422 of GitHub's says in its errors. */
async function refusalOf(request: Promise<unknown>): Promise<unknown> {
  const error: unknown = await request.then(
    () => null,
    (reason: unknown) => reason,
  );
  const shape = z.object({ status: z.literal(422), response: z.object({ data: z.object({ errors: z.array(z.unknown()) }) }) });
  return shape.parse(error).response.data.errors[0];
}

test("a pull request is opened, listed, read, changed, closed and reopened as GitHub describes", async () => {
  const { world, head, base } = await startSample();
  const { octokit } = await world.asInstallation("acme", ["sample"], writer);
  const opened = await octokit.rest.pulls.create({
    ...where,
    title: "Work",
    head: "work",
    base: "main",
    body: "Why",
    draft: true,
  });
  expect(opened.data).toMatchObject({
    ...{ number: 1, state: "open", draft: true, title: "Work", body: "Why", merged: false, mergeable: true },
    ...{ commits: 1, additions: 1, deletions: 0, changed_files: 1, html_url: `${world.github.url}/acme/sample/pull/1` },
    user: { login: `${app.slug}[bot]`, type: "Bot" },
    head: { ref: "work", sha: head, label: "acme:work" },
    base: { ref: "main", sha: base },
  });
  const numbers = async (query: object) => (await octokit.rest.pulls.list({ ...where, ...query })).data.map((one) => one.number);
  expect(await numbers({})).toEqual([1]);
  expect(await numbers({ head: "acme:work", base: "main" })).toEqual([1]);
  expect(await numbers({ head: "acme:other" })).toEqual([]);
  expect(await numbers({ state: "closed" })).toEqual([]);

  const at = { ...where, pull_number: 1 };
  const renamed = await octokit.rest.pulls.update({ ...at, title: "Better", body: "So" });
  expect(renamed.data).toMatchObject({ title: "Better", body: "So", state: "open" });
  expect((await octokit.rest.pulls.update({ ...at, state: "closed" })).data.closed_at).toEqual(expect.any(String));
  expect(await numbers({ state: "closed" })).toEqual([1]);
  expect((await octokit.rest.pulls.update({ ...at, state: "open" })).data).toMatchObject({ state: "open", closed_at: null });
  expect((await octokit.rest.pulls.get(at)).data.title).toBe("Better");
  expect((await failureOf(octokit.rest.pulls.get({ ...where, pull_number: 2 }))).status).toBe(404);
  expect([...world.seen]).toContain("PATCH /repos/{owner}/{repo}/pulls/{pull_number} 200");
});

test("what cannot become a pull request is refused with GitHub's reasons", async () => {
  const { world } = await startSample();
  const { octokit } = await world.asInstallation("acme", ["sample"], writer);
  const open = (head: string, base = "main") => octokit.rest.pulls.create({ ...where, title: "Work", head, base });
  expect(await refusalOf(open("none"))).toMatchObject({ field: "head", code: "invalid" });
  expect(await refusalOf(open("work", "none"))).toMatchObject({ field: "base", code: "invalid" });
  expect(await refusalOf(open("stranger:work"))).toMatchObject({ field: "head", code: "invalid" });
  expect(await refusalOf(open("main"))).toMatchObject({ message: "No commits between main and main" });
  const results = await Promise.allSettled([open("work"), open("acme:work")]);
  expect(results.map((one) => one.status).sort()).toEqual(["fulfilled", "rejected"]);
  expect(await refusalOf(open("work"))).toMatchObject({ message: "A pull request already exists for acme:work." });
  const untitled = octokit.request("POST /repos/{owner}/{repo}/pulls", { ...where, head: "work", base: "main" });
  expect(await refusalOf(untitled)).toMatchObject({ field: "title", code: "missing_field" });
});

test("a token opens pull requests only with the permission to, and only in its own repositories", async () => {
  const { world } = await startSample();
  await world.github.addRepository({ owner: "acme", name: "other", private: true, empty: true });
  const ask = { ...where, title: "Work", head: "work", base: "main" };
  const status = async (repositories: string[], permissions: Record<string, string>) => {
    const { octokit } = await world.asInstallation("acme", repositories, permissions);
    return (await failureOf(octokit.rest.pulls.create(ask))).status;
  };
  expect(await status(["sample"], { contents: "write" })).toBe(403);
  expect(await status(["sample"], { pull_requests: "read" })).toBe(403);
  expect(await status(["other"], writer)).toBe(404);
  expect((await failureOf(world.withToken(null).rest.pulls.create(ask))).status).toBe(404);
  const reader = await world.asInstallation("acme", ["sample"], { pull_requests: "read" });
  expect((await reader.octokit.rest.pulls.list(where)).data).toEqual([]);
  const { octokit } = await world.asInstallation("acme", ["sample"], { pull_requests: "write" });
  expect((await octokit.rest.pulls.create(ask)).data.number).toBe(1);
});

test("a token of one repository pushes to that one alone, and one to read with to none", async () => {
  const { world, cloneUrl } = await startSample();
  const other = await world.github.addRepository({ owner: "acme", name: "other", private: true, empty: true });
  const { token } = await world.asInstallation("acme", ["sample"], { contents: "write" });
  const reading = await world.asInstallation("acme", ["sample"], { contents: "read" });
  const folder = await temporaryFolder();
  await git(folder, "clone", "-q", authenticated(cloneUrl, reading.token), "clone");
  const clone = join(folder, "clone");
  await expect(git(clone, "push", "-q", "origin", "HEAD:refs/heads/openinspect/x")).rejects.toThrow(/403|not granted/);
  await expect(git(clone, "push", "-q", authenticated(other.cloneUrl, token), "HEAD:refs/heads/x")).rejects.toThrow(/not found/);
  await git(clone, "push", "-q", authenticated(cloneUrl, token), "HEAD:refs/heads/openinspect/x");
  expect(await git(clone, "ls-remote", "origin", "openinspect/x")).toContain("refs/heads/openinspect/x");
});

test("each change of a pull request is announced, signed, as GitHub describes its events", async () => {
  const receiver = await startReceiver();
  const { world, cloneUrl, head } = await startSample(receiver.url);
  const { octokit, token } = await world.asInstallation("acme", ["sample"], writer);
  /** The next event of a pull request. */
  let seen = 0;
  const next = async () => {
    for (;;) {
      const delivery = (await receiver.waitFor(seen + 1))[seen++];
      if (delivery?.headers["x-github-event"] !== "pull_request") continue;
      const digest = createHmac("sha256", app.webhookSecret).update(delivery.body).digest("hex");
      expect(delivery.headers["x-hub-signature-256"]).toBe(`sha256=${digest}`);
      const event = eventSchema.parse(JSON.parse(delivery.body));
      validateWebhook(`pull-request-${event.action.replaceAll("_", "-")}`, event);
      return event;
    }
  };
  await octokit.rest.pulls.create({ ...where, title: "Work", head: "work", base: "main", draft: true });
  expect(await next()).toMatchObject({
    ...{ action: "opened", number: 1, pull_request: { draft: true, state: "open", merged: false } },
    ...{ installation: { id: expect.any(Number) }, sender: { type: "Bot" }, repository: { full_name: "acme/sample" } },
  });
  await change(world, 1, { draft: false });
  expect(await next()).toMatchObject({ action: "ready_for_review", sender: { login: person.login } });
  await change(world, 1, { draft: true });
  expect(await next()).toMatchObject({ action: "converted_to_draft", pull_request: { draft: true } });
  await change(world, 1, { draft: false });
  await next();
  await octokit.rest.pulls.update({ ...where, pull_number: 1, title: "Other" });
  expect(await next()).toMatchObject({ action: "edited", changes: { title: { from: "Work" } } });
  await change(world, 1, { state: "closed" });
  expect(await next()).toMatchObject({ action: "closed", pull_request: { state: "closed", merged: false } });
  await change(world, 1, { state: "open" });
  expect(await next()).toMatchObject({ action: "reopened", pull_request: { state: "open" } });

  const folder = await temporaryFolder();
  await git(folder, "clone", "-q", "-b", "work", authenticated(cloneUrl, token), "clone");
  const clone = join(folder, "clone");
  await git(clone, "commit", "-q", "--allow-empty", "-m", "More");
  await git(clone, "push", "-q", "origin", "work");
  const after = await git(clone, "rev-parse", "HEAD");
  expect(await next()).toMatchObject({ action: "synchronize", before: head, after, pull_request: { head: { sha: after } } });

  await change(world, 1, { merged: true });
  const merged = await next();
  expect(merged).toMatchObject({ action: "closed", pull_request: { state: "closed", merged: true } });
  await git(clone, "fetch", "-q", "origin", "main");
  expect(await git(clone, "log", "-1", "--format=%P", "origin/main")).toContain(after);
  expect((await octokit.rest.pulls.get({ ...where, pull_number: 1 })).data).toMatchObject({ merged: true, mergeable: null });
  const reopening = octokit.rest.pulls.update({ ...where, pull_number: 1, state: "open" });
  expect(await refusalOf(reopening)).toMatchObject({ code: "custom" });
});

test("a branch that is deleted closes its pull request, and a merge that is pushed merges it", async () => {
  const { world, cloneUrl } = await startSample();
  await world.github.commit("acme", "sample", { branch: "gone", message: "Gone", files: { c: "3\n" } });
  const { octokit, token } = await world.asInstallation("acme", ["sample"], writer);
  for (const head of ["work", "gone"]) await octokit.rest.pulls.create({ ...where, title: head, head, base: "main" });
  const folder = await temporaryFolder();
  await git(folder, "clone", "-q", authenticated(cloneUrl, token), "clone");
  const clone = join(folder, "clone");
  await git(clone, "push", "-q", "origin", ":gone");
  await git(clone, "merge", "-q", "--no-ff", "-m", "Merge", "origin/work");
  await git(clone, "push", "-q", "origin", "main");
  const all = (await octokit.rest.pulls.list({ ...where, state: "all" })).data;
  expect(all.map((one) => [one.title, one.state, one.merged_at !== null])).toEqual([
    ["gone", "closed", false],
    ["work", "closed", true],
  ]);
});

test("what conflicts cannot be merged, and a restart knows the pull requests", async () => {
  const dataDir = await temporaryFolder();
  const { github } = await startWorld({ dataDir });
  await github.addRepository({ owner: "acme", name: "sample", empty: true });
  await github.commit("acme", "sample", { message: "First", files: { a: "1\n" } });
  await github.commit("acme", "sample", { branch: "work", message: "Work", files: { a: "2\n" } });
  await github.commit("acme", "sample", { message: "Second", files: { a: "3\n" } });
  const headers = { authorization: `Bearer ${person.token}`, "user-agent": "test", "content-type": "application/json" };
  const body = JSON.stringify({ title: "Work", head: "work", base: "main" });
  expect((await fetch(`${github.url}/repos/acme/sample/pulls`, { method: "POST", headers, body })).status).toBe(201);
  await github.stop();
  const world = await startWorld({ dataDir });
  const page = await fetch(`${world.github.url}/acme/sample/pull/1`);
  const text = await page.text();
  for (const shown of ["acme/sample #1: Work", "open: work into main", "+2"]) expect(text).toContain(shown);
  expect((await fetch(`${world.github.url}/acme/sample/pull/2`)).status).toBe(404);
  const { octokit } = await world.asInstallation("acme");
  const { data } = await octokit.rest.pulls.get({ ...where, pull_number: 1 });
  expect(data).toMatchObject({ mergeable: false, mergeable_state: "dirty", user: { login: person.login } });
  const refused = await world.admin("PATCH", "/repositories/acme/sample/pulls/1", { merged: true });
  expect([refused.status, await refused.json()]).toMatchObject([400, { message: expect.stringContaining("not mergeable") }]);
});
