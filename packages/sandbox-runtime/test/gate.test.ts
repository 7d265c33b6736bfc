/** The edit gate: what it lets pass, and that no agent works without it. How it opens in a session is in session.test.ts. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ModelEmulator, startModelEmulator } from "@open-inspect/emulators/model";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { defineAgentPlugin } from "../src/bundle.ts";
import { startBridge } from "./support/bridge-server.ts";
import { startGitServer, type TestGitServer } from "./support/git-server.ts";
import { agentBinary, createSandbox, sessionConfig } from "./support/sandbox.ts";
import { ask, endSession, newRepository, scripted } from "./support/session.ts";

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
