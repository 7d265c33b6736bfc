/** Builds from a previous image and the verification of a candidate, as the control plane sees them. The images are clones with what setup left. */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { startBridge, type TestBridge } from "./support/bridge-server.ts";
import { git, startGitServer, type TestGitServer, type TestRepository } from "./support/git-server.ts";
import { buildConfig, createSandbox, type TestSandbox, verifyConfig } from "./support/sandbox.ts";

let server: TestGitServer;
let bridge: TestBridge;
let sandbox: TestSandbox;
let repositories = 0;

beforeAll(async () => {
  server = await startGitServer();
});
afterAll(() => server.stop());
beforeEach(async () => {
  bridge = await startBridge();
  sandbox = createSandbox();
});
afterEach(async () => {
  sandbox.remove();
  await bridge.stop();
});

type Files = Parameters<TestRepository["commit"]>[0];
const script = (text: string) => ({ text: `#!/bin/sh\n${text}`, mode: 0o755 });
const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");
/** Says that it ran, and what it found of the run before. */
const setup = script("mkdir -p made; echo setup $(cat made/cache 2>/dev/null) >> made/runs");
const setupDigest = sha256(setup.text);

/** A repository, and the sandbox as it starts from an image of it: the clone and what setup left in it. */
const imageOf = (files: Files): TestRepository & { sha: string } => {
  const repository = server.create(`app${repositories++}`);
  const sha = repository.commit({ "README.md": "hello", ".gitignore": "made/\n", ...files });
  mkdirSync(join(sandbox.workspace, ".."), { recursive: true });
  git("/", "clone", "--quiet", repository.work, sandbox.workspace);
  mkdirSync(join(sandbox.workspace, "made"));
  writeFileSync(join(sandbox.workspace, "made/cache"), "warm");
  return { ...repository, sha };
};
const incremental = (url: string, previous: { setup: string | null }) => sandbox.run(buildConfig(bridge, url, { previous }));
const verification = (url: string, sha: string, limitMs = 10_000) => sandbox.run(verifyConfig(bridge, url, sha, limitMs));
const runs = () => {
  const file = join(sandbox.workspace, "made/runs");
  return existsSync(file) ? readFileSync(file, "utf8") : "";
};
const finished = (phase: string) => bridge.all("phase.finished").find((event) => event.phase === phase);

