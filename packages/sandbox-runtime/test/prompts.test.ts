/** A session from the base with the real agent: its start, what comes with prompts and of them, its end. Each test goes on in it. */
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type ModelEmulator, startModelEmulator } from "@open-inspect/emulators/model";
import { type Attachment, type Person } from "@open-inspect/protocol";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { git, startGitServer, type TestGitServer } from "./support/git-server.ts";
import { ask, bash, beginSession, endSession, pidsOf, type Session, script, scripted } from "./support/session.ts";

let server: TestGitServer;
let model: ModelEmulator;
let session: Session;
beforeAll(async () => {
  server = await startGitServer();
  model = await startModelEmulator();
  const files = {
    "AGENTS.md": "The secret word of this repository is heliotrope.",
    ".openinspect/setup.sh": script("mkdir made; echo from-setup > made/file"),
    ".openinspect/start.sh": script("cat made/file; sleep 3 &"),
  };
  session = await beginSession({ server, model }, files);
  await session.bridge.waitFor("session.ready");
});
afterAll(async () => {
  await endSession(session);
  await model.stop();
  await server.stop();
});

const attach = (id: string, mime: Attachment["mime"], bytes: Uint8Array, name = id): Attachment => {
  session.bridge.attachments.set(id, bytes);
  return { id, name, mime, sizeBytes: bytes.length };
};
const withAttachments = (text: string, attachments: Attachment[]) => ask(session.bridge, text, undefined, null, { attachments });
const lastRequest = () => JSON.stringify(model.requests().at(-1)?.body);
const pixel = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
  "base64",
);

test("clone, setup, start, agent; ready with proof; prompts one after the other", async () => {
  const { bridge, sandbox, sha, run } = session;
  expect(bridge.all("session.ready")).toEqual([
    { type: "session.ready", sha, setupRan: true, agentVersion: expect.stringMatching(/^\d+\.\d+\.\d+$/) },
  ]);
  const outcomes = Object.fromEntries(bridge.all("phase.finished").map(({ phase, outcome }) => [phase, outcome]));
  expect(outcomes).toEqual({ clone: "done", setup: "done", start: "done", agent: "done" });
  expect(bridge.all("log").filter(({ phase }) => phase === "start")).toMatchObject([{ stream: "stdout", text: "from-setup\n" }]);

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

  expect(lastRequest()).toContain("heliotrope");
  expect(statSync(join(sandbox.stateDir, "model-token")).mode & 0o777).toBe(0o600);
  const agents = pidsOf("opencode", run.child.pid);
  expect(agents).toHaveLength(1);
  for (const pid of agents) expect(readFileSync(`/proc/${pid}/environ`, "utf8")).not.toContain("sandbox-model-token");
});

describe("attachments", () => {
  test("images and texts reach the model with their prompt, in order", async () => {
    const prompt = withAttachments(scripted({ text: "Seen." }), [
      attach("a1", "image/png", pixel, "shot.png"),
      attach("a2", "text/csv", Buffer.from("kind,count\nquokka,3\n"), "zoo.csv"),
    ]);
    expect(await prompt.end()).toMatchObject({ outcome: "done", error: null });
    const asked = lastRequest();
    expect(asked).toContain(pixel.toString("base64"));
    expect(asked).toContain("quokka,3");
    expect(asked.indexOf("SCRIPT=")).toBeLessThan(asked.indexOf("zoo.csv"));
  });

  test("a text that would fill the model's context is put into a file that the prompt names", async () => {
    const text = "wombat ".repeat(30_000);
    const prompt = withAttachments(scripted({ text: "Seen." }), [attach("a3", "text/plain", Buffer.from(text), "long.txt")]);
    expect(await prompt.end()).toMatchObject({ outcome: "done" });
    const asked = lastRequest();
    expect(asked).not.toContain("wombat wombat");
    const file = join(session.sandbox.home, "attachments/a3-long.txt");
    expect(asked).toContain(file);
    expect(readFileSync(file, "utf8")).toBe(text);
  });

  test.each([
    ["is not there", 404, 10, /missing\.png could not be read: the control plane does not have it/],
    ["is refused", 403, 10, /missing\.png could not be read: the control plane answered 403/],
    ["is longer than announced", new Uint8Array(11), 10, /missing\.png could not be read: it has more than the 10 bytes/],
    ["is shorter than announced", new Uint8Array(9), 10, /missing\.png could not be read: it has 9 bytes instead of 10/],
  ])("one that %s fails the prompt with a sentence, and the model is not asked", async (_name, answer, sizeBytes, sentence) => {
    const before = model.requests().length;
    session.bridge.attachments.set("a4", answer);
    const prompt = withAttachments(scripted({ text: "never" }), [
      { id: "a4", name: "missing.png", mime: "image/png", sizeBytes },
    ]);
    expect(await prompt.end()).toMatchObject({ outcome: "failed", error: expect.stringMatching(sentence) });
    expect(model.requests()).toHaveLength(before);
  });
});

