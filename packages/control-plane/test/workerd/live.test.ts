/** Browsers that watch: the feed of the lists, a build's and a session's events. */
import { evictDurableObject } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import {
  buildEventSchema,
  feedMessageSchema,
  type ImageState,
  type SessionView,
  sessionEventSchema,
} from "@open-inspect/protocol";
import { expect, it } from "vitest";
import { type z } from "zod";
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

it("[AP8] a session's socket shows phases, deltas and parts as they happen, and a reload shows text that is still growing", async () => {
  const { body } = await json<SessionView>("POST", "/api/sessions", { repository: "acme/shop", prompt: "hello" });
  const { messages } = await watch(`/api/sessions/${body.id}/events`, sessionEventSchema);
  const runtime = await connectRuntime((await startedSandbox(body.id)).config);
  runtime.event({ type: "phase.started", phase: "clone" });
  runtime.event({ type: "session.ready", sha: someSha("a"), setupRan: true, agentVersion: "1" });
  const prompt = await eventually(async () => runtime.received.find((one) => one.type === "prompt"), "the prompt");
  const promptId = prompt.type === "prompt" ? prompt.promptId : "";
  runtime.event({ type: "prompt.started", promptId });
  for (const delta of ["Hel", "lo"]) runtime.event({ type: "prompt.delta", promptId, partId: "p1", kind: "text", delta });
  await eventually(async () => messages.filter((one) => one.type === "delta").length === 2, "deltas");
  expect(messages.some((one) => one.type === "snapshot" && one.session.phases.some((phase) => phase.phase === "clone"))).toBe(
    true,
  );
  const reload = await watch(`/api/sessions/${body.id}/events`, sessionEventSchema);
  const first = await eventually(async () => reload.messages[0], "the view");
  expect(first.type === "snapshot" && first.session.prompts[0]?.parts).toEqual([{ kind: "text", id: "p1", text: "Hello" }]);
  const log = messages.flatMap((one) => (one.type === "log" ? one.entries.map((entry) => entry.text) : []));
  expect(log.join("")).toContain("The sandbox was asked for");
});

it("[AP10] many parts of an answer are few views, text in between is not lost, and the last state arrives though the object sleeps", async () => {
  const { body } = await json<SessionView>("POST", "/api/sessions", { repository: "acme/shop", prompt: "hello" });
  const runtime = await connectRuntime((await startedSandbox(body.id)).config);
  runtime.event({ type: "session.ready", sha: someSha("a"), setupRan: true, agentVersion: "1" });
  const prompt = await eventually(async () => runtime.received.find((one) => one.type === "prompt"), "the prompt");
  const promptId = prompt.type === "prompt" ? prompt.promptId : "";
  runtime.event({ type: "prompt.started", promptId });
  const { messages } = await watch(`/api/sessions/${body.id}/events`, sessionEventSchema);
  const shown = () => messages.filter((one) => one.type === "snapshot");
  await eventually(async () => shown()[0]?.session.prompts[0]?.status === "running", "the prompt runs");
  const tool = { kind: "tool", id: "t1", tool: "bash", title: "make", input: "make" } as const;
  const before = shown().length;
  for (let line = 1; line <= 100; line++) {
    runtime.event({ type: "prompt.part", promptId, part: { ...tool, status: "running", output: "x".repeat(line) } });
  }
  runtime.event({ type: "prompt.delta", promptId, partId: "p1", kind: "text", delta: "Done." });
  await eventually(async () => runtime.received.some((one) => one.type === "ack" && one.seq === runtime.seq), "all is stored");
  await evictDurableObject(sessionObject(body.id));
  await call("GET", `/api/sessions/${body.id}`);
  const last = await eventually(async () => {
    const parts = shown().at(-1)?.session.prompts[0]?.parts;
    return parts?.length === 2 && parts;
  }, "the last state");
  expect(last).toEqual([
    { ...tool, status: "running", output: "x".repeat(100) },
    { kind: "text", id: "p1", text: "Done." },
  ]);
  expect(
    messages.some((one) => one.type === "delta"),
    "what the view holds is not said twice",
  ).toBe(false);
  expect(shown().length - before).toBeLessThan(15);
});

it("[AP8] sockets of what does not exist are refused before the upgrade", async () => {
  const headers = { upgrade: "websocket" };
  expect((await call("GET", "/api/sessions/ses_01k00000000000000000000000/events", undefined, headers)).status).toBe(404);
  expect((await call("GET", "/api/builds/bld_01k00000000000000000000000/events", undefined, headers)).status).toBe(404);
});
