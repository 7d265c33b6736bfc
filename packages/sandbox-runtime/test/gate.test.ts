/** The edit gate with the real agent: changing only what is safe, and never without proof. That it reads at once is in session.test.ts. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ModelEmulator, startModelEmulator } from "@open-inspect/emulators/model";
import { afterAll, afterEach, beforeAll, describe, expect, onTestFailed, test, vi } from "vitest";
import { defineAgentPlugin } from "../src/bundle.ts";
import { startBridge } from "./support/bridge-server.ts";
import { git, startGitServer, type TestGitServer } from "./support/git-server.ts";
import { agentBinary, createSandbox, sessionConfig, type TestSandbox } from "./support/sandbox.ts";
import { ask, endSession, newRepository, type Session, scripted } from "./support/session.ts";

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

const write = (filePath: string, text: string) => ({ tool: { name: "write", args: { filePath, content: text } } });

/** A session from an image of the repository's first commit, whose server has by now what `push` commits. */
async function fromImage(
  push: Record<string, string>,
  prepare: (sandbox: TestSandbox) => void = () => undefined,
): Promise<Session> {
  const repository = newRepository(server);
  repository.commit({ "README.md": "old\n", "other.txt": "old\n" });
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
