import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { authenticated, failureOf, git, person, startWorld, temporaryFolder } from "./support.ts";

test("a restart finds the same repositories, ids, commits and tokens", async () => {
  const dataDir = await temporaryFolder();
  const before = await startWorld({ dataDir });
  const added = await before.github.addRepository({
    owner: "acme",
    name: "sample",
    private: true,
    defaultBranch: "trunk",
    empty: true,
  });
  const { sha } = await before.github.commit("acme", "sample", { message: "One", files: { a: "1" } });
  const { token } = await before.asInstallation("acme", ["sample"]);
  const installation = (await before.octokitApp.octokit.request("GET /orgs/{org}/installation", { org: "acme" })).data.id;
  await before.github.stop();
  expect(await readFile(join(dataDir, "state.json"), "utf8")).not.toContain(token);

  const after = await startWorld({ dataDir });
  const again = await after.github.addRepository({ owner: "ACME", name: "Sample", empty: true });
  expect(again).toMatchObject({ id: added.id, name: "sample", private: true, defaultBranch: "trunk", sha });
  const { data } = await after.withToken(token).request("GET /repos/acme/sample/branches/trunk");
  expect(data.commit.sha).toBe(sha);
  expect((await after.octokitApp.octokit.request("GET /orgs/{org}/installation", { org: "acme" })).data.id).toBe(installation);
  await git(await temporaryFolder(), "clone", "-q", authenticated(again.cloneUrl, token), "clone");
});

test("the same directory becomes the same commit everywhere, without what its .gitignore names", async () => {
  const tree = await temporaryFolder();
  await mkdir(join(tree, "node_modules"));
  await writeFile(join(tree, "node_modules", "x.js"), "x");
  await writeFile(join(tree, ".gitignore"), "node_modules\n");
  await writeFile(join(tree, "run.sh"), "#!/bin/sh\n", { mode: 0o755 });
  const shas: (string | null)[] = [];
  for (let time = 0; time < 2; time++) {
    const world = await startWorld();
    shas.push((await world.github.addRepository({ owner: "acme", name: "sample", fromTree: tree })).sha);
    const { data } = await world.withToken(person.token).request("GET /repos/acme/sample/commits/main");
    expect(data.files?.map((file: { filename: string }) => file.filename)).toEqual([".gitignore", "run.sh"]);
  }
  expect(shas[0]).toMatch(/^[0-9a-f]{40}$/);
  expect(shas[1]).toBe(shas[0]);
});

test("a local repository's new commits are fetched at every start, and what was pushed here is not lost", async () => {
  const source = await temporaryFolder();
  await git(source, "init", "-q");
  await git(source, "checkout", "-q", "-b", "develop");
  const commit = async (message: string) => {
    await git(source, "commit", "-q", "--allow-empty", "-m", message);
    return git(source, "rev-parse", "HEAD");
  };
  const first = await commit("First");
  await git(source, "branch", "doomed");
  await git(source, "branch", "shared");
  const dataDir = await temporaryFolder();
  const request = { owner: "acme", name: "own", fromPath: source };
  const one = await startWorld({ dataDir });
  expect(await one.github.addRepository(request)).toMatchObject({ sha: first, defaultBranch: "develop" });
  const pushed = await one.github.commit("acme", "own", { branch: "shared", message: "Pushed here", files: { a: "1" } });
  await one.github.commit("acme", "own", { branch: "only-here", message: "Pushed here", files: { b: "1" } });
  await one.github.stop();

  const second = await commit("Second");
  await git(source, "branch", "-q", "-D", "doomed");
  await git(source, "branch", "-f", "shared", second);
  await git(source, "branch", "fresh");
  const two = await startWorld({ dataDir });
  expect((await two.github.addRepository(request)).sha).toBe(second);
  const heads = async (world: typeof two) => {
    const { data } = await world.withToken(person.token).request("GET /repos/acme/own/branches");
    return Object.fromEntries(data.map((branch: { name: string; commit: { sha: string } }) => [branch.name, branch.commit.sha]));
  };
  expect(await heads(two)).toEqual({ develop: second, fresh: second, "only-here": expect.any(String), shared: pushed.sha });
  expect(two.logs.join()).toMatch(/branch shared has commits here that the source has not/);
  await two.github.stop();

  // A history rewritten at the source is followed where nothing was pushed here.
  await git(source, "commit", "-q", "--amend", "--allow-empty", "-m", "Second, again");
  const three = await startWorld({ dataDir });
  expect((await three.github.addRepository(request)).sha).toBe(await git(source, "rev-parse", "HEAD"));
  expect(await git(source, "status", "--porcelain")).toBe("");
  const listed = await git(await temporaryFolder(), "ls-remote", `${three.github.url}/acme/own.git`);
  expect(listed).not.toContain("refs/source");
});

test("a source that is none is refused and leaves nothing behind", async () => {
  const dataDir = await temporaryFolder();
  const plain = await temporaryFolder();
  const world = await startWorld({ dataDir });
  const add = (from: object) => world.github.addRepository({ owner: "acme", name: "sample", ...from });
  await expect(add({ fromPath: plain })).rejects.toThrow(/is not a git repository/);
  await expect(add({ fromPath: join(plain, "none") })).rejects.toThrow(/is not a directory/);
  await expect(add({ fromPath: "relative" })).rejects.toThrow(/must be an absolute path/);
  await expect(add({ fromTree: join(plain, "none") })).rejects.toThrow(/is not a directory/);
  expect((await failureOf(world.withToken(person.token).request("GET /repos/acme/sample"))).status).toBe(404);
  expect(await readdir(join(dataDir, "repositories")).catch(() => [])).toEqual([]);
  expect((await add({ empty: true })).sha).toBeNull();
  const unborn = await temporaryFolder();
  await git(unborn, "init", "-q");
  expect((await world.github.addRepository({ owner: "acme", name: "unborn", fromPath: unborn })).sha).toBeNull();
});
