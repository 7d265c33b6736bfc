/** A session that is stopped and goes on from its snapshot, with the real agent over one home. Each test goes on from the one before. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type ModelEmulator, startModelEmulator } from "@open-inspect/emulators/model";
import { type AgentSessionRequest, bridgeCloseCodes, createId } from "@open-inspect/protocol";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startBridge } from "./support/bridge-server.ts";
import { git, startGitServer, type TestGitServer } from "./support/git-server.ts";
import { sessionConfig } from "./support/sandbox.ts";
import { ask, bash, beginSession, endSession, type Session, scripted } from "./support/session.ts";

let server: TestGitServer;
let model: ModelEmulator;
let session: Session;
/** what the first life has answered */
let answered: ReturnType<typeof ask>;
const sessionId = createId("session", Date.now(), crypto.getRandomValues(new Uint8Array(16)));
beforeAll(async () => {
  server = await startGitServer();
  model = await startModelEmulator();
  // A repository with a configuration directory of its own for the agent.
  const files = { ".opencode/agent/reviewer.md": "---\ndescription: Reviews\n---\nYou review." };
  session = await beginSession({ server, model }, files, { sessionId, gitTimeoutMs: 60_000 });
});
afterAll(async () => {
  await endSession(session);
  await model.stop();
  await server.stop();
});
const tool = (name: string, args: Record<string, unknown>) => ({ tool: { name, args } });

test("a repository with a configuration directory of the agent's is not waited for, and shows no work of ours", async () => {
  const { bridge, sandbox } = session;
  await bridge.waitFor("session.ready", undefined, 40_000);
  expect(existsSync(join(sandbox.workspace, ".opencode/package-lock.json"))).toBe(true);
  expect(git(sandbox.workspace, "status", "--porcelain")).toBe("");
});

