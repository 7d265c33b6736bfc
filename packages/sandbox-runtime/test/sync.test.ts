/** Whatever state an image's workspace is in, it ends on the server's head, with ignored files kept. Real git over HTTP. */
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { CredentialRefused } from "../src/adapters/bridge-socket.ts";
import { createCredentialCache } from "../src/adapters/credential-server.ts";
import { bringToHead } from "../src/adapters/git.ts";
import { RuntimeFailure } from "../src/domain/failures.ts";
import { git, startGitServer, type TestGitServer, type TestRepository } from "./support/git-server.ts";

let server: TestGitServer;
let repository: TestRepository;
let root: string;
let workspace: string;

beforeAll(async () => {
  server = await startGitServer();
});
afterAll(() => server.stop());

let repositories = 0;
const begin = () => {
  Object.assign(server, { credential: null, failWith: null, hang: false, authorized: 0, onRequest: () => undefined });
  repository = server.create(`app${repositories++}`);
  repository.commit({ "a.txt": "one\n", ".gitignore": "node_modules/\n", "dir/b.txt": "two\n" });
  root = mkdtempSync(join(tmpdir(), "runtime-sync-"));
  workspace = join(root, "repo");
};
const end = () => rmSync(root, { recursive: true, force: true });

const bring = (phase: "clone" | "sync", more: Partial<Parameters<typeof bringToHead>[0]> = {}) =>
  bringToHead({
    phase,
    workspace,
    stateDir: root,
    cloneUrl: repository.url,
    branch: "main",
    timeoutMs: 20_000,
    env: { PATH: process.env.PATH, HOME: root },
    credentials: createCredentialCache(() => Promise.reject(new CredentialRefused("nobody asked"))),
    signal: new AbortController().signal,
    log: () => undefined,
    retryDelaysMs: [100, 400],
    ...more,
  });
const failureOf = (promise: Promise<unknown>) =>
  promise.then(
    () => null,
    (error: unknown) => (error instanceof RuntimeFailure ? error.failure : Promise.reject(error)),
  );
const inWorkspace = (...args: string[]) => git(workspace, ...args);
/** On `main`, which is at this commit and level with `origin/main`, with nothing changed and nothing untracked. */
const expectAtHead = (sha: string) =>
  expect(inWorkspace("status", "--porcelain=v2", "--branch").split("\n")).toEqual([
    `# branch.oid ${sha}`,
    "# branch.head main",
    "# branch.upstream origin/main",
    "# branch.ab +0 -0",
  ]);

/** Without `git submodule add`, which would clone and so wait for a server in this very process. */
function addSubmodule(inner: TestRepository): void {
  const gitmodules = `[submodule "inner"]\n\tpath = inner\n\turl = ${inner.url}\n`;
  writeFileSync(join(repository.work, ".gitmodules"), gitmodules);
  git(repository.work, "add", ".gitmodules");
  git(repository.work, "update-index", "--add", "--cacheinfo", `160000,${git(inner.work, "rev-parse", "HEAD")},inner`);
  git(repository.work, "commit", "--quiet", "-m", "Submodule");
  mkdirSync(join(repository.work, "inner"), { recursive: true });
  repository.commit({});
}

