/** Browsers that watch: the feed of the lists, a build's and a session's events. */
import { evictDurableObject } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import {
  buildEventSchema,
  feedMessageSchema,
  type ImageState,
  type SessionEvent,
  type SessionSeen,
  type SessionView,
} from "@open-inspect/protocol";
import { expect, it } from "vitest";
import { type z } from "zod";
import { tooSlowCode, unseenMax } from "../../src/adapters/session-channel.ts";
import {
  call,
  connectRuntime,
  eventually,
  json,
  origin,
  playVerification,
  playWholeBuild,
  sessionObject,
  someSha,
  startedSandbox,
  watchSession,
} from "./harness.ts";

async function watch<S extends z.ZodType>(path: string, schema: S): Promise<{ messages: z.output<S>[]; socket: WebSocket }> {
  const response = await exports.default.fetch(`${origin}${path}`, { headers: { upgrade: "websocket", origin } });
  const socket = response.webSocket;
  if (!socket) throw new Error(`no upgrade: ${response.status} ${await response.text()}`);
  const messages: z.output<S>[] = [];
  socket.addEventListener("message", ({ data }) => {
    messages.push(schema.parse(JSON.parse(String(data))));
  });
  socket.accept();
  return { messages, socket };
}

it("[AP8] the feed pushes every change of a repository's image and of a session, also after its object slept", async () => {
  const { messages } = await watch("/api/feed", feedMessageSchema);
  await eventually(async () => messages.some((one) => one.type === "hello"), "hello");
  await evictDurableObject(env.FEED.getByName("feed"));
  const { body } = await json<ImageState>("PUT", "/api/repositories/acme/shop/image", { enabled: true });
  await playWholeBuild(await connectRuntime((await startedSandbox(body.latestBuild?.id ?? "")).config));
  await eventually(
    async () => messages.some((one) => one.type === "repository" && one.repository.image.status === "building"),
    "building",
  );
  await eventually(
    async () => messages.some((one) => one.type === "repository" && one.repository.image.status === "ready"),
    "ready",
  );
  const session = await json<SessionView>("POST", "/api/sessions", { repository: "acme/shop" });
  await eventually(
    async () => messages.some((one) => one.type === "session" && one.session.id === session.body.id),
    "the session",
  );
});

it("[AP8] [LG2] a build's socket begins with the view and the log since the cursor, then each change", async () => {
  const { body } = await json<ImageState>("PUT", "/api/repositories/acme/shop/image", { enabled: true });
  const id = body.latestBuild?.id ?? "";
  const runtime = await connectRuntime((await startedSandbox(id)).config);
  runtime.event({ type: "log", phase: "setup", stream: "stdout", text: "before\n" });
  runtime.send({ type: "heartbeat", at: 0 });
  await eventually(async () => runtime.received.some((one) => one.type === "ack"), "it is stored");
  const { messages, socket } = await watch(`/api/builds/${id}/events`, buildEventSchema);
  await eventually(async () => messages.length >= 2, "the beginning");
  expect(messages[0]?.type).toBe("build");
  runtime.event({ type: "log", phase: "setup", stream: "stdout", text: "after\n" });
  const texts = () => messages.flatMap((one) => (one.type === "log" ? one.entries : [])).filter((one) => one.stream === "stdout");
  await eventually(async () => texts().length === 2, "the rest");
  expect(texts().map((one) => one.text)).toEqual(["before\n", "after\n"]);
  const cursor = texts()[0]?.seq ?? 0;
  socket.close(1000, "bye");
  const again = await watch(`/api/builds/${id}/events?after=${cursor}`, buildEventSchema);
  await eventually(async () => again.messages.some((one) => one.type === "log"), "the log since the cursor");
  expect(again.messages.flatMap((one) => (one.type === "log" ? one.entries.map((entry) => entry.text) : []))).toEqual([
    "after\n",
  ]);
  runtime.event({ type: "build.finished", sha: someSha("a"), setupRan: true });
  await playVerification(runtime.config);
  await eventually(async () => again.messages.some((one) => one.type === "build" && one.build.status === "ready"), "the end");
});