test("the agent begins, lists and reads sessions with its own tools; what is wrong or refused is told in words", async () => {
  const { bridge } = session;
  const other = createId("session", Date.now(), crypto.getRandomValues(new Uint8Array(16)));
  const state = { id: other, status: "created", isWorking: true, title: "Other", url: "https://x.example/s", lastAnswer: null };
  const asked: AgentSessionRequest[] = bridge.sessionRequests;
  bridge.answerSession = (id, request) =>
    request.call === "start" && request.prompt === "too many"
      ? { type: "session.refused", id, message: "This session has begun enough others." }
      : { type: "session.answer", id, sessions: request.call === "list" ? [] : [state] };
  const prompt = ask(
    bridge,
    scripted(
      tool("session_start", { prompt: "Do the other half", branch: null, model: "claude-haiku-4-5" }),
      tool("session_list", {}),
      tool("session_read", { sessionId: other }),
      tool("session_start", {}),
      tool("session_start", { prompt: "too many" }),
      { text: "Done." },
    ),
  );
  expect(await prompt.end()).toMatchObject({ outcome: "done" });
  expect(asked).toEqual([
    { call: "start", prompt: "Do the other half", model: "claude-haiku-4-5" },
    { call: "list" },
    { call: "read", sessionId: other },
    { call: "start", prompt: "too many" },
  ]);
  const parts = prompt.parts();
  expect(parts[0]).toContain(other);
  expect(parts[1]).toMatch(/^session_list:completed:There is no such session/);
  expect(parts[2]).toContain('"isWorking": true');
  expect(parts[3]).toMatch(/Nothing was done: the arguments are not right \(prompt: /);
  expect(parts[4]).toContain("This session has begun enough others.");
});

test("the agent's own git reads from the server, with a credential on demand, and cannot push; it was told how work is shared", async () => {
  const { bridge, repository } = session;
  server.credential = "x-access-token:unused";
  server.writeCredential = "x-access-token:to-write";
  const prompt = ask(
    bridge,
    scripted(bash("git fetch && echo fetched; git push origin HEAD:refs/heads/mine"), { text: "Done." }),
  );
  expect(await prompt.end()).toMatchObject({ outcome: "done" });
  expect(prompt.parts()[0]).toMatch(/fetched.*(403|denied|returned error)/s);
  expect(git(repository.work, "branch", "--list", "mine")).toBe("");
  expect(JSON.stringify(model.requests().at(-1)?.body)).toContain("opens a pull request with the session's button");
  server.writeCredential = null;
});

test("what only the agent's own start is to know is not in the environment of its commands", async () => {
  const prompt = ask(session.bridge, scripted(bash("env | cut -d= -f1 | sort"), { text: "Done." }));
  expect(await prompt.end()).toMatchObject({ outcome: "done" });
  const names = prompt.parts()[0] ?? "";
  expect(names).toContain("HOME");
  expect(names).not.toMatch(/OPEN_INSPECT_BOOT|npm_config_fetch_retries|BUN_JSC/);
});

test("stopped and begun again from its snapshot the work is as it was", async () => {
  const { sandbox, repository, sha } = session;
  const said = ask(session.bridge, "My favourite colour is vermilion.");
  await said.end();
  answered = ask(session.bridge, scripted({ text: "Only once." }));
  await answered.end();
  const first = session.bridge;
  const inWorkspace = (...args: string[]) => git(sandbox.workspace, ...args);
  writeFileSync(join(sandbox.workspace, "README.md"), "stashed\n");
  inWorkspace("stash");
  writeFileSync(join(sandbox.workspace, "README.md"), "edited\n");
  writeFileSync(join(sandbox.workspace, "untracked.txt"), "x\n");
  inWorkspace("commit", "--quiet", "--allow-empty", "-m", "Local");
  const head = inWorkspace("rev-parse", "HEAD");
  writeFileSync(join(sandbox.workspace, ".git/index.lock"), "");
  first.close(bridgeCloseCodes.ended);
  await session.run.exit;
  await first.stop();
  const newer = repository.commit({ "README.md": "on the server\n" });

  const bridge = await startBridge();
  const config = sessionConfig(bridge, repository.url, model.url, { startFrom: "snapshot", sessionId, gitTimeoutMs: 60_000 });
  session = { ...session, bridge, run: sandbox.run(config) };
  bridge.credential = { username: "x-access-token", password: "unused" };
  expect(await bridge.waitFor("agent.ready", undefined, 40_000)).toMatchObject({ gate: "open" });
  expect(await bridge.waitFor("session.ready")).toMatchObject({ sha: head, setupRan: false });
  await bridge.waitFor("phase.finished", ({ phase }) => phase === "sync");
  expect(inWorkspace("rev-parse", "HEAD", "origin/main").split("\n")).toEqual([head, newer]);
  expect(inWorkspace("status", "--porcelain").split("\n")).toEqual(["M README.md", "?? untracked.txt"]);
  expect(inWorkspace("stash", "list")).toContain("stash@{0}");
  expect(bridge.all("workspace.synced")).toEqual([]);
  const { diff } = await bridge.waitFor("workspace.diff");
  expect(diff).toMatchObject({ base: sha, files: [{ path: "README.md" }, { path: "untracked.txt" }] });
});

test("a prompt that was answered in the life before is answered again from what is there, without the model", async () => {
  const before = model.requests().length;
  const { prompt, promptId } = answered;
  const again = ask(session.bridge, prompt.text, promptId, null, { createdAt: prompt.createdAt });
  expect(await again.end()).toMatchObject({ outcome: "done" });
  expect(again.parts()).toEqual(["Only once."]);
  expect(model.requests()).toHaveLength(before);
});

test("the second life knows what was said in the first", async () => {
  const { bridge, sandbox } = session;
  const prompt = ask(bridge, scripted({ recall: "favourite colour is (\\w+)" }));
  expect(await prompt.end()).toMatchObject({ outcome: "done" });
  expect(prompt.parts()).toEqual(["vermilion"]);
  expect(readFileSync(join(sandbox.workspace, "README.md"), "utf8")).toBe("edited\n");
});
