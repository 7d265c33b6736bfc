/** A build's log as server-sent events and as a download: cut and resumed, slow readers, the end. */
import { evictDurableObject } from "cloudflare:test";
import { type BuildLogs, type BuildView, buildViewSchema, type ImageState, logEntrySchema } from "@open-inspect/protocol";
import { expect, it } from "vitest";
import { createEventStream, type LogSource } from "../../src/http/log-stream.ts";
import { upgradeRequest } from "../../src/http/upgrade.ts";
import {
  call,
  connectRuntime,
  eventually,
  type FakeRuntime,
  imageObject,
  json,
  playVerification,
  someSha,
  startedSandbox,
} from "./harness.ts";

interface Received {
  event: string;
  id: string | null;
  data: unknown;
}

/** Reads events in the background until told to cut the connection. */
function readEvents(response: Response) {
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  if (!reader) throw new Error("no body");
  const events: Received[] = [];
  const reading = { events, raw: "", isOver: false, cut: () => reader.cancel() };
  void (async () => {
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      reading.raw += value;
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop() ?? "";
      for (const block of blocks) {
        const fields = new Map(
          block.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]),
        );
        const event = fields.get("event");
        if (event !== undefined) events.push({ event, id: fields.get("id") ?? null, data: JSON.parse(fields.get("data") ?? "") });
      }
    }
    reading.isOver = true;
  })();
  return reading;
}

const logsOf = (events: Received[]) => events.filter((one) => one.event === "log").map((one) => logEntrySchema.parse(one.data));
const textsOf = (events: Received[]) =>
  logsOf(events)
    .filter((one) => one.stream === "stdout")
    .map((one) => one.text);

async function startBuild(): Promise<{ id: string; runtime: FakeRuntime }> {
  const { body } = await json<ImageState>("PUT", "/api/repositories/acme/shop/image", { enabled: true });
  const id = body.latestBuild?.id ?? "";
  return { id, runtime: await connectRuntime((await startedSandbox(id)).config) };
}
const print = (runtime: FakeRuntime, text: string) => runtime.event({ type: "log", phase: "setup", stream: "stdout", text });
async function stored(runtime: FakeRuntime): Promise<void> {
  runtime.send({ type: "heartbeat", at: 0 });
  await eventually(async () => runtime.received.some((one) => one.type === "ack" && one.seq === runtime.seq), "all is stored");
}
const stream = async (id: string, query = "", headers: Record<string, string> = {}) =>
  readEvents(await call("GET", `/api/builds/${id}/stream${query}`, undefined, headers));

it("[AP14] a log stream that was cut goes on after the last event without gap or repeat, and ends with the build", async () => {
  const { id, runtime } = await startBuild();
  for (const line of [1, 2, 3]) print(runtime, `line ${line}\n`);
  const first = await stream(id);
  await eventually(async () => textsOf(first.events).length === 3, "what was printed before");
  print(runtime, "line 4\n");
  await eventually(async () => textsOf(first.events).length === 4, "what is printed now");
  await first.cut();
  const lastId = first.events.findLast((one) => one.id !== null)?.id ?? "";
  for (const line of [5, 6]) print(runtime, `line ${line}\n`);
  // The object sleeps in between and is woken by the next line.
  await stored(runtime);
  const second = await stream(id, "?after=0", { "last-event-id": lastId });
  await eventually(async () => textsOf(second.events).length === 2, "what was missed");
  await evictDurableObject(imageObject());
  print(runtime, "line 7\n");
  await eventually(async () => textsOf(second.events).length === 3, "what the object says after it slept");
  runtime.event({ type: "build.finished", sha: someSha("a"), setupRan: true });
  await playVerification(runtime.config);
  await eventually(async () => second.isOver, "the end");
  const seqs = logsOf([...first.events, ...second.events]).map((one) => one.seq);
  expect(seqs).toEqual(Array.from(seqs, (_, index) => index + 1));
  expect(textsOf([...first.events, ...second.events])).toEqual([1, 2, 3, 4, 5, 6, 7].map((line) => `line ${line}\n`));
  for (const one of [...first.events, ...second.events].filter(({ event }) => event === "log"))
    expect(one.id).toBe(String(logEntrySchema.parse(one.data).seq));
  const end = second.events.at(-1);
  expect([end?.event, buildViewSchema.parse(end?.data).status]).toEqual(["end", "ready"]);
  expect(second.events.some((one) => one.event === "build")).toBe(true);
  expect((await call("GET", `/api/builds/${id}/stream`, undefined, { "last-event-id": end?.id ?? "" })).status).toBe(204);
  const again = await stream(id, `?after=${seqs.at(-3)}`);
  await eventually(async () => again.isOver, "the end again");
  expect(logsOf(again.events)).toHaveLength(2);
});