/** One workspace goes through all of this, one state after the other, as an image that is rebuilt again and again does. */
describe("sync ends at the server's head", () => {
  beforeAll(async () => {
    begin();
    await bring("clone");
  });
  afterAll(end);
  const states: [string, () => void][] = [
    ["a clean workspace", () => undefined],
    [
      "changed, staged and deleted files",
      () => {
        writeFileSync(join(workspace, "a.txt"), "mine\n");
        inWorkspace("add", "a.txt");
        rmSync(join(workspace, "dir"), { recursive: true });
      },
    ],
    [
      "untracked files, folders and nested repositories",
      () => {
        mkdirSync(join(workspace, "new/nested"), { recursive: true });
        writeFileSync(join(workspace, "new/file"), "x");
        git(join(workspace, "new/nested"), "init", "--quiet");
      },
    ],
    [
      "a file where the server has a folder",
      () => {
        rmSync(join(workspace, "fresh"), { recursive: true });
        writeFileSync(join(workspace, "fresh"), "x");
      },
    ],
    [
      "local commits on another branch",
      () => {
        inWorkspace("checkout", "--quiet", "-b", "feature");
        writeFileSync(join(workspace, "a.txt"), "mine\n");
        inWorkspace("commit", "--quiet", "-am", "Mine");
      },
    ],
    ["a detached HEAD", () => void inWorkspace("checkout", "--quiet", "--detach")],
    [
      "stale locks of git",
      () => {
        for (const lock of ["index.lock", "HEAD.lock", "config.lock", "shallow.lock", "refs/heads/main.lock"])
          writeFileSync(join(workspace, ".git", lock), "");
      },
    ],
    ["an index that was cut off", () => writeFileSync(join(workspace, ".git/index"), "DIRC")],
    [
      "an unfinished merge",
      () => {
        inWorkspace("checkout", "--quiet", "-b", "other");
        writeFileSync(join(workspace, "a.txt"), "theirs\n");
        inWorkspace("commit", "--quiet", "-am", "Theirs");
        inWorkspace("checkout", "--quiet", "main");
        writeFileSync(join(workspace, "a.txt"), "ours\n");
        inWorkspace("commit", "--quiet", "-am", "Ours");
        expect(() => inWorkspace("merge", "other")).toThrow();
      },
    ],
    [
      "changes hidden from git",
      () => {
        inWorkspace("update-index", "--skip-worktree", "dir/b.txt");
        inWorkspace("update-index", "--assume-unchanged", "a.txt");
        writeFileSync(join(workspace, "dir/b.txt"), "hidden\n");
        writeFileSync(join(workspace, "a.txt"), "hidden\n");
      },
    ],
    [
      "a repository configuration that setup changed",
      () => {
        inWorkspace("config", "remote.origin.url", "http://127.0.0.1:1/elsewhere.git");
        inWorkspace("config", "core.hooksPath", ".hooks");
        mkdirSync(join(workspace, ".hooks"));
        writeFileSync(join(workspace, ".hooks/post-checkout"), "#!/bin/sh\nexit 1\n", { mode: 0o755 });
      },
    ],
  ];
  test.each(states)("from %s", async (_name, disturb) => {
    mkdirSync(join(workspace, "node_modules/x"), { recursive: true });
    writeFileSync(join(workspace, "node_modules/x/index.js"), "made by setup");
    disturb();
    const before = inWorkspace("rev-parse", "HEAD");
    const head = repository.commit({ "a.txt": `${Math.random()}\n`, "fresh/file": "new\n" });
    const synced = await bring("sync");
    expect(synced).toEqual({ sha: head, branch: "main", bakedSha: before, warnings: [] });
    expectAtHead(head);
    expect(readFileSync(join(workspace, "a.txt"), "utf8")).toBe(readFileSync(join(repository.work, "a.txt"), "utf8"));
    expect(readFileSync(join(workspace, "dir/b.txt"), "utf8")).toBe("two\n");
    expect(readFileSync(join(workspace, "node_modules/x/index.js"), "utf8")).toBe("made by setup");
    expect(existsSync(join(workspace, "new"))).toBe(false);
    expect(inWorkspace("config", "remote.origin.url")).toBe(repository.url);
  });

  const broken: [string, () => void][] = [
    ["a configuration that is not one", () => writeFileSync(join(workspace, ".git/config"), "[[[garbage\n", { flag: "a" })],
    ["objects that are gone", () => rmSync(join(workspace, ".git/objects"), { recursive: true })],
    ["a HEAD that is cut off", () => writeFileSync(join(workspace, ".git/HEAD"), "")],
    ["a repository format of the future", () => inWorkspace("config", "core.repositoryformatversion", "99")],
  ];
  test.each(broken)("from %s: the repository is made anew under what setup made", async (_name, disturb) => {
    writeFileSync(join(workspace, "stale"), "x");
    disturb();
    const head = repository.commit({ "a.txt": `${Math.random()}\n` });
    expect(await bring("sync")).toEqual({ sha: head, branch: "main", bakedSha: null, warnings: [] });
    expectAtHead(head);
    expect(existsSync(join(workspace, "stale"))).toBe(false);
    expect(readFileSync(join(workspace, "node_modules/x/index.js"), "utf8")).toBe("made by setup");
  });

  const misled: [string, () => void][] = [
    [
      "a server that its own settings put in our place",
      () => inWorkspace("config", "url.ssh://git@evil/.insteadOf", repository.url),
    ],
    [
      "a server that the home's settings put in our place",
      () =>
        writeFileSync(
          join(root, ".gitconfig"),
          `[url "git@evil:"]\n\tinsteadOf = http://\n[url "http://127.0.0.1:1/"]\n\tinsteadOf = ${repository.url}\n`,
        ),
    ],
    ["files that git looks for elsewhere", () => inWorkspace("config", "core.worktree", root)],
    ["a repository that says it has no files", () => inWorkspace("config", "core.bare", "true")],
  ];
  test.each(misled)("from %s", async (_name, disturb) => {
    disturb();
    const head = repository.commit({ "a.txt": `${Math.random()}\n` });
    expect(await bring("sync")).toMatchObject({ sha: head, warnings: [] });
    expect(readFileSync(join(workspace, "a.txt"), "utf8")).toBe(readFileSync(join(repository.work, "a.txt"), "utf8"));
    rmSync(join(root, ".gitconfig"), { force: true });
    expectAtHead(head);
  });

  test("after the history was rewritten", async () => {
    git(repository.work, "update-ref", "-d", "refs/heads/main");
    const head = repository.commit({ "a.txt": "another history\n" });
    await bring("sync");
    expectAtHead(head);
  });

  test("when nothing has changed", async () => {
    const { sha } = await bring("sync");
    expect(await bring("sync")).toEqual({ sha, branch: "main", bakedSha: sha, warnings: [] });
  });
});

