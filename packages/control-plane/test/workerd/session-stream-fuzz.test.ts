/**
 * An answer on its way from the sandbox to browsers: cut, repeated, out of order, read late on either side, with the object put to sleep in between.
 * What a browser shows is what the agent produced, in order, once. Seeds are pinned.
 */
import { evictDurableObject } from "cloudflare:test";
import { exports } from "cloudflare:workers";
import {
  emptyReplica,
  followSession,
  type PromptPart,
  type RuntimeConfig,
  type RuntimeEvent,
  type SessionReplica,
  type SessionSeen,
  type SessionView,
  sessionEventSchema,
} from "@open-inspect/protocol";
import { expect, it } from "vitest";
import { tooSlowCode } from "../../src/adapters/session-channel.ts";
import { createRandom } from "../fakes/random.ts";
import {
  connectRuntime,
  eventually,
  type FakeRuntime,
  json,
  origin,
  sessionObject,
  someSha,
  startedSandbox,
  watchSession,
} from "./harness.ts";

const steps = 140;
/** what a tool of a verbose agent prints at once: a browser that does not read is soon too far behind */
const muchOutput = "x".repeat(450_000);

/** What the agent says, and what it comes to. */
function createAgent(promptId: string, random: () => number, isVerbose: boolean) {
  const parts: PromptPart[] = [];
  let count = 0;
  const pick = <T>(list: readonly T[]): T | undefined => list[Math.floor(random() * list.length)];
  const put = (part: PromptPart) => {
    const at = parts.findIndex((one) => one.id === part.id);
    if (part.kind !== "tool" && part.text === "") {
      if (at >= 0) parts.splice(at, 1);
    } else if (at < 0) parts.push(part);
    else parts[at] = part;
  };
  return {
    parts,
    next(): RuntimeEvent {
      const texts = parts.filter((part) => part.kind !== "tool");
      const tools = parts.filter((part) => part.kind === "tool");
      const dice = random();
      const text = pick(texts);
      if (dice < 0.55) {
        count += 1;
        const delta = `${count} `.repeat(1 + Math.floor(random() * 3));
        if (!text || random() < 0.15) {
          const kind = random() < 0.3 ? "reasoning" : "text";
          put({ kind, id: `text-${count}`, text: delta });
          return { type: "prompt.delta", promptId, partId: `text-${count}`, kind, delta };
        }
        put({ ...text, text: text.text + delta });
        return { type: "prompt.delta", promptId, partId: text.id, kind: text.kind, delta };
      }
      if (dice < 0.7 && text) {
        // As a whole, changed at its end, or taken back.
        const part = { ...text, text: random() < 0.25 ? "" : `${text.text}whole.` };
        put(part);
        return { type: "prompt.part", promptId, part };
      }
      const old = random() < 0.6 ? pick(tools) : undefined;
      const status = random() < 0.5 ? ("running" as const) : ("completed" as const);
      count += 1;
      const output = `line ${count}\n${isVerbose ? muchOutput : ""}`;
      const part: PromptPart =
        old?.kind === "tool"
          ? { ...old, status, output }
          : { kind: "tool", id: `tool-${count}`, tool: "bash", status, title: "t", input: "i", output };
      put(part);
      return { type: "prompt.part", promptId, part };
    },
    /** texts that only grew are whole from now on */
    wholes: (): RuntimeEvent[] =>
      parts.flatMap((part) => (part.kind === "tool" ? [] : [{ type: "prompt.part", promptId, part } as const])),
  };
}

/** The runtime's outbox over a bad line: frames are lost with their connection, doubled or swapped; all are sent until they are acknowledged. */
function createSender(config: RuntimeConfig, runtime: FakeRuntime, random: () => number) {
  const events: RuntimeEvent[] = [];
  let { socket, received } = runtime;
  const first = runtime.seq;
  const frame = (at: number) => socket.send(JSON.stringify({ type: "event", seq: first + at + 1, at: 0, event: events[at] }));
  /** how much of what was received has been read */
  let read = 0;
  const acked = () =>
    Math.max(0, ...received.slice(0, read).map((one) => (one.type === "ack" ? one.seq : one.type === "welcome" ? one.ack : 0))) -
    first;
  return {
    readAll: () => {
      read = received.length;
    },
    push(event: RuntimeEvent): void {
      events.push(event);
      const at = events.length - 1;
      const dice = random();
      if (dice < 0.05) return;
      frame(at);
      if (dice < 0.15) frame(at);
      if (dice > 0.92 && at > 0) frame(at - 1);
    },
    /** Everything again from the last acknowledged one on. */
    again(): void {
      for (let at = Math.max(0, acked()); at < events.length; at++) frame(at);
    },
    isDone: () => acked() >= events.length,
    async redial(): Promise<void> {
      socket.close(1001, "cut");
      const next = await connectRuntime(config, { seq: first });
      socket = next.socket;
      received = next.received;
      this.readAll();
      this.again();
    },
  };
}