describe("a build from the previous image", () => {
  test("with the same setup.sh updates the workspace and runs setup again on what is there", async () => {
    const repository = imageOf({ ".openinspect/setup.sh": setup });
    const sha = repository.commit({ "README.md": "changed" });
    const run = incremental(repository.url, { setup: setupDigest });
    expect(await bridge.waitFor("build.finished")).toMatchObject({ sha, setupRan: true });
    expect(bridge.all("workspace.synced")).toEqual([{ type: "workspace.synced", sha, bakedSha: repository.sha }]);
    expect(bridge.all("phase.finished").map(({ phase, outcome }) => [phase, outcome])).toEqual([
      ["sync", "done"],
      ["setup", "done"],
    ]);
    expect(runs()).toBe("setup warm\n");
    expect(bridge.all("build.outdated")).toEqual([]);
    bridge.send({ type: "shutdown", reason: "snapshot taken" });
    expect(await run.exit).toBe(0);
  });

  test("runs refresh.sh in place of setup.sh where there is one, and says so in the phase", async () => {
    const repository = imageOf({ ".openinspect/setup.sh": setup });
    const refresh = script("echo refresh >> made/runs");
    repository.commit({ ".openinspect/refresh.sh": refresh });
    incremental(repository.url, { setup: setupDigest });
    expect(await bridge.waitFor("build.finished")).toMatchObject({ setupRan: true });
    expect(runs()).toBe("refresh\n");
    expect(finished("setup")).toMatchObject({ outcome: "done", detail: ".openinspect/refresh.sh" });
    expect(bridge.all("build.inputs")[0]?.inputs).toMatchObject({ setup: setupDigest, refresh: sha256(refresh.text) });
  });

  test("a refresh.sh that fails is told by its own name", async () => {
    const repository = imageOf({ ".openinspect/setup.sh": setup, ".openinspect/refresh.sh": script("exit 3") });
    const run = incremental(repository.url, { setup: setupDigest });
    const { failure } = await bridge.waitFor("failed");
    expect(failure).toMatchObject({ code: "setup_failed", phase: "setup", exitCode: 3 });
    expect(failure.message).toContain(".openinspect/refresh.sh");
    expect(await run.exit).toBe(1);
  });

  test.each([
    ["another setup.sh", script("echo other"), sha256("#!/bin/sh\necho other")],
    ["no setup.sh any more", null, null],
  ])("with %s only says so: nothing of the repository is run", async (_, next, digest) => {
    const repository = imageOf({ ".openinspect/setup.sh": setup });
    if (next === null) rmSync(join(repository.work, ".openinspect/setup.sh"));
    repository.commit({ ".openinspect/refresh.sh": script("echo refresh >> made/runs") });
    if (next !== null) repository.commit({ ".openinspect/setup.sh": next });
    const run = incremental(repository.url, { setup: setupDigest });
    expect(await bridge.waitFor("build.outdated")).toEqual({ type: "build.outdated", setup: digest });
    bridge.send({ type: "shutdown", reason: "a full build follows" });
    expect(await run.exit).toBe(0);
    expect(runs()).toBe("");
    expect(bridge.all("build.finished")).toEqual([]);
    expect(bridge.all("build.inputs")).toEqual([]);
    expect(bridge.all("phase.started").map(({ phase }) => phase)).toEqual(["sync"]);
  });

  test("an image without a repository fails: nothing is cloned in its place", async () => {
    const repository = imageOf({ ".openinspect/setup.sh": setup });
    rmSync(sandbox.workspace, { recursive: true });
    const run = incremental(repository.url, { setup: setupDigest });
    expect((await bridge.waitFor("failed")).failure).toMatchObject({ code: "sync_failed", phase: "sync" });
    expect(await run.exit).toBe(1);
    expect(existsSync(join(sandbox.workspace, ".git"))).toBe(false);
  });
});

test("a full build says what it depends on before setup runs, and how large workspace and home are after it", async () => {
  const repository = server.create(`app${repositories++}`);
  const lock = '{ "lockfileVersion": 3 }';
  repository.commit({
    "web/package-lock.json": lock,
    ".openinspect/setup.sh": script("head -c 3000000 /dev/urandom > blob; head -c 2000000 /dev/urandom > $HOME/cache"),
    ".openinspect/image.json": '{ "ignorePaths": ["docs/**"] }',
  });
  sandbox.run(buildConfig(bridge, repository.url));
  const { sizeBytes } = await bridge.waitFor("build.finished");
  expect(sizeBytes).toBeGreaterThan(5_000_000);
  expect(sizeBytes).toBeLessThan(7_000_000);
  const told = bridge.events.findIndex(({ event }) => event.type === "build.inputs");
  const began = bridge.events.findIndex(({ event }) => event.type === "phase.started" && event.phase === "setup");
  expect(told).toBeLessThan(began);
  expect(bridge.all("build.inputs")).toMatchObject([
    {
      inputs: { files: [{ path: "web/package-lock.json", digest: sha256(lock) }], omittedFiles: 0, refresh: null },
      file: { ignorePaths: ["docs/**"] },
    },
  ]);
});