describe("clone", () => {
  beforeEach(begin);
  afterEach(end);
  test("is shallow, on the branch, with a clean origin, and can be fetched into by anybody later", async () => {
    for (let index = 0; index < 3; index++) repository.commit({ "a.txt": `${index}\n` });
    const { sha } = await bring("clone");
    expectAtHead(sha);
    expect(inWorkspace("config", "remote.origin.url")).toBe(repository.url);
    const head = repository.commit({ "a.txt": "later\n" });
    await promisify(execFile)("git", ["fetch", "--quiet"], { cwd: workspace });
    expect(inWorkspace("rev-parse", "origin/main")).toBe(head);
  });

  test("of a branch with a name that is special in git's settings", async () => {
    const name = 'we"ird#1;/new';
    git(repository.work, "branch", "-m", "main", name);
    const { sha } = await bring("clone", { branch: name });
    expect(inWorkspace("status", "--porcelain=v2", "--branch").split("\n")).toEqual([
      `# branch.oid ${sha}`,
      `# branch.head ${name}`,
      `# branch.upstream origin/${name}`,
      "# branch.ab +0 -0",
    ]);
  });

  test("on a machine whose template for repositories has another origin", async () => {
    mkdirSync(join(root, "template"));
    writeFileSync(join(root, "template/config"), '[remote "origin"]\n\turl = http://127.0.0.1:1/other.git\n');
    writeFileSync(join(root, ".gitconfig"), `[init]\n\ttemplateDir = ${join(root, "template")}\n`);
    const { sha } = await bring("clone");
    expect(inWorkspace("config", "--get-all", "remote.origin.url")).toBe(repository.url);
    expectAtHead(sha);
  });

  test("into a folder that holds files already", async () => {
    mkdirSync(workspace, { recursive: true });
    writeFileSync(join(workspace, "a.txt"), "in the way");
    const { sha } = await bring("clone");
    expectAtHead(sha);
  });

  test("brings submodules of the same server, and one out of reach does not block the rest", async () => {
    const inner = server.create(`inner${repositories++}`);
    inner.commit({ "inner.txt": "inside\n" });
    addSubmodule(inner);
    expect((await bring("clone")).warnings).toEqual([]);
    expect(readFileSync(join(workspace, "inner/inner.txt"), "utf8")).toBe("inside\n");
    git(repository.work, "config", "-f", ".gitmodules", "submodule.inner.url", `${new URL(inner.url).origin}/private.git`);
    const head = repository.commit({});
    rmSync(workspace, { recursive: true });
    const result = await bring("clone");
    expect(result.sha).toBe(head);
    expect(result.warnings[0]).toMatch(/^submodules were not updated/);
  });
});