/** A browser that reads late and tells how much it has read; one that was sent away comes back with its cursor. */
async function createSlowBrowser(id: string) {
  let replica: SessionReplica = emptyReplica;
  let waiting: string[] = [];
  let received = 0;
  let timesAway = 0;
  let { socket, isClosed } = await dial();
  async function dial() {
    const since = replica.cursor === null ? "" : `&since=${replica.cursor}`;
    const headers = { upgrade: "websocket", origin };
    const answer = await exports.default.fetch(`${origin}/api/sessions/${id}/events?after=0${since}`, { headers });
    const fresh = answer.webSocket;
    if (!fresh) throw new Error(`no upgrade: ${answer.status}`);
    waiting = [];
    received = 0;
    let closed: number | null = null;
    const mine = waiting;
    fresh.addEventListener("message", ({ data }) => void mine.push(String(data)));
    fresh.addEventListener("close", ({ code }) => {
      closed = code;
    });
    fresh.accept();
    fresh.send(JSON.stringify({ type: "seen", received: 0 } satisfies SessionSeen));
    return { socket: fresh, isClosed: () => closed };
  }
  return {
    replica: () => replica,
    timesAway: () => timesAway,
    async read(): Promise<void> {
      const code = isClosed();
      if (code !== null) {
        timesAway += code === tooSlowCode ? 1 : 0;
        ({ socket, isClosed } = await dial());
      }
      for (const text of waiting.splice(0)) {
        received += text.length;
        replica = followSession(replica, sessionEventSchema.parse(JSON.parse(text)));
      }
      if (isClosed() === null) socket.send(JSON.stringify({ type: "seen", received } satisfies SessionSeen));
    },
  };
}

const verbose = new Set([42, 31_337]);
for (const seed of [1, 7, 42, 1009, 31_337, 77_003, 271_828, 512_927]) {
  it(`[BR8] what a browser shows is what the agent produced, in order, once (seed ${seed})`, async () => {
    const random = createRandom(seed).next;
    const isVerbose = verbose.has(seed);
    const { body } = await json<SessionView>("POST", "/api/sessions", { repository: "acme/shop", prompt: "go" });
    const { config } = await startedSandbox(body.id);
    const runtime = await connectRuntime(config);
    runtime.event({ type: "session.ready", sha: someSha("a"), setupRan: true, agentVersion: "1" });
    const asked = await eventually(async () => runtime.received.find((one) => one.type === "prompt"), "the prompt");
    const promptId = asked.type === "prompt" ? asked.promptId : "";
    runtime.event({ type: "prompt.started", promptId });
    await eventually(async () => runtime.received.some((one) => one.type === "ack" && one.seq === runtime.seq), "it has begun");

    const agent = createAgent(promptId, random, isVerbose);
    const sender = createSender(config, runtime, random);
    const steady = await watchSession(body.id);
    const together = await watchSession(body.id, emptyReplica, true);
    let restless = await watchSession(body.id);
    const slow = await createSlowBrowser(body.id);
    for (let step = 0; step < steps; step++) {
      sender.push(agent.next());
      const dice = random();
      if (dice < 0.03) await sender.redial();
      // An object that wakes up knows nothing of how far behind a browser is.
      else if (dice < 0.05 && !isVerbose) await sleepNow(body.id);
      else if (dice < 0.1) {
        restless.socket.close(1000, "away");
        restless = await watchSession(body.id, restless.replica, random() < 0.5);
      } else if (dice < 0.3) await new Promise((resolve) => setTimeout(resolve, random() * 8));
      else if (dice < 0.35) sender.again();
      else if (dice < 0.4) sender.readAll();
      else if (dice < 0.45 && !isVerbose) await slow.read();
    }
    const settle = () =>
      eventually(async () => {
        sender.readAll();
        if (!sender.isDone()) sender.again();
        return sender.isDone();
      }, "everything is acknowledged");
    await settle();
    const shown = (browser: typeof steady) => browser.replica.view?.prompts[0]?.parts;
    const same = (browser: typeof steady) => JSON.stringify(shown(browser)) === JSON.stringify(inOrder(agent.parts));
    const late = () => slow.replica().view?.prompts[0]?.parts;
    await eventually(async () => {
      await slow.read();
      return same(steady) && same(restless) && same(together) && JSON.stringify(late()) === JSON.stringify(inOrder(agent.parts));
    }, "all show it").catch(() => {});
    expect(late(), "who read late").toEqual(agent.parts);
    if (isVerbose) expect(slow.timesAway(), "it was sent away").toBeGreaterThan(0);
    expect(shown(steady), "who watched all the time").toEqual(agent.parts);
    expect(shown(together), "who takes lists").toEqual(agent.parts);
    expect(together.lists).toBeGreaterThan(0);
    expect(shown(restless), "who came and went").toEqual(agent.parts);
    for (const event of [...agent.wholes(), { type: "prompt.finished", promptId, outcome: "done", error: null } as const])
      sender.push(event);
    await settle();
    await eventually(async () => steady.replica.view?.prompts[0]?.status === "done", "the end is shown");
    const fresh = await json<SessionView>("GET", `/api/sessions/${body.id}`);
    expect(fresh.body.prompts[0]).toMatchObject({ status: "done", parts: agent.parts });
    expect(shown(steady)).toEqual(agent.parts);
  });
}

/** An object that was just put to sleep sleeps already. */
const sleepNow = (id: string) => evictDurableObject(sessionObject(id)).catch(() => {});

const inOrder = (parts: PromptPart[]): PromptPart[] =>
  parts.map((part) =>
    part.kind === "tool"
      ? {
          kind: "tool",
          id: part.id,
          tool: part.tool,
          status: part.status,
          title: part.title,
          input: part.input,
          output: part.output,
        }
      : { kind: part.kind, id: part.id, text: part.text },
  );