describe("the author of a prompt", () => {
  const ada: Person = { name: "Ada Lovelace", email: "ada@example.com", login: "ada" };
  const commitAs = async (author: Person | null) => {
    const prompt = ask(
      session.bridge,
      scripted(bash("git commit --quiet --allow-empty -m Work && git log -1 --format='%an <%ae> %cn'"), { text: "Done." }),
      undefined,
      null,
      { author },
    );
    expect(await prompt.end()).toMatchObject({ outcome: "done" });
    return git(session.sandbox.workspace, "log", "-1", "--format=%an <%ae> %cn <%ce>");
  };

  test("is the author and committer of what the agent commits, prompt by prompt", async () => {
    expect(await commitAs(ada)).toBe("Ada Lovelace <ada@example.com> Ada Lovelace <ada@example.com>");
    const bob = await commitAs({ name: "Bob", email: null, login: "bob-b" });
    expect(bob).toBe("Bob <bob-b@users.noreply.open-inspect.invalid> Bob <bob-b@users.noreply.open-inspect.invalid>");
  });

  test("wins over an identity that setup left in the repository; without an author nobody's name is taken", async () => {
    git(session.sandbox.workspace, "config", "user.name", "Setup");
    git(session.sandbox.workspace, "config", "user.email", "setup@example.com");
    expect(await commitAs(ada)).toMatch(/^Ada Lovelace <ada@example.com>/);
    expect(await commitAs(null)).toMatch(/^Open-Inspect <open-inspect@users.noreply/);
  });

  test.each(["\n<>", '"'])("may have a name, %j, that git would refuse", async (name) => {
    expect(await commitAs({ name, email: null, login: null })).toMatch(/^Open-Inspect </);
  });
});

test("what a prompt costs is told, its sub-agents included", async () => {
  const child = scripted({ text: "A sub-agent's answer." });
  const prompt = ask(
    session.bridge,
    scripted(
      { tool: { name: "task", args: { description: "Look", prompt: child, subagent_type: "general" } } },
      { text: "Told." },
    ),
  );
  expect(await prompt.end()).toMatchObject({ outcome: "done" });
  const told = session.bridge.all("prompt.usage").filter(({ promptId }) => promptId === prompt.promptId);
  const usage = told.at(-1)?.usage;
  // The child's request and both of the parent's.
  const asked = model.requests().slice(-3);
  expect(asked.map(({ body }) => JSON.stringify(body).includes("A sub-agent"))).toEqual([true, true, true]);
  expect(usage?.inputTokens).toBeGreaterThan(3_000);
  expect(usage?.outputTokens).toBeGreaterThan(10);
  expect(usage?.costUsd).toBeCloseTo(((usage?.inputTokens ?? 0) * 3 + (usage?.outputTokens ?? 0) * 15) / 1e6, 5);
});

test("a conversation that is too long for the model fails with that, and the next prompt is answered", async () => {
  const tooLong = ask(session.bridge, scripted({ status: 400, message: "prompt is too long: 210000 tokens > 200000 maximum" }));
  const end = await tooLong.end();
  expect(end).toMatchObject({ outcome: "failed" });
  expect(end.error).toMatch(/too large|too long/i);
  expect(await ask(session.bridge, scripted({ text: "Here." })).end()).toMatchObject({ outcome: "done" });
});

test("the agent's to-do list is told as a whole", async () => {
  const todos = [
    { content: "look", status: "completed", priority: "high" },
    { content: "act", status: "in_progress", priority: "low" },
  ];
  const prompt = ask(session.bridge, scripted({ tool: { name: "todowrite", args: { todos } } }, { text: "Noted." }));
  expect(await prompt.end()).toMatchObject({ outcome: "done" });
  expect(session.bridge.all("todos").at(-1)?.todos).toEqual(todos);
});