describe("failures", () => {
  beforeEach(begin);
  afterEach(end);
  test("an empty repository, a missing branch and a missing repository are told apart", async () => {
    const empty = server.create("empty");
    expect(await failureOf(bring("clone", { cloneUrl: empty.url }))).toMatchObject({ code: "repository_empty", phase: "clone" });
    expect(await failureOf(bring("clone", { branch: "nope" }))).toMatchObject({ code: "branch_not_found" });
    const missing = `${new URL(repository.url).origin}/missing.git`;
    expect(await failureOf(bring("clone", { cloneUrl: missing }))).toMatchObject({ code: "repository_not_found" });
  });

  test("a default branch that was renamed is followed where nobody asked for it by its name", async () => {
    await bring("clone");
    const old = inWorkspace("rev-parse", "HEAD");
    git(repository.work, "branch", "-m", "main", "trunk");
    const sha = git(repository.work, "rev-parse", "HEAD");
    expect(await failureOf(bring("sync"))).toMatchObject({ code: "branch_not_found" });
    expect(await bring("sync", { followDefault: true })).toMatchObject({ sha, branch: "trunk", bakedSha: old });
    expect(inWorkspace("symbolic-ref", "HEAD")).toBe("refs/heads/trunk");
    expect(inWorkspace("rev-parse", "--abbrev-ref", "@{upstream}")).toBe("origin/trunk");
    rmSync(workspace, { recursive: true });
    expect(await bring("clone", { followDefault: true })).toMatchObject({ sha, branch: "trunk" });
    expect(await failureOf(bring("sync", { branch: "nope" }))).toMatchObject({ code: "branch_not_found" });
  });

  test("whether another sandbox would meet the same cause is told apart", async () => {
    await bring("clone");
    const isOutside = (more?: Parameters<typeof bring>[1]) =>
      bring("sync", more).then(
        () => null,
        (error: unknown) => error instanceof RuntimeFailure && error.isOutside,
      );
    server.failWith = 500;
    expect(await isOutside()).toBe(true);
    server.failWith = null;
    expect(await isOutside({ branch: "nope" })).toBe(false);
  });

  test("a server that answers 500 is asked again, then is a failed clone with git's lines", async () => {
    server.failWith = 500;
    const failure = await failureOf(bring("clone"));
    expect(failure).toMatchObject({ code: "clone_failed" });
    expect(failure?.lines.join("\n")).toMatch(/500/);
  });

  test("a server that recovers within the tries costs nothing", async () => {
    server.failWith = 503;
    setTimeout(() => {
      server.failWith = null;
    }, 300);
    await expect(bring("clone")).resolves.toMatchObject({ bakedSha: null });
  });

  test("a server that never answers ends at the limit", async () => {
    await bring("clone");
    server.hang = true;
    const started = Date.now();
    const failure = await failureOf(bring("sync", { timeoutMs: 700 }));
    expect(failure).toMatchObject({ code: "sync_failed" });
    expect(failure?.message).toMatch(/longer than/);
    expect(Date.now() - started).toBeLessThan(5_000);
  });
});

