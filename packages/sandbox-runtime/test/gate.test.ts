/** The edit gate with the real agent: reading at once, changing only what is safe, and never without proof. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ModelEmulator, startModelEmulator } from "@open-inspect/emulators/model";
import { afterAll, afterEach, beforeAll, describe, expect, onTestFailed, test, vi } from "vitest";
import { defineAgentPlugin } from "../src/bundle.ts";
import { startBridge, type TestBridge } from "./support/bridge-server.ts";
import { git, startGitServer, type TestGitServer } from "./support/git-server.ts";
import { agentBinary, createSandbox, sessionConfig, type TestSandbox } from "./support/sandbox.ts";
import { ask, bash, endSession, newRepository, type Session, scripted } from "./support/session.ts";

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
  server.hold = null;
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const write = (filePath: string, text: string) => ({ tool: { name: "write", args: { filePath, content: text } } });
const read = (filePath: string) => ({ tool: { name: "read", args: { filePath } } });

/** A session from an image of the repository's first commit, whose server has by now what `push` commits. */
async function fromImage(
  push: Record<string, string>,
  prepare: (sandbox: TestSandbox) => void = () => undefined,
): Promise<Session> {
  const repository = newRepository(server);
  repository.commit({ "README.md": "old\n", "other.txt": "old\n", "opencode.json": "{}" });
  const sandbox = createSandbox();
  mkdirSync(join(sandbox.workspace, ".."), { recursive: true });
  git("/", "clone", "--quiet", repository.work, sandbox.workspace);
  const sha = repository.commit(push);
  prepare(sandbox);
  const bridge = await startBridge();
  const run = sandbox.run(sessionConfig(bridge, repository.url, model.url, { startFrom: "image", gitTimeoutMs: 120_000 }));
  const session = { bridge, sandbox, repository, sha, run };
  onTestFailed(() => {
    console.log(bridge.events.map(({ at, event }) => `${at % 100000} ${JSON.stringify(event).slice(0, 250)}`).join("\n"));
    console.log(run.output());
  });
  cleanups.push(() => endSession(session));
  return session;
}
const isRunning = (bridge: TestBridge, promptId: string, tool: string) =>
  bridge.waitFor("prompt.part", (event) => {
    const { part } = event;
    return event.promptId === promptId && part.kind === "tool" && part.tool === tool && part.status === "running";
  });

// The agent adds a missing `$schema` to a configuration that it reads.
const settings = '{"$schema":"https://opencode.ai/config.json","theme":"x"}';

test("while the server is silent the agent reads and answers; its commands wait, end with their prompt, and run on the new head", async () => {
  const answering = Promise.withResolvers<void>();
  server.hold = answering.promise;
  const { bridge, sandbox, sha } = await fromImage({ "README.md": "new\n", "opencode.json": `${settings}\n` });
  const marker = join(sandbox.workspace, "zombie");
  expect(await bridge.waitFor("agent.ready")).toMatchObject({ gate: "closed" });

  const reading = ask(bridge, scripted(read(join(sandbox.workspace, "README.md")), { text: "I have read." }));
  expect(await reading.end()).toMatchObject({ outcome: "done" });
  expect(reading.parts()[0]).toMatch(/^read:completed:.*old/s);
  expect(bridge.all("session.ready")).toEqual([]);

  const stopped = ask(bridge, scripted(bash(`touch ${marker}`), { text: "never" }));
  await isRunning(bridge, stopped.promptId, "bash");
  bridge.send({ type: "abort", promptId: stopped.promptId });
  expect(await stopped.end()).toMatchObject({ outcome: "aborted" });

  const waiting = ask(bridge, scripted(bash("cat README.md opencode.json; git rev-parse HEAD"), { text: "Done." }));
  await isRunning(bridge, waiting.promptId, "bash");
  expect(bridge.all("workspace.changed")).toEqual([]);
  answering.resolve();
  // The agent's own configuration has changed: its instance begins anew in the middle of the prompt, which goes on.
  expect(await waiting.end()).toMatchObject({ outcome: "done" });
  const shown = waiting.parts().join("\n");
  const repeated = ask(bridge, scripted(bash("cat README.md opencode.json; git rev-parse HEAD"), { text: "Done." }));
  expect(await repeated.end()).toMatchObject({ outcome: "done" });
  expect(repeated.parts()).toEqual([`bash:completed:new\n${settings}\n${sha}`, "Done."]);
  expect(shown).toContain("Done.");
  expect(bridge.all("workspace.changed")).toEqual([{ type: "workspace.changed", files: ["README.md", "opencode.json"] }]);
  expect(await bridge.waitFor("session.ready")).toMatchObject({ sha });
  expect(bridge.all("agent.ready")).toHaveLength(1);
  expect(existsSync(marker)).toBe(false);
});

