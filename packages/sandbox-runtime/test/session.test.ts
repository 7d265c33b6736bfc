/** Session mode as the control plane sees it: the real program, the real agent, a scripted model, a real git server. */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ModelEmulator, startModelEmulator } from "@open-inspect/emulators/model";
import { bridgeCloseCodes } from "@open-inspect/protocol";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { startBridge } from "./support/bridge-server.ts";
import { startGitServer, type TestGitServer } from "./support/git-server.ts";
import { buildConfig, createSandbox, newPromptId, sessionConfig } from "./support/sandbox.ts";
import { ask, bash, beginSession, endSession, newRepository, pidsOf, type Session, script, scripted } from "./support/session.ts";
import { writeStubAgent } from "./support/stub-agent.ts";

let server: TestGitServer;
let model: ModelEmulator;
const cleanups: (() => unknown)[] = [];

beforeAll(async () => {
  server = await startGitServer();
  model = await startModelEmulator();
});
afterAll(async () => {
  await model.stop();
  await server.stop();
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const begin = async (...rest: TailOf<typeof beginSession>): Promise<Session> => {
  const session = await beginSession({ server, model }, ...rest);
  cleanups.push(() => endSession(session));
  return session;
};
type TailOf<F extends (first: never, ...rest: never) => unknown> = F extends (first: never, ...rest: infer R) => unknown
  ? R
  : never;

describe("a session", () => {
  test("from the base: clone, setup, start, agent; ready with proof; prompts one after the other; ends when told to", async () => {
    const { bridge, sandbox, sha, run } = await begin({
      "AGENTS.md": "The secret word of this repository is heliotrope.",
      ".openinspect/setup.sh": script("mkdir made; echo from-setup > made/file"),
      ".openinspect/start.sh": script("cat made/file; sleep 3 &"),
    });
    expect(await bridge.waitFor("session.ready")).toEqual({
      type: "session.ready",
      sha,
      setupRan: true,
      agentVersion: expect.stringMatching(/^\d+\.\d+\.\d+$/),
    });
    const outcomes = Object.fromEntries(bridge.all("phase.finished").map(({ phase, outcome }) => [phase, outcome]));
    expect(outcomes).toEqual({ clone: "done", setup: "done", start: "done", agent: "done" });
    expect(bridge.all("log").filter(({ phase }) => phase === "start")).toMatchObject([
      { stream: "stdout", text: "from-setup\n" },
    ]);

    const first = ask(
      bridge,
      scripted({ text: "I look." }, bash("cat made/file; git rev-parse HEAD"), { text: "All done, dear." }),
    );
    const second = ask(bridge, scripted({ text: "Second." }));
    bridge.send(first.prompt);
    expect(await first.end()).toMatchObject({ outcome: "done", error: null });
    expect(first.parts()).toEqual(["I look."]);
    expect(await second.end()).toMatchObject({ outcome: "done" });
    expect(second.parts()).toEqual(["Second."]);
    expect(bridge.all("prompt.started").map(({ promptId }) => promptId)).toEqual([first.promptId, second.promptId]);

    const third = ask(bridge, scripted(bash("cat made/file; git rev-parse HEAD"), { text: "All done, dear." }));
    expect(await third.end()).toMatchObject({ outcome: "done" });
    expect(third.parts()).toEqual([`bash:completed:from-setup\n${sha}`, "All done, dear."]);

    expect(JSON.stringify(model.requests())).toContain("heliotrope");
    expect(statSync(join(sandbox.stateDir, "model-token")).mode & 0o777).toBe(0o600);
    const agents = pidsOf("opencode", run.child.pid);
    expect(agents).toHaveLength(1);
    for (const pid of agents) expect(readFileSync(`/proc/${pid}/environ`, "utf8")).not.toContain("sandbox-model-token");
    bridge.send({ type: "shutdown", reason: "stopped" });
    expect(await run.exit).toBe(0);
    expect(pidsOf("opencode", run.child.pid)).toEqual([]);
  });
});

/** Each test goes on in the session of the one before, as its person would. */
describe("a session from an image", () => {
  let session: Session;
  let when: string;
  let bakedSha: string;
  const whenMade = () => readFileSync(join(session.sandbox.workspace, "made/when"), "utf8");

  beforeAll(async () => {
    const repository = newRepository(server);
    bakedSha = repository.commit({
      "README.md": "hello",
      ".gitignore": "made/\n",
      "AGENTS.md": "Old word: amaranth.",
      ".openinspect/setup.sh": script("mkdir made; date +%N > made/when"),
    });
    const sandbox = createSandbox();
    const building = await startBridge();
    const build = sandbox.run(buildConfig(building, repository.url));
    await building.waitFor("build.finished");
    building.close(bridgeCloseCodes.ended);
    await build.exit;
    await building.stop();

    writeFileSync(join(sandbox.workspace, "README.md"), "dirty");
    const sha = repository.commit({ "AGENTS.md": "New word: periwinkle." });
    const bridge = await startBridge();
    const run = sandbox.run(sessionConfig(bridge, repository.url, model.url, { startFrom: "image" }));
    session = { bridge, sandbox, repository, sha, run };
    when = whenMade();
  });
  afterAll(() => endSession(session));

  test("brings the workspace to the new head and keeps what setup made, without running it again", async () => {
    const { bridge, sandbox, sha } = session;
    expect(await bridge.waitFor("session.ready")).toMatchObject({ sha, setupRan: false });
    expect(bridge.all("workspace.synced")).toEqual([{ type: "workspace.synced", sha, bakedSha }]);
    expect(bridge.all("phase.finished").find(({ phase }) => phase === "setup")).toMatchObject({ outcome: "skipped" });
    expect(whenMade()).toBe(when);
    expect(readFileSync(join(sandbox.workspace, "README.md"), "utf8")).toBe("hello");
  });

  test("has an agent that reads the repository at its new head; the bridge may drop in the middle of an answer", async () => {
    const { bridge } = session;
    const long = "word ".repeat(300);
    const prompt = ask(bridge, scripted({ text: long, chunk: 5, delayMs: 5 }));
    await bridge.waitFor("prompt.delta");
    bridge.cut();
    expect(await prompt.end()).toMatchObject({ outcome: "done" });
    expect(prompt.parts()).toEqual([long]);
    expect(bridge.hellos).toHaveLength(2);
    const asked = JSON.stringify(model.requests().at(-1)?.body);
    expect(asked).toContain("periwinkle");
    expect(asked).not.toContain("amaranth");
  });

  test("says how a prompt ended that the model failed, or that was aborted running or queued", async () => {
    const { bridge } = session;
    const failing = ask(bridge, scripted({ status: 401, message: "no such key" }));
    expect(await failing.end()).toMatchObject({ outcome: "failed", error: expect.stringContaining("no such key") });

    const unknown = ask(bridge, scripted({ text: "never" }), newPromptId(), "no-such-model");
    expect(await unknown.end()).toMatchObject({ outcome: "failed", error: expect.stringMatching(/no-such-model/) });

    const other = ask(bridge, scripted({ text: "By another." }), newPromptId(), "claude-haiku-4-5");
    expect(await other.end()).toMatchObject({ outcome: "done" });
    expect(model.requests().at(-1)?.body).toMatchObject({ model: "claude-haiku-4-5" });

    const hanging = ask(bridge, scripted({ hang: true, text: "Half a sentence" }));
    const queued = ask(bridge, scripted({ text: "never" }));
    await bridge.waitFor("prompt.delta", ({ promptId }) => promptId === hanging.promptId);
    bridge.send({ type: "abort", promptId: queued.promptId });
    expect(await queued.end()).toMatchObject({ outcome: "aborted" });
    bridge.send({ type: "abort", promptId: hanging.promptId });
    expect(await hanging.end()).toMatchObject({ outcome: "aborted" });
    expect(hanging.parts()).toEqual(["Half a sentence"]);
  });

  test("survives crashes of the agent in the middle of a prompt, and shows nothing twice", async () => {
    const { bridge, run } = session;
    const crashing = ask(bridge, scripted(bash("echo started; sleep 4; echo finished"), { text: "Survived." }));
    await bridge.waitFor(
      "prompt.part",
      ({ part }) => part.kind === "tool" && part.status === "running" && part.output.includes("started"),
    );
    for (const pid of pidsOf("opencode", run.child.pid)) process.kill(pid, "SIGKILL");
    expect(await crashing.end()).toMatchObject({ outcome: "done" });
    expect(bridge.all("agent.restarted")).toMatchObject([{ attempt: 1, reason: "it was ended by SIGKILL" }]);
    expect(crashing.parts()).toEqual(["bash:interrupted:started", "Survived."]);

    const long = "word ".repeat(40);
    const cut = ask(bridge, scripted({ text: long, chunk: 5, delayMs: 25 }));
    await bridge.waitFor("prompt.delta", ({ promptId }) => promptId === cut.promptId);
    for (const pid of pidsOf("opencode", run.child.pid)) process.kill(pid, "SIGKILL");
    expect(await cut.end()).toMatchObject({ outcome: "done" });
    expect(cut.parts(), "what was half said is taken back").toEqual([long]);

    const finished = bridge.all("prompt.finished").map(({ promptId }) => promptId);
    expect(new Set(finished).size).toBe(finished.length);
    expect(pidsOf("opencode", run.child.pid)).toHaveLength(1);
  });
});

/** A session whose agent is there and does nothing: none of this reaches it. */
describe("a start hook that fails does not cost the session", () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "runtime-agent-"));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test.each([
    ["it exits with a code", "echo oh no >&2; exit 3", "exit code 3"],
    ["it does not end, and is stopped at its limit", "sleep 300", "stopped after 0.5 s; put services in the background"],
  ])("%s", async (_name, text, detail) => {
    const files = { ".openinspect/start.sh": script(text) };
    const { bridge } = await begin(files, { startHookTimeoutMs: 500 }, { agentCommand: writeStubAgent(folder) });
    await bridge.waitFor("session.ready");
    expect(bridge.all("phase.finished").find(({ phase }) => phase === "start")).toMatchObject({ outcome: "failed", detail });
  });
});