test("an image.json that is none ends the build before setup, with what is wrong in the lines", async () => {
  const repository = server.create(`app${repositories++}`);
  repository.commit({
    ".openinspect/setup.sh": setup,
    ".openinspect/image.json": '{ "inputs": "package.json", "ignore": ["docs"] }',
  });
  const run = sandbox.run(buildConfig(bridge, repository.url));
  const { failure } = await bridge.waitFor("failed");
  expect(failure).toMatchObject({ code: "configuration_invalid" });
  expect(failure.message).toContain(".openinspect/image.json");
  expect(failure.lines.some((line) => line.startsWith("inputs:"))).toBe(true);
  expect(failure.lines.some((line) => line.includes("ignore"))).toBe(true);
  expect(bridge.all("phase.started").map(({ phase }) => phase)).toEqual(["clone"]);
  expect(await run.exit).toBe(1);
});

describe("the verification of a candidate", () => {
  test("passes with the built commit and without a verify.sh, and asks nobody for anything", async () => {
    const repository = imageOf({ ".openinspect/setup.sh": setup });
    repository.commit({ "README.md": "newer" });
    const before = server.requests;
    const run = verification(repository.url, repository.sha);
    expect(await bridge.waitFor("verify.finished")).toEqual({
      type: "verify.finished",
      sha: repository.sha,
      verifyRan: false,
    });
    expect(finished("verify")).toMatchObject({ outcome: "skipped" });
    expect(server.requests).toBe(before);
    expect(bridge.credentialRequests).toBe(0);
    expect(runs()).toBe("");
    bridge.send({ type: "shutdown", reason: "verified" });
    expect(await run.exit).toBe(0);
  });

  test.each([
    [
      "another commit",
      (sha: string) => sha.replace(/^./, (digit) => (digit === "0" ? "1" : "0")),
      (sha: string) => sha.slice(0, 7),
    ],
    ["no repository", (sha: string) => sha, () => "none"],
  ])("fails on %s, and runs nothing then", async (what, expected, named) => {
    const repository = imageOf({ ".openinspect/verify.sh": script("echo verify >> made/runs") });
    if (what === "no repository") rmSync(join(sandbox.workspace, ".git"), { recursive: true });
    const run = verification(repository.url, expected(repository.sha));
    const { failure } = await bridge.waitFor("failed");
    expect(failure).toMatchObject({ code: "verify_failed", phase: "verify" });
    expect(failure.message).toContain(named(repository.sha));
    expect(runs()).toBe("");
    expect(await run.exit).toBe(1);
  });

  test("runs verify.sh in the workspace with what setup left, and streams what it prints", async () => {
    const repository = imageOf({ ".openinspect/verify.sh": script("cat made/cache") });
    verification(repository.url, repository.sha);
    expect(await bridge.waitFor("verify.finished")).toMatchObject({ verifyRan: true });
    expect(finished("verify")).toMatchObject({ outcome: "done" });
    expect(bridge.all("log")).toEqual([{ type: "log", phase: "verify", stream: "stdout", text: "warm" }]);
  });

  test.each([
    ["fails", script("echo the database is missing; exit 4"), { exitCode: 4, lines: ["the database is missing"] }, /code 4/],
    ["fills the disk", script("cat /proc/version > /dev/full"), { exitCode: 1 }, /no space was left on the disk/],
    ["is not executable", { text: "#!/bin/sh\n", mode: 0o644 }, { exitCode: null }, /not executable/],
    ["hangs past its limit", script("echo waiting; trap '' TERM; sleep 300"), { lines: ["waiting"] }, /within its limit/],
  ])("fails when verify.sh %s", async (_, verify, expected, message) => {
    const repository = imageOf({ ".openinspect/verify.sh": verify });
    const run = verification(repository.url, repository.sha, 1_000);
    const { failure } = await bridge.waitFor("failed");
    expect(failure).toMatchObject({ code: "verify_failed", phase: "verify", ...expected });
    expect(failure.message).toContain(".openinspect/verify.sh");
    expect(failure.message).toMatch(message);
    expect(finished("verify")).toMatchObject({ outcome: "failed" });
    expect(await run.exit).toBe(1);
    expect(sandbox.processes()).toEqual([]);
  });
});
