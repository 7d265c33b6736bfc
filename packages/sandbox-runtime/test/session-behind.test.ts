/** How far a session's image was behind the branch, told after the session is ready. The image is a clone, the agent a stub. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bridgeCloseCodes } from "@open-inspect/protocol";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { startBridge, type TestBridge } from "./support/bridge-server.ts";
import { git, startGitServer, type TestGitServer } from "./support/git-server.ts";
import { createSandbox, type RunningRuntime, sessionConfig } from "./support/sandbox.ts";
import { writeStubAgent } from "./support/stub-agent.ts";

let server: TestGitServer;
let agentFolder: string;
let repositories = 0;
const cleanups: (() => unknown)[] = [];

beforeAll(async () => {
  server = await startGitServer();
  agentFolder = mkdtempSync(join(tmpdir(), "runtime-agent-"));
});
afterAll(async () => {
  await server.stop();
  rmSync(agentFolder, { recursive: true });
});
afterEach(async () => {
  vi.unstubAllEnvs();
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const minute = 60_000;
const builtAt = Date.UTC(2026, 0, 5, 12);
/** Commits as if it were so many minutes after the image was made. */
type Commit = (minutes: number) => string;

async function startAfter(
  push: (commit: Commit, work: string) => unknown,
  startFrom: "image" | "base" = "image",
): Promise<{ bridge: TestBridge; run: RunningRuntime; bakedSha: string; head: string }> {
  const repository = server.create(`app${repositories++}`);
  const commit: Commit = (minutes) => {
    vi.stubEnv("GIT_COMMITTER_DATE", new Date(builtAt + minutes * minute).toISOString());
    return repository.commit({ "README.md": `at ${minutes}` });
  };
  const bakedSha = commit(0);
  const sandbox = createSandbox({ agentCommand: writeStubAgent(agentFolder) });
  mkdirSync(join(sandbox.workspace, ".."), { recursive: true });
  if (startFrom === "image") git("/", "clone", "--quiet", repository.work, sandbox.workspace);
  push(commit, repository.work);
  const bridge = await startBridge();
  const run = sandbox.run(sessionConfig(bridge, repository.url, "http://127.0.0.1:9", { startFrom }));
  cleanups.push(async () => {
    if (run.child.exitCode === null) bridge.close(bridgeCloseCodes.ended);
    await run.exit;
    sandbox.remove();
    await bridge.stop();
  });
  return { bridge, run, bakedSha, head: git(repository.work, "rev-parse", "HEAD") };
}

test("is the commits that the image lacked and when the oldest of them was made, told after the session is ready", async () => {
  const { bridge, bakedSha, head } = await startAfter((commit) => {
    commit(20);
    commit(10);
    commit(30);
  });
  expect(await bridge.waitFor("workspace.behind")).toEqual({
    type: "workspace.behind",
    commits: 3,
    oldestAt: builtAt + 10 * minute,
  });
  expect(bridge.all("workspace.synced")).toEqual([{ type: "workspace.synced", sha: head, bakedSha }]);
  const types = bridge.events.map(({ event }) => event.type);
  expect(types.indexOf("workspace.behind")).toBeGreaterThan(types.indexOf("session.ready"));
});

test("is nothing for an image of the head", async () => {
  const { bridge } = await startAfter(() => undefined);
  expect(await bridge.waitFor("workspace.behind")).toEqual({ type: "workspace.behind", commits: 0, oldestAt: null });
});

test("counts what the branch has and the image has not when the branch was rewritten", async () => {
  const rewritten = await startAfter((commit, work) => {
    git(work, "checkout", "--quiet", "--orphan", "other");
    commit(5);
    commit(6);
    git(work, "branch", "--quiet", "-M", "other", "main");
  });
  expect(await rewritten.bridge.waitFor("workspace.behind")).toMatchObject({ commits: 2, oldestAt: builtAt + 5 * minute });
});

test("is not told by a session from the base: it had no image", async () => {
  const { bridge, run } = await startAfter((commit) => commit(1), "base");
  await bridge.waitFor("session.ready");
  bridge.send({ type: "shutdown", reason: "enough" });
  await run.exit;
  expect(bridge.all("workspace.behind")).toEqual([]);
});