describe("a session that cannot start says why", () => {
  test("the agent is not there", async () => {
    const { bridge, run } = await begin({}, {}, { agentCommand: "/no/such/agent" });
    expect((await bridge.waitFor("failed")).failure).toMatchObject({ code: "agent_failed", phase: "agent" });
    expect(await run.exit).toBe(1);
  });

  test("the agent ends at every start: its last words", async () => {
    const { bridge } = await begin({}, {}, { agentCommand: "/bin/ls" });
    const { failure } = await bridge.waitFor("failed");
    expect(failure).toMatchObject({ code: "agent_failed", exitCode: 2 });
    expect(failure.lines.join("\n")).toMatch(/unrecognized option/);
    expect(bridge.all("agent.restarted")).toHaveLength(2);
  });

  test("setup fails in a cold session", async () => {
    const { bridge, run } = await begin({ ".openinspect/setup.sh": script("echo reason; exit 9") });
    expect((await bridge.waitFor("failed")).failure).toMatchObject({ code: "setup_failed", exitCode: 9, lines: ["reason"] });
    expect(await run.exit).toBe(1);
    expect(pidsOf("opencode", run.child.pid)).toEqual([]);
  });

  test("the image holds no repository", async () => {
    const { bridge } = await begin({}, { startFrom: "image" });
    expect((await bridge.waitFor("failed")).failure).toMatchObject({ code: "sync_failed", phase: "sync" });
  });

  test("the repository's agent configuration cannot be read", async () => {
    const { bridge } = await begin({ "opencode.json": "{ nonsense" });
    const { failure } = await bridge.waitFor("failed");
    expect(failure).toMatchObject({ code: "agent_failed" });
    expect(failure.lines.join("\n")).toMatch(/opencode\.json/);
  });
});