it("[AP14] a wrong cursor is refused, and a log downloads as one text with its colours", async () => {
  const { id, runtime } = await startBuild();
  print(runtime, "\u001b[32mgreen\u001b[0m ");
  print(runtime, "and more\n");
  await stored(runtime);
  const wrong = await call("GET", `/api/builds/${id}/stream`, undefined, { "last-event-id": "x" });
  expect(wrong.status).toBe(400);
  expect((await call("GET", `/api/builds/${id}/stream?after=-1`)).status).toBe(400);
  expect((await call("GET", "/api/builds/bld_01k00000000000000000000000/stream")).status).toBe(404);
  const response = await call("GET", `/api/builds/${id}/logs.txt`);
  expect(response.headers.get("content-type")).toBe("text/plain; charset=utf-8");
  expect(response.headers.get("content-disposition")).toBe(`attachment; filename="${id}.log.txt"`);
  expect(await response.text()).toContain("\u001b[32mgreen\u001b[0m and more\n");
});

it("[AP14] what signals that there is more carries none of the log", async () => {
  const { id, runtime } = await startBuild();
  const { webSocket } = await imageObject().fetch(upgradeRequest(`/events?build=${id}&quiet`));
  const messages: string[] = [];
  webSocket?.addEventListener("message", ({ data }) => void messages.push(String(data)));
  webSocket?.accept();
  for (let line = 0; line < 5; line++) print(runtime, `a long line ${"x".repeat(10_000)}\n`);
  await stored(runtime);
  await eventually(async () => messages.filter((one) => one === '{"type":"more"}').length >= 5, "five signals");
  expect(messages[0]).toContain('"type":"build"');
  expect(messages.join("")).not.toContain("a long line");
  webSocket?.close();
});

const someView = (): BuildView =>
  buildViewSchema.parse({
    ...{ id: "bld_01k00000000000000000000000", repository: { owner: "acme", name: "shop" }, trigger: "push", status: "running" },
    ...{ requestedBy: null, phase: null, branch: null, sha: null, fromSha: null, mode: null, modeReason: null, phases: [] },
    ...{ requestedAt: 0, startedAt: 0, finishedAt: null, durationMs: null, failure: null, tryNumber: 1, inputs: null },
    ...{ sizeBytes: null, imageId: null, skipped: null },
  });

/** A log that is as long as anybody wants to read. */
function endlessSource(over: Partial<LogSource> = {}): LogSource & { reads: number } {
  return {
    reads: 0,
    async read(after): Promise<BuildLogs> {
      this.reads += 1;
      const entry = { seq: after + 1, at: 0, phase: "setup", stream: "stdout", text: "x" } as const;
      return { entries: [entry], next: entry.seq, complete: false };
    },
    view: async () => null,
    watch: async () => () => {},
    ...over,
  };
}
const times = { heartbeatMs: 20, rewatchMs: 10, until: Number.POSITIVE_INFINITY };

it("[AP14] a slow reader is waited for: nothing is read that nobody asked for", async () => {
  const source = endlessSource();
  const reader = createEventStream(source, 0, someView(), times).getReader();
  for (let chunk = 0; chunk < 3; chunk++) await reader.read();
  await new Promise((resolve) => setTimeout(resolve, 60));
  expect(source.reads).toBe(2);
  await reader.cancel();
});

it("[AP14] while nothing happens there is a sign of life, and the log is not asked; a lost signal is looked for again", async () => {
  let reads = 0;
  let lose = () => {};
  let stopped = 0;
  let watched = 0;
  const source = endlessSource({
    read: async (after) => {
      reads += 1;
      return { entries: [], next: after, complete: false };
    },
    watch: async (_, lost) => {
      watched += 1;
      lose = lost;
      return () => {
        stopped += 1;
      };
    },
  });
  const reader = createEventStream(source, 5, someView(), times).pipeThrough(new TextDecoderStream()).getReader();
  const next = async () => (await reader.read()).value ?? "";
  expect(await next()).toContain("event: build");
  expect(await next()).toBe(": heartbeat\n\n");
  const before = reads;
  expect(await next()).toBe(": heartbeat\n\n");
  expect(await next()).toBe(": heartbeat\n\n");
  expect(reads).toBe(before);
  lose();
  expect(await next()).toBe(": heartbeat\n\n");
  expect(watched).toBe(2);
  expect(reads).toBeGreaterThan(before);
  await reader.cancel();
  expect(stopped).toBe(1);
});

it("[LI10] a stream that is old is cut where it is, so that its reader comes back", async () => {
  let stopped = 0;
  const watch = async () => () => void stopped++;
  const source = endlessSource({ read: async (after) => ({ entries: [], next: after, complete: false }), watch });
  const stream = createEventStream(source, 5, someView(), { ...times, until: Date.now() + 150 });
  const text = await new Response(stream).text();
  expect(text).toContain(": heartbeat");
  expect(text).not.toContain("event: end");
  expect(stopped).toBe(1);
});
