/** What the control plane asks of a session that runs: sync, refresh, push. The image is a clone, the agent a stub. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bridgeCloseCodes, createId } from "@open-inspect/protocol";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { startBridge, type TestBridge } from "./support/bridge-server.ts";
import { git, startGitServer, type TestGitServer, type TestRepository } from "./support/git-server.ts";
import { createSandbox, sessionConfig } from "./support/sandbox.ts";
import { newRepository, type Session, script } from "./support/session.ts";
import { writeStubAgent } from "./support/stub-agent.ts";

let server: TestGitServer;
let agentFolder: string;
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
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});
type Files = Parameters<TestRepository["commit"]>[0];

/** A session from an image of these files. @param push what the server has besides by now */
async function begin(files: Files, push: Files | null = null, startFrom: "image" | "snapshot" = "image"): Promise<Session> {
  const repository = newRepository(server);
  let sha = repository.commit({ "README.md": "old\n", ...files });
  const sandbox = createSandbox({ agentCommand: writeStubAgent(agentFolder) });
  mkdirSync(join(sandbox.workspace, ".."), { recursive: true });
  git("/", "clone", "--quiet", repository.work, sandbox.workspace);
  if (push) sha = repository.commit(push);
  const bridge = await startBridge();
  const run = sandbox.run(sessionConfig(bridge, repository.url, "http://127.0.0.1:9", { startFrom, gitTimeoutMs: 60_000 }));
  cleanups.push(async () => {
    if (run.child.exitCode === null) bridge.close(bridgeCloseCodes.ended);
    await run.exit;
    sandbox.remove();
    await bridge.stop();
  });
  return { bridge, sandbox, repository, sha, run };
}
const gateOf = ({ sandbox }: Session): unknown => JSON.parse(readFileSync(join(sandbox.stateDir, "edit-gate.json"), "utf8"));
const refreshPhase = (bridge: TestBridge) => bridge.waitFor("phase.finished", ({ phase }) => phase === "refresh");

describe("sync", () => {
  test("brings a reserved sandbox to the head again, says ready again, and opens the gate when it is there", async () => {
    const session = await begin({}, { "README.md": "new\n" });
    const { bridge, repository, sandbox, sha } = session;
    expect(await bridge.waitFor("session.ready")).toMatchObject({ sha });
    expect(await bridge.waitFor("workspace.behind")).toMatchObject({ commits: 1 });
    writeFileSync(join(sandbox.workspace, "README.md"), "left by nobody\n");
    const head = repository.commit({ "README.md": "newer\n" });
    const gates: unknown[] = [];
    server.onRequest = () => gates.push(gateOf(session));
    bridge.send({ type: "sync" });
    expect(await bridge.waitFor("session.ready", (event) => event.sha === head)).toMatchObject({ setupRan: false });
    server.onRequest = () => undefined;
    expect(gates[0]).toEqual({ state: "closed", changed: null });
    expect(gateOf(session)).toEqual({ state: "open" });
    expect(bridge.all("workspace.synced").map(({ sha, bakedSha }) => [bakedSha, sha])).toEqual([
      [expect.any(String), sha],
      [sha, head],
    ]);
    expect(readFileSync(join(sandbox.workspace, "README.md"), "utf8")).toBe("newer\n");
    expect(await bridge.waitFor("workspace.behind", ({ commits }) => commits === 2)).toBeTruthy();
    expect(git(sandbox.workspace, "rev-parse", "refs/open-inspect/base")).toBe(head);
  });

  test("goes to another branch where it is asked to; one that is not there fails the session with the cause", async () => {
    const { bridge, repository, sandbox, sha } = await begin({});
    git(repository.work, "branch", "feature/x");
    await bridge.waitFor("session.ready");
    bridge.send({ type: "sync", branch: "feature/x" });
    await bridge.waitFor("session.ready", () => bridge.all("session.ready").length === 2);
    expect(git(sandbox.workspace, "symbolic-ref", "HEAD")).toBe("refs/heads/feature/x");
    expect(bridge.all("session.ready").at(-1)).toMatchObject({ sha });
    bridge.send({ type: "sync", branch: "gone" });
    expect((await bridge.waitFor("failed")).failure).toMatchObject({ code: "branch_not_found" });
  });

  test("never changes what a session has left in its snapshot", async () => {
    const { bridge, sandbox, repository } = await begin({}, { "README.md": "new\n" }, "snapshot");
    const before = git(sandbox.workspace, "rev-parse", "HEAD");
    expect(await bridge.waitFor("session.ready")).toMatchObject({ sha: before });
    writeFileSync(join(sandbox.workspace, "README.md"), "work\n");
    bridge.send({ type: "sync" });
    await bridge.waitFor("session.ready", () => bridge.all("session.ready").length === 2);
    expect(readFileSync(join(sandbox.workspace, "README.md"), "utf8")).toBe("work\n");
    expect(git(sandbox.workspace, "rev-parse", "HEAD")).toBe(before);
    expect(bridge.all("workspace.synced")).toEqual([]);
    expect(git(repository.work, "rev-parse", "HEAD")).not.toBe(before);
  });
});

