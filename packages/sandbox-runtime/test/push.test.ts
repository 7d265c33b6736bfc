/** Work on its way to a branch of its own: real git over HTTP, a credential for each push. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { CredentialRefused } from "../src/adapters/bridge-socket.ts";
import { createCredentialCache } from "../src/adapters/credential-server.ts";
import { bringToHead } from "../src/adapters/git.ts";
import { pushWork } from "../src/adapters/git-push.ts";
import { git, startGitServer, type TestGitServer, type TestRepository } from "./support/git-server.ts";

let server: TestGitServer;
let repository: TestRepository;
let root: string;
let workspace: string;
let base: string;
let repositories = 0;
beforeAll(async () => {
  server = await startGitServer();
});
afterAll(() => server.stop());

const reader = createCredentialCache(async () => ({ username: "x", password: "read" }));
const writer = () => createCredentialCache(async () => ({ username: "x", password: "write" }));
const place = () => ({ workspace, stateDir: root, cloneUrl: repository.url, env: { PATH: process.env.PATH, HOME: root } });

beforeEach(async () => {
  Object.assign(server, { credential: null, writeCredential: "x:write", failWith: null });
  repository = server.create(`app${repositories++}`);
  base = repository.commit({ "a.txt": "one\n", ".gitignore": "made/\n" });
  root = mkdtempSync(join(tmpdir(), "runtime-push-"));
  workspace = join(root, "repo");
  const signal = new AbortController().signal;
  const clone = { phase: "clone", branch: "main", timeoutMs: 20_000, credentials: reader, signal, log: () => undefined } as const;
  await bringToHead({ ...place(), ...clone });
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const push = (more: Partial<Parameters<typeof pushWork>[0]> = {}) =>
  pushWork({
    ...place(),
    base: { branch: "main", sha: base },
    branch: "work/1",
    message: "Make it two\n\nBecause.",
    author: { name: "Ada", email: "ada@example.com", login: "ada" },
    credentials: writer(),
    signal: new AbortController().signal,
    ...more,
  });
const write = (text: string, file = "a.txt") => writeFileSync(join(workspace, file), text);
const onServer = (...args: string[]) => git(repository.work, ...args);

test("what is not committed is committed as its author, what is ignored is not, and HEAD is on the branch", async () => {
  write("two\n");
  write("new\n", "b.txt");
  const outcome = await push();
  const sha = onServer("rev-parse", "work/1");
  expect(outcome).toEqual({ kind: "pushed", branch: "work/1", sha, commits: 1 });
  expect(onServer("log", "-1", "--format=%an <%ae> %cn%n%B", "work/1")).toBe(
    "Ada <ada@example.com> Ada\nMake it two\n\nBecause.",
  );
  expect(onServer("diff", "--name-only", "main", "work/1").split("\n")).toEqual(["a.txt", "b.txt"]);
  expect(git(workspace, "status", "--porcelain=v2", "--branch").split("\n").slice(0, 3)).toEqual([
    `# branch.oid ${sha}`,
    "# branch.head work/1",
    "# branch.upstream origin/work/1",
  ]);
  expect(onServer("rev-parse", "main")).toBe(base);
});

test("made again it pushes what came since, and without anything new answers the same", async () => {
  write("two\n");
  const first = await push();
  expect(await push()).toEqual(first);
  write("three\n");
  expect(await push({ message: "Three" })).toMatchObject({ kind: "pushed", commits: 2 });
  expect(onServer("log", "--format=%s", "main..work/1").split("\n")).toEqual(["Three", "Make it two"]);
});

test("the agent's own commits on its own branch go as they are", async () => {
  git(workspace, "checkout", "--quiet", "-b", "agents-idea");
  git(workspace, "commit", "--quiet", "--allow-empty", "-m", "Idea");
  expect(await push()).toMatchObject({ kind: "pushed", branch: "work/1", commits: 1 });
  expect(git(workspace, "symbolic-ref", "--short", "HEAD")).toBe("agents-idea");
});

test("without any work there is nothing to push, also when the branch has moved on", async () => {
  expect(await push()).toEqual({ kind: "nothing" });
  git(workspace, "commit", "--quiet", "--allow-empty", "-m", "Upstream");
  git(workspace, "update-ref", "refs/remotes/origin/main", "HEAD");
  expect(await push()).toEqual({ kind: "nothing" });
  expect(onServer("branch", "--list", "work/1")).toBe("");
});

describe("says in a sentence why it cannot be, and loses nothing", () => {
  const fails = async (more: Parameters<typeof push>[0], message: RegExp) => {
    write("two\n");
    expect(await push(more)).toEqual({ kind: "failed", message: expect.stringMatching(message) });
    expect(onServer("rev-parse", "main")).toBe(base);
    expect(git(workspace, "show", "HEAD:a.txt") === "two" || git(workspace, "diff", "--name-only") === "a.txt").toBe(true);
  };

  test("to the default branch", () => fails({ branch: "main" }, /^main is the default branch: /));

  test("over commits that somebody else has pushed: never by force", async () => {
    onServer("branch", "work/1", base);
    onServer("checkout", "--quiet", "work/1");
    const theirs = repository.commit({ "theirs.txt": "x" }) && onServer("rev-parse", "work/1");
    onServer("checkout", "--quiet", "main");
    await fails({}, /^work\/1 has commits on the server that the workspace does not have; nothing is overwritten/);
    expect(onServer("rev-parse", "work/1")).toBe(theirs);
  });

  test("with a credential that may only read", () => fails({ credentials: reader }, /^Pushing work\/1 failed: .*403/));

  test("without a credential", () => {
    server.credential = "x:write";
    const credentials = createCredentialCache(() => Promise.reject(new CredentialRefused("pushing is switched off")));
    return fails({ credentials }, /pushing is switched off\.$/);
  });

  test("while files are in conflict", async () => {
    git(workspace, "checkout", "--quiet", "-b", "other");
    write("theirs\n");
    git(workspace, "commit", "--quiet", "-am", "Theirs");
    git(workspace, "checkout", "--quiet", "main");
    write("ours\n");
    git(workspace, "commit", "--quiet", "-am", "Ours");
    expect(() => git(workspace, "merge", "other")).toThrow();
    expect(await push()).toEqual({ kind: "failed", message: expect.stringMatching(/^Files are in conflict/) });
  });
});