async function startAnswer(prompt = "hello") {
  const { body } = await json<SessionView>("POST", "/api/sessions", { repository: "acme/shop", prompt });
  const runtime = await connectRuntime((await startedSandbox(body.id)).config);
  runtime.event({ type: "session.ready", sha: someSha("a"), setupRan: true, agentVersion: "1" });
  const sent = await eventually(async () => runtime.received.find((one) => one.type === "prompt"), "the prompt");
  const promptId = sent.type === "prompt" ? sent.promptId : "";
  runtime.event({ type: "prompt.started", promptId });
  const stored = () =>
    eventually(async () => runtime.received.some((one) => one.type === "ack" && one.seq === runtime.seq), "all is stored");
  const delta = (text: string) => runtime.event({ type: "prompt.delta", promptId, partId: "p1", kind: "text", delta: text });
  return { id: body.id, runtime, promptId, stored, delta };
}

it("[AP8] a session's socket shows phases, deltas and parts as they happen, and a reload shows text that is still growing", async () => {
  const { body } = await json<SessionView>("POST", "/api/sessions", { repository: "acme/shop", prompt: "hello" });
  const browser = await watchSession(body.id);
  const runtime = await connectRuntime((await startedSandbox(body.id)).config);
  runtime.event({ type: "phase.started", phase: "clone" });
  runtime.event({ type: "session.ready", sha: someSha("a"), setupRan: true, agentVersion: "1" });
  const prompt = await eventually(async () => runtime.received.find((one) => one.type === "prompt"), "the prompt");
  const promptId = prompt.type === "prompt" ? prompt.promptId : "";
  runtime.event({ type: "prompt.started", promptId });
  for (const delta of ["Hel", "lo"]) runtime.event({ type: "prompt.delta", promptId, partId: "p1", kind: "text", delta });
  const parts = () => browser.replica.view?.prompts[0]?.parts;
  const hello = [{ kind: "text", id: "p1", text: "Hello" }];
  await eventually(async () => JSON.stringify(parts()) === JSON.stringify(hello), "deltas");
  expect(browser.replica.view?.phases.some((phase) => phase.phase === "clone")).toBe(true);
  const reload = await watchSession(body.id);
  const first = await eventually(async () => reload.messages[0], "the view");
  expect(first.type === "snapshot" && first.session.prompts[0]?.parts).toEqual(hello);
  const log = browser.messages.flatMap((one) => (one.type === "log" ? one.entries.map((entry) => entry.text) : []));
  expect(log.join("")).toContain("The sandbox was asked for");
});

it("[AP10] the view is told once; then each change by itself, and a text as what it grew by", async () => {
  const { id, runtime, promptId, stored, delta } = await startAnswer();
  const { messages, replica: _, ...browser } = await watchSession(id);
  await eventually(async () => messages.length > 0, "the view");
  const words = Array.from({ length: 200 }, (_, place) => `word ${place} `);
  for (const word of words) delta(word);
  runtime.event({ type: "prompt.part", promptId, part: { kind: "text", id: "p1", text: words.join("") } });
  runtime.event({ type: "prompt.finished", promptId, outcome: "done", error: null });
  await stored();
  await eventually(async () => messages.some((one) => one.type === "prompt" && one.prompt.status === "done"), "the end");
  expect(messages.filter((one) => one.type === "snapshot")).toHaveLength(1);
  const grown = messages.flatMap((one) => (one.type === "delta" ? [one.delta] : []));
  expect(words.join("").startsWith(grown.join(""))).toBe(true);
  browser.socket.close(1000, "bye");
});