test("what the agent changed is told while it works, against where the session began, and once", async () => {
  const { bridge, sha } = session;
  const changed = join(session.sandbox.workspace, "README.md");
  const edit = { filePath: changed, oldString: "hello", newString: "hello, world" };
  const before = bridge.all("workspace.diff").length;
  const prompt = ask(
    bridge,
    scripted(
      { tool: { name: "read", args: { filePath: changed } } },
      { tool: { name: "edit", args: edit } },
      bash("git commit --quiet --all -m Work; sleep 1.2"),
      { text: "Done." },
    ),
  );
  const { diff } = await bridge.waitFor("workspace.diff", ({ diff }) => diff.files.some(({ path }) => path === "README.md"));
  expect(diff.base).toBe(sha);
  expect(diff.files).toMatchObject([
    { change: "modified", additions: 1, deletions: 1, hunks: expect.stringContaining("+hello, world") },
  ]);
  expect(bridge.all("prompt.finished").filter(({ promptId }) => promptId === prompt.promptId)).toEqual([]);
  expect(await prompt.end()).toMatchObject({ outcome: "done" });
  const next = ask(bridge, scripted(bash("rm -f new; echo 1 > new"), { text: "Done." }));
  await next.end();
  await bridge.waitFor("workspace.diff", ({ diff }) => diff.files.length === 2);
  expect(bridge.all("workspace.diff").slice(before)).toHaveLength(2);
});

describe("a prompt that is stopped ends within a second", () => {
  const stop = async (prompt: ReturnType<typeof ask>) => {
    const at = performance.now();
    session.bridge.send({ type: "abort", promptId: prompt.promptId });
    expect(await prompt.end()).toMatchObject({ outcome: "aborted" });
    return performance.now() - at;
  };

  test("while a command runs, which ends with everything that it has started", async () => {
    const marker = join(session.sandbox.workspace, "made/late");
    const before = new Set(session.sandbox.processes());
    const started = () => session.sandbox.processes().filter((pid) => !before.has(pid));
    const children =
      "sleep 60 & (sleep 61 | cat) & nohup sleep 62 >/dev/null 2>&1 & bash -c 'trap \"\" TERM; sleep 63; sleep 64' &";
    const prompt = ask(
      session.bridge,
      scripted(bash(`${children} echo started; sleep 2; mkdir -p made; touch ${marker}; sleep 60`), { text: "never" }),
    );
    await session.bridge.waitFor("prompt.part", ({ part }) => part.kind === "tool" && part.output.includes("started"));
    expect(started().length).toBeGreaterThanOrEqual(5);
    expect(await stop(prompt)).toBeLessThan(1_000);
    expect(prompt.parts()).toEqual([expect.stringMatching(/^bash:(error|interrupted|completed):/)]);
    await vi.waitFor(() => expect(started()).toEqual([]), { timeout: 5_000, interval: 50 });
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    expect(existsSync(marker)).toBe(false);
  });

  test("while its answer streams, of which stays what was said", async () => {
    const prompt = ask(session.bridge, scripted({ text: "word ".repeat(2_000), chunk: 5, delayMs: 10 }));
    await session.bridge.waitFor("prompt.delta", ({ promptId }) => promptId === prompt.promptId);
    expect(await stop(prompt)).toBeLessThan(1_000);
    expect(prompt.parts().join("")).toMatch(/^(word )+/);
  });

  test("while its attachment is being read", async () => {
    // The wait between two tries is longer than the second.
    session.bridge.attachments.set("slow", 503);
    const prompt = withAttachments(scripted({ text: "never" }), [{ id: "slow", name: "s", mime: "text/plain", sizeBytes: 1 }]);
    await session.bridge.waitFor("prompt.started", ({ promptId }) => promptId === prompt.promptId);
    expect(await stop(prompt)).toBeLessThan(1_000);
  });

  test("and the next one works", async () => {
    writeFileSync(join(session.sandbox.workspace, "made.txt"), "x");
    const prompt = ask(session.bridge, scripted({ text: "Here again." }));
    expect(await prompt.end()).toMatchObject({ outcome: "done" });
    expect(prompt.parts()).toEqual(["Here again."]);
  });
});

test("ends when told to, with its agent", async () => {
  const { bridge, run } = session;
  const [agent] = pidsOf("opencode", run.child.pid);
  expect(existsSync(`/proc/${agent}`)).toBe(true);
  bridge.send({ type: "shutdown", reason: "stopped" });
  expect(await run.exit).toBe(0);
  expect(existsSync(`/proc/${agent}`)).toBe(false);
});
