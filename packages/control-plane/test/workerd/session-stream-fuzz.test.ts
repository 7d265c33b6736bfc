/**
 * An answer on its way from the sandbox to browsers: cut, repeated, out of order, with the object put to sleep in between. What a browser shows
 * is what the agent produced, in order, once. Seeds are pinned.
 */
import { evictDurableObject } from "cloudflare:test";
import { type PromptPart, type RuntimeConfig, type RuntimeEvent, type SessionView } from "@open-inspect/protocol";
import { expect, it } from "vitest";
import { createRandom } from "../fakes/random.ts";
import {
  connectRuntime,
  eventually,
  type FakeRuntime,
  json,
  sessionObject,
  someSha,
  startedSandbox,
  watchSession,
} from "./harness.ts";

const steps = 140;

/** What the agent says, and what it comes to. */
function createAgent(promptId: string, random: () => number) {
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
      const output = `line ${count}\n`;
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
  const acked = () =>
    Math.max(0, ...received.map((one) => (one.type === "ack" ? one.seq : one.type === "welcome" ? one.ack : 0))) - first;
  return {
    received: () => received,
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
      this.again();
    },
  };
}

for (const seed of [1, 7, 42, 1009, 77_003, 512_927]) {
  it(`[BR8] what a browser shows is what the agent produced, in order, once (seed ${seed})`, async () => {
    const random = createRandom(seed).next;
    const { body } = await json<SessionView>("POST", "/api/sessions", { repository: "acme/shop", prompt: "go" });
    const { config } = await startedSandbox(body.id);
    const runtime = await connectRuntime(config);
    runtime.event({ type: "session.ready", sha: someSha("a"), setupRan: true, agentVersion: "1" });
    const asked = await eventually(async () => runtime.received.find((one) => one.type === "prompt"), "the prompt");
    const promptId = asked.type === "prompt" ? asked.promptId : "";
    runtime.event({ type: "prompt.started", promptId });
    await eventually(async () => runtime.received.some((one) => one.type === "ack" && one.seq === runtime.seq), "it has begun");

    const agent = createAgent(promptId, random);
    const sender = createSender(config, runtime, random);
    const steady = await watchSession(body.id);
    let restless = await watchSession(body.id);
    for (let step = 0; step < steps; step++) {
      sender.push(agent.next());
      const dice = random();
      if (dice < 0.03) await sender.redial();
      else if (dice < 0.05) await sleepNow(body.id);
      else if (dice < 0.1) {
        restless.socket.close(1000, "away");
        restless = await watchSession(body.id, restless.replica);
      } else if (dice < 0.3) await new Promise((resolve) => setTimeout(resolve, random() * 8));
      else if (dice < 0.35) sender.again();
    }
    const settle = () =>
      eventually(async () => {
        if (!sender.isDone()) sender.again();
        return sender.isDone();
      }, "everything is acknowledged");
    await settle();
    const shown = (browser: typeof steady) => browser.replica.view?.prompts[0]?.parts;
    const same = (browser: typeof steady) => JSON.stringify(shown(browser)) === JSON.stringify(inOrder(agent.parts));
    await eventually(async () => same(steady) && same(restless), "both show it").catch(() => {});
    expect(shown(steady), "who watched all the time").toEqual(agent.parts);
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