it("[AP10] who comes back with a cursor is told what changed since, whole and once, also by another life of the object", async () => {
  const { id, runtime, promptId, stored, delta } = await startAnswer();
  const browser = await watchSession(id);
  delta("I lo");
  await stored();
  await eventually(async () => browser.replica.view?.prompts[0]?.parts.length === 1, "the beginning");
  browser.socket.close(1000, "bye");
  delta("ok");
  const tool = { kind: "tool", id: "t1", tool: "bash", title: "make", input: "make", status: "completed", output: "ok" } as const;
  runtime.event({ type: "prompt.part", promptId, part: tool });
  delta(" again");
  await stored();
  await evictDurableObject(sessionObject(id));
  const back = await watchSession(id, browser.replica);
  const parts = () => back.replica.view?.prompts[0]?.parts;
  await eventually(async () => parts()?.length === 2, "what came meanwhile");
  expect(parts()).toEqual([{ kind: "text", id: "p1", text: "I look again" }, tool]);
  expect(back.messages.some((one) => one.type === "snapshot")).toBe(false);
  delta("!");
  await eventually(async () => JSON.stringify(parts()).includes("I look again!"), "it goes on");
  const unknown = await watchSession(id, { ...back.replica, cursor: Number.MAX_SAFE_INTEGER });
  const first = await eventually(async () => unknown.messages[0], "the view");
  expect(first.type, "a cursor that nobody gave out").toBe("snapshot");
});

it("[AP15] everybody who watches is named once, on joining and leaving, also after the object slept", async () => {
  const { id } = await startAnswer();
  const here = [{ name: "dev", email: null, login: null }];
  const presence = (browser: { messages: SessionEvent[] }) =>
    browser.messages.flatMap((one) => (one.type === "presence" ? [one.people.map((person) => person.name)] : []));
  const first = await watchSession(id);
  const second = await watchSession(id);
  await eventually(async () => presence(second).length === 1, "the second knows who is there");
  expect(second.messages.find((one) => one.type === "presence")).toEqual({ type: "presence", people: here });
  await evictDurableObject(sessionObject(id));
  // Another person, whom only the object knows: everybody of this Worker is the developer.
  const { socket: other } = await joinAs(id, "Ada");
  await eventually(async () => presence(first).length === 2, "the first is told");
  expect(presence(first)).toEqual([["dev"], ["Ada", "dev"]]);
  other.close(1000, "bye");
  await eventually(async () => presence(first).length === 3, "and told again");
  expect(presence(first).at(-1)).toEqual(["dev"]);
  expect(presence(second).at(-1)).toEqual(["dev"]);
});

it("[AP15] who does not take what is sent is sent away; who says that it does stays", async () => {
  const { id, runtime, stored } = await startAnswer();
  const [slow, steady] = [await watchSession(id), await watchSession(id)];
  slow.socket.send(JSON.stringify({ type: "seen", received: 0 } satisfies SessionSeen));
  let received = 0;
  steady.socket.addEventListener("message", ({ data }) => {
    received += String(data).length;
    steady.socket.send(JSON.stringify({ type: "seen", received } satisfies SessionSeen));
  });
  const text = `${"x".repeat(99)}\n`.repeat(1_000);
  for (let sent = 0; sent <= unseenMax + 3 * text.length; sent += text.length) {
    runtime.event({ type: "log", phase: "agent", stream: "stdout", text });
    // A runtime has less than this in flight.
    if (sent % (10 * text.length) === 0) await Promise.all([stored(), eventually(async () => received > sent, "it is taken")]);
  }
  await eventually(async () => slow.closed, "the slow one is sent away");
  expect(slow.closed).toBe(tooSlowCode);
  const back = await watchSession(id, slow.replica);
  await eventually(async () => back.messages.some((one) => one.type === "presence"), "it is told what it needs");
  expect(steady.closed).toBeNull();
});

async function joinAs(id: string, name: string): Promise<{ socket: WebSocket }> {
  const query = new URLSearchParams({ person: JSON.stringify({ name, email: null, login: null }) });
  const response = await sessionObject(id).fetch(`http://object/events?${query}`, { headers: { upgrade: "websocket" } });
  const socket = response.webSocket;
  if (!socket) throw new Error("no upgrade");
  socket.accept();
  return { socket };
}

it("[AP8] sockets of what does not exist are refused before the upgrade", async () => {
  const headers = { upgrade: "websocket" };
  expect((await call("GET", "/api/sessions/ses_01k00000000000000000000000/events", undefined, headers)).status).toBe(404);
  expect((await call("GET", "/api/builds/bld_01k00000000000000000000000/events", undefined, headers)).status).toBe(404);
});