describe("credentials", () => {
  beforeEach(begin);
  afterEach(end);
  const secret = "ghs_verySecretToken0123456789";
  const found = (folder: string): string[] =>
    readdirSync(folder, { recursive: true, withFileTypes: true }).flatMap((entry) => {
      const file = join(entry.parentPath, entry.name);
      return entry.isFile() && readFileSync(file).includes(secret) ? [file] : [];
    });

  test("reach git on demand and are nowhere on disk, in arguments or in the environment", async () => {
    server.credential = `x-access-token:${secret}`;
    const seen: string[] = [];
    server.onRequest = () => {
      for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
        for (const name of ["cmdline", "environ"]) {
          try {
            if (Number(pid) !== process.pid && readFileSync(`/proc/${pid}/${name}`, "utf8").includes(secret))
              seen.push(`${pid}/${name}`);
          } catch {
            // ended in between
          }
        }
      }
    };
    let asked = 0;
    const credentials = createCredentialCache(() => {
      asked++;
      expect(statSync(join(root, "credential.sock")).mode & 0o777).toBe(0o600);
      return Promise.resolve({ username: "x-access-token", password: secret });
    });
    await bring("clone", { credentials });
    expect(asked).toBe(1);
    expect(server.authorized).toBeGreaterThan(0);
    expect(seen).toEqual([]);
    expect(found(root)).toEqual([]);
    expect(existsSync(join(root, "credential.sock"))).toBe(false);
    await bring("sync", { credentials });
    expect(asked).toBe(1);
  });

  test("one that the server rejects is replaced by a new one", async () => {
    server.credential = `x-access-token:${secret}`;
    const passwords = ["expired", secret];
    const credentials = createCredentialCache(() =>
      Promise.resolve({ username: "x-access-token", password: passwords.shift() ?? "none" }),
    );
    await expect(bring("clone", { credentials })).resolves.toMatchObject({ bakedSha: null });
  });

  test("refused by the control plane or by the server for good: credentials_refused with the reason", async () => {
    server.credential = `x-access-token:${secret}`;
    const refused = await failureOf(bring("clone"));
    expect(refused).toMatchObject({ code: "credentials_refused" });
    expect(refused?.message).toMatch(/nobody asked/);
    const credentials = createCredentialCache(() => Promise.resolve({ username: "x", password: "wrong-password" }));
    const rejected = await failureOf(bring("clone", { credentials }));
    expect(rejected).toMatchObject({ code: "credentials_refused" });
    expect(JSON.stringify(rejected)).not.toContain("wrong-password");
  });

  test("are not given to another server", async () => {
    const other = await startGitServer();
    try {
      other.credential = "x:y";
      const inner = other.create("inner");
      inner.commit({ "x.txt": "x" });
      server.credential = `x-access-token:${secret}`;
      addSubmodule(inner);
      const credentials = createCredentialCache(() => Promise.resolve({ username: "x-access-token", password: secret }));
      const { warnings } = await bring("clone", { credentials });
      expect(warnings).toHaveLength(1);
      expect(other.authorized).toBe(0);
    } finally {
      await other.stop();
    }
  });
});

describe("what is written while the workspace is moved to the head", () => {
  beforeAll(async () => {
    begin();
    await bring("clone");
  });
  afterAll(end);
  const told: (string[] | null)[] = [];
  const write = (path: string, text: string) => writeFileSync(join(workspace, path), text);
  const during = (work: () => void) =>
    bring("sync", {
      onChanged(files) {
        told.push(files?.toSorted() ?? null);
        work();
      },
    });

  test("stays where the move touches other files, which are told before", async () => {
    told.length = 0;
    const head = repository.commit({ "a.txt": "two\n", "fresh/c.txt": "new\n" });
    const { sha } = await during(() => {
      write("dir/b.txt", "the agent's\n");
      write("mine.txt", "new\n");
    });
    expect(told).toEqual([["a.txt", "fresh/c.txt"]]);
    expect([sha, inWorkspace("rev-parse", "main")]).toEqual([head, head]);
    expect(inWorkspace("status", "--porcelain").split("\n")).toEqual(["M dir/b.txt", "?? mine.txt"]);
    expect(readFileSync(join(workspace, "a.txt"), "utf8")).toBe("two\n");
  });

  test("is none before: what setup or another session left is gone by then", async () => {
    write("dir/b.txt", "left\n");
    told.length = 0;
    await during(() => expect(inWorkspace("status", "--porcelain")).toBe(""));
    expect(told).toEqual([[]]);
  });

  test("an ignored file that the server has by now is the server's", async () => {
    mkdirSync(join(workspace, "node_modules"), { recursive: true });
    write("node_modules/x", "made by setup");
    mkdirSync(join(repository.work, "node_modules"), { recursive: true });
    writeFileSync(join(repository.work, "node_modules/x"), "tracked");
    git(repository.work, "add", "--force", "node_modules/x");
    const head = repository.commit({});
    await during(() => undefined);
    expectAtHead(head);
    expect(readFileSync(join(workspace, "node_modules/x"), "utf8")).toBe("tracked");
  });

  test("no file is told to be safe where there are submodules, which are checked out anew", async () => {
    told.length = 0;
    const head = repository.commit({ ".gitmodules": "" });
    await during(() => undefined);
    expect(told).toEqual([null]);
    expectAtHead(head);
  });
});
