import { chmod, mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { request as httpRequest } from "node:http";
import { join } from "node:path";
import { expect, test } from "vitest";
import { validateAnswer } from "./openapi.ts";
import { failureOf, git, person, startWorld, temporaryFolder } from "./support.ts";

/** A local repository with a few branches, a tag, a rename, a binary file, a merge and odd names. */
async function makeSource(): Promise<string> {
  const source = await temporaryFolder();
  await git(source, "init", "-q");
  await mkdir(join(source, "src"));
  await writeFile(join(source, "src", "a.txt"), Array.from({ length: 30 }, (_, index) => `line ${index}\n`).join(""));
  await writeFile(join(source, "bin.dat"), Buffer.from([0, 1, 2, 0]));
  await git(source, "add", ".");
  await git(source, "commit", "-qm", "First\n\nWith a body\n");
  await git(source, "branch", "feature/deep");
  await rename(join(source, "src", "a.txt"), join(source, "src", "b ü.txt"));
  await writeFile(join(source, "bin.dat"), Buffer.from([0, 3]));
  await writeFile(join(source, "run.sh"), "#!/bin/sh\n");
  await chmod(join(source, "run.sh"), 0o755);
  await git(source, "add", ".");
  await git(source, "commit", "-qm", "Second");
  await git(source, "tag", "-a", "v1", "-m", "Version 1");
  await git(source, "checkout", "-q", "feature/deep");
  await writeFile(join(source, "side.txt"), "side\n");
  await git(source, "add", ".");
  await git(source, "commit", "-qm", "Side");
  await git(source, "checkout", "-q", "main");
  return source;
}

test("every answer about a repository is what GitHub's own description says", async () => {
  const source = await makeSource();
  const world = await startWorld();
  await world.github.addRepository({ owner: "acme", name: "sample", fromPath: source });
  const { octokit } = await world.asInstallation("acme", ["sample"], { contents: "read" });
  const where = { owner: "acme", repo: "sample" };
  const main = await git(source, "rev-parse", "main");
  const first = await git(source, "rev-parse", "main~1");
  const side = await git(source, "rev-parse", "feature/deep");

  expect((await octokit.rest.repos.get(where)).data).toMatchObject({ full_name: "acme/sample", default_branch: "main" });
  const branches = await octokit.rest.repos.listBranches(where);
  expect(branches.data.map((entry) => [entry.name, entry.commit.sha])).toEqual([
    ["feature/deep", side],
    ["main", main],
  ]);
  const onePage = await octokit.rest.repos.listBranches({ ...where, per_page: 1 });
  expect(onePage.headers.link).toMatch(/page=2>; rel="next".*page=2>; rel="last"/);
  expect((await octokit.paginate(octokit.rest.repos.listBranches, { ...where, per_page: 1 })).length).toBe(2);
  expect((await octokit.rest.repos.getBranch({ ...where, branch: "feature/deep" })).data.commit.sha).toBe(side);
  const ref = await octokit.rest.git.getRef({ ...where, ref: "heads/feature/deep" });
  expect(ref.data).toMatchObject({ ref: "refs/heads/feature/deep", object: { type: "commit", sha: side } });
  expect((await octokit.rest.git.getRef({ ...where, ref: "tags/v1" })).data.object.type).toBe("tag");

  const list = await octokit.rest.repos.listCommits(where);
  expect(list.data.map((entry) => entry.sha)).toEqual([main, first]);
  expect(list.data[1]?.commit.message).toBe("First\n\nWith a body");
  const touching = await octokit.rest.repos.listCommits({ ...where, sha: "feature/deep", path: "side.txt" });
  expect(touching.data.map((entry) => entry.sha)).toEqual([side]);
  const paged = await octokit.rest.repos.listCommits({ ...where, per_page: 1, page: 2 });
  expect(paged.data.map((entry) => entry.sha)).toEqual([first]);

  for (const name of ["main", "heads/main", "v1", main, main.slice(0, 7)]) {
    expect((await octokit.rest.repos.getCommit({ ...where, ref: name })).data.sha).toBe(main);
  }
  const { data: second } = await octokit.rest.repos.getCommit({ ...where, ref: "main" });
  expect(second.parents.map((parent) => parent.sha)).toEqual([first]);
  const summary = second.files?.map(({ filename, status, additions, previous_filename }) => ({
    filename,
    status,
    additions,
    ...(previous_filename ? { previous_filename } : {}),
  }));
  expect(summary).toEqual([
    { filename: "bin.dat", status: "modified", additions: 0 },
    { filename: "run.sh", status: "added", additions: 1 },
    { filename: "src/b ü.txt", status: "renamed", additions: 0, previous_filename: "src/a.txt" },
  ]);
  const root = await octokit.rest.repos.getCommit({ ...where, ref: first });
  expect(root.data.stats).toEqual({ total: 30, additions: 30, deletions: 0 });
  const plain = await octokit.request("GET /repos/{owner}/{repo}/commits/{ref}", {
    ...where,
    ref: "main",
    mediaType: { format: "sha" },
  });
  expect(plain.data).toBe(main);

  const compare = async (basehead: string) => (await octokit.rest.repos.compareCommitsWithBasehead({ ...where, basehead })).data;
  expect(await compare(`${first}...main`)).toMatchObject({
    status: "ahead",
    ahead_by: 1,
    behind_by: 0,
    commits: [{ sha: main }],
  });
  expect(await compare(`main...${first}`)).toMatchObject({ status: "behind", ahead_by: 0, behind_by: 1, commits: [], files: [] });
  expect(await compare("main...acme:main")).toMatchObject({ status: "identical", total_commits: 0 });
  const diverged = await compare("main...feature/deep");
  expect(diverged).toMatchObject({ status: "diverged", ahead_by: 1, behind_by: 1, merge_base_commit: { sha: first } });
  expect(diverged.files?.map((file) => file.filename)).toEqual(["side.txt"]);

  await octokit.request("GET /rate_limit");
  await octokit.request("GET /meta");
  // Each of these was compared with the description on its way.
  expect([...world.seen].sort()).toEqual([
    "GET /meta 200",
    "GET /rate_limit 200",
    "GET /repos/{owner}/{repo} 200",
    "GET /repos/{owner}/{repo}/branches 200",
    "GET /repos/{owner}/{repo}/branches/{branch} 200",
    "GET /repos/{owner}/{repo}/commits 200",
    "GET /repos/{owner}/{repo}/commits/{ref} 200",
    "GET /repos/{owner}/{repo}/compare/{basehead} 200",
    "GET /repos/{owner}/{repo}/git/ref/{ref} 200",
    "GET /users/{username}/installation 200",
    "POST /app/installations/{installation_id}/access_tokens 201",
  ]);
});

test("a commit made here takes every name that git takes, removes what it says, and makes scripts executable", async () => {
  const world = await startWorld();
  const { cloneUrl } = await world.github.addRepository({ owner: "acme", name: "sample", empty: true });
  const files = { 'a b/"ü\\☃".txt': "x\n", "\ttab": "no newline", "run.sh": "#!/bin/sh\n", empty: "", gone: "1" };
  await world.github.commit("acme", "sample", { message: "One", files });
  await world.github.commit("acme", "sample", { message: "Two\n\nbody", files: { gone: null, "never/there": null } });
  const folder = await temporaryFolder();
  await git(folder, "clone", "-q", cloneUrl, "clone");
  const listed = await git(join(folder, "clone"), "-c", "core.quotePath=false", "ls-files", "-s", "-z");
  const seen = listed
    .split("\0")
    .flatMap((line) => (line === "" ? [] : [[line.slice(0, 6), line.slice(line.indexOf("\t") + 1)]]));
  expect(seen.sort()).toEqual([
    ["100644", "\ttab"],
    ["100644", 'a b/"ü\\☃".txt'],
    ["100644", "empty"],
    ["100755", "run.sh"],
  ]);
  expect(await readFile(join(folder, "clone", "\ttab"), "utf8")).toBe("no newline");
  expect(await git(join(folder, "clone"), "log", "--format=%an %B", "-1")).toBe(`${person.login} Two\n\nbody`);
});

test("a comparison lists its commits oldest first, on each page", async () => {
  const world = await startWorld();
  await world.github.addRepository({ owner: "acme", name: "sample", empty: true });
  const shas: string[] = [];
  for (let index = 0; index < 6; index++) {
    shas.push((await world.github.commit("acme", "sample", { message: `commit ${index}`, files: { f: `${index}` } })).sha);
  }
  const where = { owner: "acme", repo: "sample", basehead: `${shas[0]}...main` };
  const client = world.withToken(person.token);
  const of = async (page: number) =>
    (await client.rest.repos.compareCommitsWithBasehead({ ...where, per_page: 2, page })).data.commits.map((entry) => entry.sha);
  expect([await of(1), await of(2), await of(3), await of(4)]).toEqual([shas.slice(1, 3), shas.slice(3, 5), shas.slice(5), []]);
  const whole = await client.rest.repos.compareCommitsWithBasehead(where);
  expect(whole.data.commits.map((entry) => entry.sha)).toEqual(shas.slice(1));
});

test("what is not there is said the way GitHub says it", async () => {
  const source = await makeSource();
  const world = await startWorld();
  await world.github.addRepository({ owner: "acme", name: "sample", fromPath: source });
  await world.github.addRepository({ owner: "acme", name: "empty", empty: true });
  const { octokit } = await world.asInstallation("acme");
  const cases: [string, number, RegExp][] = [
    ["/repos/acme/none", 404, /Not Found/],
    ["/repos/acme/sample/branches/none", 404, /Branch not found/],
    ["/repos/acme/sample/git/ref/heads/none", 404, /Not Found/],
    ["/repos/acme/sample/commits/none", 422, /No commit found for SHA: none/],
    ["/repos/acme/sample/commits/0123456789012345678901234567890123456789", 422, /No commit found/],
    ["/repos/acme/sample/commits?sha=none", 404, /Not Found/],
    ["/repos/acme/sample/compare/main...none", 404, /Not Found/],
    ["/repos/acme/sample/compare/main", 404, /Not Found/],
    ["/repos/acme/empty/commits", 409, /Git Repository is empty\./],
    ["/repos/acme/empty/commits/main", 409, /Git Repository is empty\./],
    ["/repos/acme/empty/git/ref/heads/main", 409, /Git Repository is empty\./],
    ["/repos/acme/empty/branches/main", 404, /Branch not found/],
  ];
  for (const [path, status, message] of cases) {
    const failure = await failureOf(octokit.request(`GET ${path}`));
    expect([path, failure.status]).toEqual([path, status]);
    expect(failure.message).toMatch(message);
  }
  expect((await octokit.request("GET /repos/acme/empty/branches")).data).toEqual([]);
  expect((await octokit.request("GET /repos/acme/empty")).data.default_branch).toBe("main");
});

test("revision syntax and options in a name reach no git", async () => {
  const source = await makeSource();
  const world = await startWorld();
  await world.github.addRepository({ owner: "acme", name: "sample", fromPath: source });
  const { octokit } = await world.asInstallation("acme");
  for (const ref of [
    "--all",
    "main~1",
    "main^{tree}",
    ":/First",
    "@",
    "HEAD@{0}",
    "main..feature/deep",
    "-1",
    "refs/source/heads/main",
  ]) {
    const failure = await failureOf(octokit.request("GET /repos/acme/sample/commits/{ref}", { ref }));
    expect([ref, failure.status]).toEqual([ref, 422]);
  }
  expect(
    (await failureOf(octokit.request("GET /repos/acme/sample/compare/{basehead}", { basehead: "--output=x...main" }))).status,
  ).toBe(404);
});

test("an unchanged answer is 304 and costs nothing of the hourly allowance", async () => {
  const world = await startWorld();
  await world.github.addRepository({ owner: "acme", name: "sample", empty: true });
  const { octokit } = await world.asInstallation("acme");
  const first = await octokit.request("GET /repos/acme/sample");
  const etag = first.headers.etag ?? "";
  expect(etag).toMatch(/^W\/"[0-9a-f]{64}"$/);
  const again = await failureOf(octokit.request("GET /repos/acme/sample", { headers: { "if-none-match": etag } }));
  expect(again.status).toBe(304);
  const third = await octokit.request("GET /repos/acme/sample/branches");
  expect(Number(first.headers["x-ratelimit-remaining"]) - Number(third.headers["x-ratelimit-remaining"])).toBe(1);
  await world.github.commit("acme", "sample", { message: "change", files: { a: "1" } });
  const branches = await octokit.request("GET /repos/acme/sample/branches", { headers: { "if-none-match": third.headers.etag } });
  expect(branches.status).toBe(200);
});

test("whoever knows the head asks with it as the entity tag", async () => {
  const world = await startWorld();
  await world.github.addRepository({ owner: "acme", name: "sample", empty: true });
  const { sha } = await world.github.commit("acme", "sample", { message: "first", files: { a: "1" } });
  const { octokit } = await world.asInstallation("acme");
  const ask = (known: string) => {
    const headers = { accept: "application/vnd.github.sha", "if-none-match": `"${known}"` };
    return octokit.request("GET /repos/acme/sample/commits/heads/main", { headers });
  };
  expect((await ask("0".repeat(40))).data).toBe(sha);
  expect((await failureOf(ask(sha))).status).toBe(304);
});

test("the hourly allowance is counted, ends in a 403, and comes back", async () => {
  let at = Date.now();
  const world = await startWorld({ now: () => at, rateLimit: { authenticated: 3, anonymous: 1 } });
  await world.github.addRepository({ owner: "acme", name: "sample", empty: true });
  const client = world.withToken(person.token);
  for (const left of ["2", "1", "0"]) {
    expect((await client.request("GET /repos/acme/sample")).headers["x-ratelimit-remaining"]).toBe(left);
  }
  const failure = await failureOf(client.request("GET /repos/acme/sample"));
  expect(failure).toMatchObject({ status: 403, message: expect.stringContaining("API rate limit exceeded") });
  expect((await client.request("GET /rate_limit")).data.rate).toMatchObject({ limit: 3, used: 3, remaining: 0 });
  at += 3_601_000;
  expect((await client.request("GET /repos/acme/sample")).status).toBe(200);
});

test("a private repository does not exist for strangers; a public one may be read by all", async () => {
  const world = await startWorld();
  await world.github.addRepository({ owner: "acme", name: "open", empty: true });
  await world.github.addRepository({ owner: "acme", name: "closed", private: true, empty: true });
  const stranger = world.withToken(null);
  expect((await stranger.request("GET /repos/acme/open")).data.visibility).toBe("public");
  expect((await failureOf(stranger.request("GET /repos/acme/closed"))).status).toBe(404);
  expect((await world.withToken(person.token).request("GET /repos/acme/closed")).data.visibility).toBe("private");
});

test("a request without a User-Agent, or for another host, is turned away", async () => {
  const world = await startWorld();
  const status = (headers: Record<string, string>) =>
    new Promise<number>((resolve, reject) => {
      const request = httpRequest(`${world.github.url}/meta`, { headers }, (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      });
      request.on("error", reject);
      request.end();
    });
  expect(await status({})).toBe(403);
  expect(await status({ "user-agent": "test" })).toBe(200);
  expect(await status({ "user-agent": "test", host: "evil.example:80" })).toBe(421);
});

test("clients that put the API below /api/v3 and /api/graphql find it there", async () => {
  const world = await startWorld();
  await world.github.addRepository({ owner: "acme", name: "sample", empty: true });
  const headers = { authorization: `token ${person.token}` };
  const rest = await fetch(`${world.github.url}/api/v3/repos/acme/sample`, { headers });
  expect(await rest.json()).toMatchObject({ full_name: "acme/sample" });
  const body = JSON.stringify({ query: '{ repository(owner: "acme", name: "sample") { isEmpty } }' });
  const graphql = await fetch(`${world.github.url}/api/graphql`, { method: "POST", headers, body });
  expect(await graphql.json()).toEqual({ data: { repository: { isEmpty: true } } });
});

test("the check against the description can fail", () => {
  const check = (body: unknown) => () => validateAnswer("GET", "/repos/a/b/branches", 200, "application/json", body);
  const commit = { sha: "a".repeat(40), url: "http://127.0.0.1/x" };
  expect(check([{ name: "main", commit, protected: false }])).not.toThrow();
  expect(check([{ name: "main", commit, protected: "no" }])).toThrow(/protected/);
  expect(check([{ name: "main", commit: { ...commit, url: "no url" }, protected: false }])).toThrow(/uri/);
  expect(check([{ commit, protected: false }])).toThrow(/name/);
  expect(() => validateAnswer("GET", "/no/such/path/there", 200, "application/json", {})).toThrow(/not a path/);
});