test("once the changed files are known the others may be edited, and stay as the agent left them", async () => {
  const hold = { path: "" };
  const { bridge, sandbox, sha } = await fromImage(
    { "slow.txt": "new\n", ".gitattributes": "slow.txt filter=slow\n" },
    ({ home }) => {
      // Writing this one file takes as long as the test wants.
      hold.path = join(home, "go-on");
      mkdirSync(home, { recursive: true });
      const wait = `while [ ! -e ${hold.path} ]; do sleep 0.05; done; cat`;
      writeFileSync(join(home, ".gitconfig"), `[filter "slow"]\n\tsmudge = "${wait.replaceAll('"', '\\"')}"\n`);
    },
  );
  const file = (name: string) => join(sandbox.workspace, name);
  expect(await bridge.waitFor("workspace.changed")).toMatchObject({ files: [".gitattributes", "slow.txt"] });
  const prompt = ask(
    bridge,
    scripted(write(file("other.txt"), "mine\n"), write(file("new/deep.txt"), "mine\n"), write(file("slow.txt"), "late\n"), {
      text: "Done.",
    }),
  );
  await vi.waitFor(() => expect(existsSync(file("new/deep.txt"))).toBe(true), { timeout: 40_000 });
  expect(readFileSync(file("other.txt"), "utf8")).toBe("mine\n");
  expect(bridge.all("session.ready")).toEqual([]);
  writeFileSync(hold.path, "");
  expect(await prompt.end()).toMatchObject({ outcome: "done" });
  expect(await bridge.waitFor("session.ready")).toMatchObject({ sha });
  expect(git(sandbox.workspace, "rev-parse", "HEAD")).toBe(sha);
  expect(git(sandbox.workspace, "status", "--porcelain", "--untracked-files=all").split("\n")).toEqual([
    "M other.txt",
    " M slow.txt",
    "?? new/deep.txt",
  ]);
});

test("an agent whose gate does not load is refused: no session begins without it", async () => {
  const folder = mkdtempSync(join(tmpdir(), "runtime-agent-"));
  cleanups.push(() => rmSync(folder, { recursive: true, force: true }));
  const command = join(folder, "agent");
  const spoil = 'file=$(printf %s "$OPENCODE_CONFIG_CONTENT" | grep -o "file://[^\\"]*agent-plugin.mjs" | cut -c8-)';
  writeFileSync(command, `#!/bin/sh\n${spoil}\necho "nonsense(" > "$file"\nexec ${agentBinary} "$@"\n`, { mode: 0o755 });
  const repository = newRepository(server);
  repository.commit({ "README.md": "x" });
  const sandbox = createSandbox({ agentCommand: command });
  const bridge = await startBridge();
  const run = sandbox.run(sessionConfig(bridge, repository.url, model.url));
  cleanups.push(() => endSession({ bridge, sandbox, run }));
  const prompt = ask(bridge, scripted({ text: "never" }));
  expect((await bridge.waitFor("failed")).failure).toMatchObject({
    code: "agent_failed",
    message: expect.stringMatching(/edit gate/),
  });
  expect([...bridge.all("agent.ready"), ...bridge.all("session.ready")]).toEqual([]);
  expect(bridge.all("prompt.started").filter(({ promptId }) => promptId === prompt.promptId)).toEqual([]);
  expect(await run.exit).toBe(1);
});

/** The plugin as the bundle carries it, called as OpenCode calls it. */
describe("the gate, closed but for some files,", () => {
  let folder: string;
  let workspace: string;
  let call: (tool: string, args: unknown) => Promise<"passes" | "waits">;
  const say = (gate: unknown) =>
    writeFileSync(join(folder, "edit-gate.json"), typeof gate === "string" ? gate : JSON.stringify(gate));

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "runtime-gate-"));
    workspace = join(folder, "repo");
    mkdirSync(join(workspace, "src"), { recursive: true });
    writeFileSync(join(workspace, "src/a.ts"), "");
    symlinkSync("src", join(workspace, "linked"));
    const { agentPluginSource = "" } = await defineAgentPlugin();
    writeFileSync(join(folder, "agent-plugin.mjs"), JSON.parse(agentPluginSource));
    const plugin = await import(join(folder, "agent-plugin.mjs"));
    const hooks = await plugin.OpenInspect({ directory: workspace });
    let calls = 0;
    call = async (tool, args) => {
      const sessionID = `ses_${calls++}`;
      const passing = hooks["tool.execute.before"]({ tool, sessionID, callID: "c" }, { args });
      const outcome = await Promise.race([passing.then(() => "passes"), new Promise((done) => setTimeout(done, 120, "waits"))]);
      await hooks.event({ event: { type: "session.idle", properties: { sessionID } } });
      if (outcome === "waits") await expect(passing).rejects.toThrow("The prompt was stopped.");
      return outcome;
    };
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const partly = { state: "closed", changed: ["src/a.ts", "lib/deep/b.ts"] };

  test.each([
    ["read", { filePath: "src/a.ts" }, "passes"],
    ["task", {}, "passes"],
    ["write", { filePath: "src/b.ts" }, "passes"],
    ["write", { filePath: "/elsewhere/src/a.ts" }, "passes"],
    ["edit", { filePath: "src/a.ts" }, "waits"],
    ["edit", { filePath: "src/../src/a.ts" }, "waits"],
    ["edit", { filePath: "linked/a.ts" }, "waits"],
    ["write", { filePath: "lib" }, "waits"],
    ["write", { filePath: "src/a.ts/below" }, "waits"],
    ["write", { filePath: ".git/config" }, "waits"],
    ["write", {}, "waits"],
    ["write", undefined, "waits"],
    ["bash", { command: "ls" }, "waits"],
    ["apply_patch", { filePath: "src/b.ts" }, "waits"],
    ["some_servers_tool", {}, "waits"],
  ])("%s of %j %s", async (tool, args, outcome) => {
    say(partly);
    expect(await call(tool, args)).toBe(outcome);
  });

  test.each([
    ["no list", { state: "closed", changed: null }],
    ["half a file", '{"state":"op'],
    ["another shape", []],
    ["a wrong list", { state: "closed", changed: [1] }],
  ])("is closed for every file when it says %s", async (_name, gate) => {
    say(gate);
    expect(await call("write", { filePath: "src/b.ts" })).toBe("waits");
  });

  test("opens for everything when it is said to be open, also for what waits", async () => {
    say(partly);
    const waiting = call("bash", {});
    say({ state: "open" });
    expect(await waiting).toBe("passes");
  });
});
