/** Session mode as the control plane sees it: the real program, the real agent, a scripted model, a real git server. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ModelEmulator, startModelEmulator } from "@open-inspect/emulators/model";
import { bridgeCloseCodes } from "@open-inspect/protocol";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { startBridge } from "./support/bridge-server.ts";
import { git, startGitServer, type TestGitServer } from "./support/git-server.ts";
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

/** Each test goes on in the session of the one before, as its person would. */
describe("a session from an image", () => {
  let session: Session;
  let when: string;
  let bakedSha: string;
  const answering = Promise.withResolvers<void>();
  // The agent adds a missing `$schema` to a configuration that it reads.
  const settings = '{"$schema":"https://opencode.ai/config.json","theme":"x"}';
  const whenMade = () => readFileSync(join(session.sandbox.workspace, "made/when"), "utf8");
  const isRunning = (promptId: string, tool: string) =>
    session.bridge.waitFor("prompt.part", (event) => {
      const { part } = event;
      return event.promptId === promptId && part.kind === "tool" && part.tool === tool && part.status === "running";
    });

  beforeAll(async () => {
    const repository = newRepository(server);
    bakedSha = repository.commit({
      "README.md": "old\n",
      "other.txt": "hello",
      "opencode.json": "{}",
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

    writeFileSync(join(sandbox.workspace, "other.txt"), "dirty");
    const sha = repository.commit({
      "README.md": "new\n",
      "opencode.json": `${settings}\n`,
      "AGENTS.md": "New word: periwinkle.",
    });
    server.hold = answering.promise;
    const bridge = await startBridge();
    const run = sandbox.run(sessionConfig(bridge, repository.url, model.url, { startFrom: "image", gitTimeoutMs: 120_000 }));
    session = { bridge, sandbox, repository, sha, run };
    when = whenMade();
  });
  afterAll(async () => {
    answering.resolve();
    server.hold = null;
    await endSession(session);
  });

  test("while the server is silent the agent reads and answers; its commands wait, end with their prompt, and run on the new head", async () => {
    const { bridge, sandbox, sha } = session;
    const marker = join(sandbox.workspace, "zombie");
    expect(await bridge.waitFor("agent.ready")).toMatchObject({ gate: "closed" });

    const read = { tool: { name: "read", args: { filePath: join(sandbox.workspace, "README.md") } } };
    const reading = ask(bridge, scripted(read, { text: "I have read." }));
    expect(await reading.end()).toMatchObject({ outcome: "done" });
    expect(reading.parts()[0]).toMatch(/^read:completed:.*old/s);
    expect(bridge.all("session.ready")).toEqual([]);

    const stopped = ask(bridge, scripted(bash(`touch ${marker}`), { text: "never" }));
    await isRunning(stopped.promptId, "bash");
    bridge.send({ type: "abort", promptId: stopped.promptId });
    expect(await stopped.end()).toMatchObject({ outcome: "aborted" });

    const waiting = ask(bridge, scripted(bash("cat README.md opencode.json; git rev-parse HEAD"), { text: "Done." }));
    await isRunning(waiting.promptId, "bash");
    expect(bridge.all("workspace.changed")).toEqual([]);
    answering.resolve();
    // The agent's own configuration has changed: its instance begins anew in the middle of the prompt, which goes on.
    expect(await waiting.end()).toMatchObject({ outcome: "done" });
    const shown = waiting.parts().join("\n");
    const repeated = ask(bridge, scripted(bash("cat README.md opencode.json; git rev-parse HEAD"), { text: "Done." }));
    expect(await repeated.end()).toMatchObject({ outcome: "done" });
    expect(repeated.parts()).toEqual([`bash:completed:new\n${settings}\n${sha}`, "Done."]);
    expect(shown).toContain("Done.");
    expect(bridge.all("workspace.changed")).toEqual([
      { type: "workspace.changed", files: ["AGENTS.md", "README.md", "opencode.json"] },
    ]);
    expect(await bridge.waitFor("session.ready")).toMatchObject({ sha });
    expect(bridge.all("agent.ready")).toHaveLength(1);
    expect(existsSync(marker)).toBe(false);
  });

  test("brings the workspace to the new head and keeps what setup made, without running it again", async () => {
    const { bridge, sandbox, sha } = session;
    expect(await bridge.waitFor("session.ready")).toMatchObject({ sha, setupRan: false });
    expect(bridge.all("workspace.synced")).toEqual([{ type: "workspace.synced", sha, bakedSha }]);
    expect(bridge.all("phase.finished").find(({ phase }) => phase === "setup")).toMatchObject({ outcome: "skipped" });
    expect(whenMade()).toBe(when);
    expect(readFileSync(join(sandbox.workspace, "other.txt"), "utf8")).toBe("hello");
  });

  test("brought to the head again: the files that stay the same may be edited meanwhile, and stay as the agent left them", async () => {
    const { bridge, sandbox, repository } = session;
    const file = (name: string) => join(sandbox.workspace, name);
    const write = (name: string, text: string) => ({ tool: { name: "write", args: { filePath: file(name), content: text } } });
    // Writing this one file takes as long as the test wants.
    const goOn = join(sandbox.home, "go-on");
    const smudge = `while [ ! -e ${goOn} ]; do sleep 0.05; done; cat`;
    writeFileSync(join(sandbox.home, ".gitconfig"), `[filter "slow"]\n\tsmudge = "${smudge}"\n`, { flag: "a" });
    const head = repository.commit({ "slow.txt": "new\n", ".gitattributes": "slow.txt filter=slow\n" });
    bridge.send({ type: "sync" });
    await bridge.waitFor("workspace.changed", ({ files }) => files?.join(" ") === ".gitattributes slow.txt");
    const steps = [write("other.txt", "mine\n"), write("new/deep.txt", "mine\n"), write("slow.txt", "late\n")];
    const prompt = ask(bridge, scripted(...steps, { text: "Done." }));
    await vi.waitFor(() => expect(existsSync(file("new/deep.txt"))).toBe(true), { timeout: 40_000 });
    expect(readFileSync(file("other.txt"), "utf8")).toBe("mine\n");
    const isReady = ({ sha }: { sha: string }) => sha === head;
    expect(bridge.all("session.ready").filter(isReady)).toEqual([]);
    writeFileSync(goOn, "");
    expect(await prompt.end()).toMatchObject({ outcome: "done" });
    await bridge.waitFor("session.ready", isReady);
    expect(git(sandbox.workspace, "rev-parse", "HEAD")).toBe(head);
    expect(git(sandbox.workspace, "status", "--porcelain", "--untracked-files=all").split("\n")).toEqual([
      "M other.txt",
      " M slow.txt",
      "?? new/deep.txt",
    ]);
  });

  test("has an agent that reads the repository at its new head; the bridge may drop in the middle of an answer", async () => {
    const { bridge } = session;
    const long = "word ".repeat(300);
    const prompt = ask(bridge, scripted({ text: long, chunk: 5, delayMs: 5 }));
    await bridge.waitFor("prompt.delta", ({ promptId }) => promptId === prompt.promptId);
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