describe("stale setup", () => {
  test("is offered to be run again where there is no refresh.sh, and is run when a person says so", async () => {
    const { bridge, sandbox } = await begin(
      { ".openinspect/setup.sh": script("echo again > again"), "web/package-lock.json": "1", "src/a.ts": "1" },
      { "web/package-lock.json": "2", "src/a.ts": "2" },
    );
    expect(await bridge.waitFor("setup.stale")).toMatchObject({ files: ["web/package-lock.json"], refresh: "offered" });
    bridge.send({ type: "refresh" });
    expect(await refreshPhase(bridge)).toMatchObject({ outcome: "done", detail: ".openinspect/setup.sh" });
    await bridge.waitFor("setup.stale", ({ refresh }) => refresh === "done");
    expect(readFileSync(join(sandbox.workspace, "again"), "utf8")).toBe("again\n");
    const { diff } = await bridge.waitFor("workspace.diff", ({ diff }) => diff.files.length > 0);
    expect(diff.files).toMatchObject([{ path: "again", change: "added" }]);
  });

  test("is refreshed beside the agent where there is a refresh.sh, with its log; a failure costs nothing else", async () => {
    const { bridge } = await begin(
      { ".openinspect/refresh.sh": script("echo refreshing; exit 3"), ".openinspect/setup.sh": script("true") },
      { ".openinspect/setup.sh": script("echo more") },
    );
    expect(await bridge.waitFor("setup.stale")).toMatchObject({ files: [".openinspect/setup.sh"], refresh: "running" });
    expect(await refreshPhase(bridge)).toMatchObject({ outcome: "failed", detail: "exit code 3" });
    expect(await bridge.waitFor("setup.stale", ({ refresh }) => refresh === "failed")).toBeTruthy();
    expect(bridge.all("log").filter(({ phase, stream }) => phase === "refresh" && stream === "stdout")).toMatchObject([
      { text: "refreshing\n" },
    ]);
    await bridge.waitFor("session.ready");
    expect(bridge.all("failed")).toEqual([]);
  });

  test("is what image.json lists, when it lists any; nothing of it changed says nothing", async () => {
    const listed = JSON.stringify({ inputs: ["tools/*.lock"] });
    const { bridge } = await begin({ ".openinspect/image.json": listed, "yarn.lock": "1" }, { "yarn.lock": "2" });
    await bridge.waitFor("workspace.behind");
    expect(bridge.all("setup.stale")).toEqual([]);
    bridge.send({ type: "refresh" });
    expect(await refreshPhase(bridge)).toMatchObject({ outcome: "failed", detail: expect.stringMatching(/^there is neither/) });
  });
});

test("push answers once with what became of it, the same to the same id, with a credential that was asked for it", async () => {
  const { bridge, sandbox, repository } = await begin({});
  server.writeCredential = "x-access-token:unused";
  await bridge.waitFor("session.ready");
  writeFileSync(join(sandbox.workspace, "new.txt"), "new\n");
  const pushId = createId("prompt", Date.now(), crypto.getRandomValues(new Uint8Array(16)));
  const push = { type: "push", pushId, branch: "work/2", message: "New", author: null } as const;
  bridge.send(push);
  const { outcome } = await bridge.waitFor("push.finished");
  expect(outcome).toEqual({ kind: "pushed", branch: "work/2", sha: git(repository.work, "rev-parse", "work/2"), commits: 1 });
  writeFileSync(join(sandbox.workspace, "later.txt"), "later\n");
  bridge.send(push);
  await bridge.waitFor("push.finished", () => bridge.all("push.finished").length === 2);
  expect(bridge.all("push.finished").map((event) => event.outcome)).toEqual([outcome, outcome]);
  expect(bridge.writeRequests).toEqual([pushId]);
  server.writeCredential = null;
});
