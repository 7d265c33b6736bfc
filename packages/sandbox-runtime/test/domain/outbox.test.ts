import { bridgeFrameMaxBytes, type RuntimeEvent } from "@open-inspect/protocol";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { createOutbox, type Outbox } from "../../src/domain/outbox.ts";

const promptId = "prm_00000000000000000000000000";
const phase = (name: "clone" | "setup"): RuntimeEvent => ({ type: "phase.started", phase: name });
const log = (text: string, stream: "stdout" | "stderr" = "stdout"): RuntimeEvent => ({
  type: "log",
  phase: "setup",
  stream,
  text,
});
const delta = (text: string, partId = "p1"): RuntimeEvent => ({
  type: "prompt.delta",
  promptId,
  partId,
  kind: "text",
  delta: text,
});
const part = (text: string, id = "p1"): RuntimeEvent => ({ type: "prompt.part", promptId, part: { kind: "text", id, text } });

const frameSchema = z.object({ seq: z.number(), event: z.looseObject({ type: z.string() }) });
const drain = (outbox: Outbox) => {
  const frames: z.infer<typeof frameSchema>[] = [];
  for (let frame = outbox.next(); frame !== null; frame = outbox.next()) frames.push(frameSchema.parse(JSON.parse(frame)));
  return frames;
};

describe("outbox", () => {
  test("numbers events from 1 without gaps, in order", () => {
    const outbox = createOutbox();
    outbox.push(phase("clone"), 1);
    outbox.push(phase("setup"), 2);
    expect(drain(outbox).map(({ seq }) => seq)).toEqual([1, 2]);
    outbox.push(log("a"), 3);
    expect(drain(outbox).map(({ seq }) => seq)).toEqual([3]);
  });

  test("after a reconnect resends exactly what is not acknowledged, under the same numbers", () => {
    const outbox = createOutbox();
    for (const text of ["a", "b", "c"]) {
      outbox.push(log(text), 1);
      drain(outbox);
    }
    outbox.acknowledge(1);
    outbox.rewind();
    expect(drain(outbox).map(({ seq, event }) => [seq, event.text])).toEqual([
      [2, "b"],
      [3, "c"],
    ]);
    expect(outbox.isDrained()).toBe(false);
    outbox.acknowledge(3);
    expect(outbox.isDrained()).toBe(true);
  });

  test("an acknowledgement between two sends does not repeat or skip an event", () => {
    const outbox = createOutbox();
    outbox.push(phase("clone"), 1);
    outbox.push(phase("setup"), 1);
    outbox.next();
    outbox.acknowledge(1);
    expect(drain(outbox).map(({ seq }) => seq)).toEqual([2]);
  });

  test("output that waits is merged, but never into a frame that JSON makes too large", () => {
    const outbox = createOutbox({ windowEvents: 1, windowBytes: 1e9, pendingBytes: 1e9 });
    outbox.push(phase("setup"), 1);
    outbox.next();
    for (let i = 0; i < 200; i++) outbox.push(log("\u0000".repeat(1000)), 1);
    outbox.acknowledge(1);
    let seq = 1;
    let bytes = 0;
    for (let frame = outbox.next(); frame !== null; frame = outbox.next()) {
      expect(frame.length).toBeLessThanOrEqual(bridgeFrameMaxBytes / 2 + 1024);
      bytes += String(frameSchema.parse(JSON.parse(frame)).event.text).length;
      outbox.acknowledge(++seq);
    }
    expect(bytes).toBe(200_000);
  });

  test("keeps no more in flight than the window", () => {
    const outbox = createOutbox({ windowEvents: 2, windowBytes: 1e6, pendingBytes: 1e6 });
    for (let index = 0; index < 5; index++) outbox.push(phase("clone"), 1);
    expect(drain(outbox)).toHaveLength(2);
    outbox.acknowledge(1);
    expect(drain(outbox).map(({ seq }) => seq)).toEqual([3]);
  });

  test("a whole part takes the place of what waits of the same part, and of no other: parts stay in the order in which they began", () => {
    const outbox = createOutbox();
    outbox.push(delta("x"), 1);
    outbox.push(delta("other", "p2"), 1);
    outbox.push(delta("y"), 1);
    outbox.push(part("xy"), 1);
    expect(drain(outbox).map(({ event }) => event.part ?? event.delta)).toEqual([
      { kind: "text", id: "p1", text: "xy" },
      "other",
    ]);
    expect(outbox.size().pendingBytes).toBe(0);
  });

  test("what is said of a part after it was taken back stays behind that", () => {
    const outbox = createOutbox();
    for (const event of [delta("x"), part(""), delta("other", "p2"), delta("y"), part("y!")]) outbox.push(event, 1);
    expect(drain(outbox).map(({ event }) => event.part ?? event.delta)).toEqual([
      { kind: "text", id: "p1", text: "" },
      "other",
      { kind: "text", id: "p1", text: "y!" },
    ]);
  });

  test("what does not fit into a frame is left out and named, and what follows is sent", () => {
    const outbox = createOutbox();
    outbox.push(
      { type: "phase.finished", phase: "setup", outcome: "done", durationMs: 1, detail: "x".repeat(bridgeFrameMaxBytes) },
      1,
    );
    outbox.push(phase("clone"), 1);
    const frames = drain(outbox);
    expect(frames.map(({ seq, event }) => [seq, event.type])).toEqual([
      [1, "log"],
      [2, "phase.started"],
    ]);
    expect(frames[0]?.event.text).toContain('"phase.finished"');
  });

  test("text that waits behind a closed window costs no more than it is long", () => {
    const outbox = createOutbox({ windowEvents: 0, windowBytes: 1e6, pendingBytes: 8e6 });
    const startedAt = process.cpuUsage().user;
    for (let index = 0; index < 40_000; index++) outbox.push(delta("some more words, "), 1);
    expect((process.cpuUsage().user - startedAt) / 1_000).toBeLessThan(2_000);
    expect(outbox.size().pendingBytes).toBeGreaterThan(40_000 * 17);
  });

  test("what is in flight is never rewritten by what follows", () => {
    const outbox = createOutbox();
    outbox.push(delta("x"), 1);
    drain(outbox);
    outbox.push(part("xy"), 1);
    outbox.rewind();
    expect(drain(outbox).map(({ event }) => event.type)).toEqual(["prompt.delta", "prompt.part"]);
  });

  test("waiting deltas and output of one stream become one event; two streams do not", () => {
    const outbox = createOutbox();
    for (const event of [delta("a"), delta("b"), log("1"), log("2"), log("3", "stderr")]) outbox.push(event, 1);
    expect(drain(outbox).map(({ event }) => event.delta ?? event.text)).toEqual(["ab", "12", "3"]);
  });

  test("over its memory it leaves out deltas first, then output behind one gap that counts the bytes; never phases", () => {
    const outbox = createOutbox({ windowEvents: 100, windowBytes: 1e6, pendingBytes: 20_000 });
    outbox.push(phase("clone"), 1);
    outbox.push(delta("d".repeat(3000)), 1);
    for (let index = 0; index < 20; index++) {
      outbox.push(log("o".repeat(2000)), 1);
      outbox.push(log("e".repeat(10), "stderr"), 1);
    }
    outbox.push(phase("setup"), 1);
    expect(outbox.size().pendingBytes).toBeLessThanOrEqual(20_000);
    const frames = drain(outbox);
    expect(frames.map(({ seq }) => seq)).toEqual(frames.map((_, index) => index + 1));
    expect(frames.filter(({ event }) => event.type === "phase.started")).toHaveLength(2);
    expect(frames.some(({ event }) => event.type === "prompt.delta")).toBe(false);
    const gaps = frames.filter(({ event }) => event.stream === "gap");
    expect(gaps).toHaveLength(1);
    const left = frames.reduce((sum, { event }) => sum + (event.stream === "gap" ? 0 : String(event.text ?? "").length), 0);
    expect(gaps[0]?.event.text).toBe(`${20 * 2010 - left} bytes of output left out`);
  });

  test("a flood of results of tools while the connection is away stays bounded", () => {
    const outbox = createOutbox({ windowEvents: 1, windowBytes: 1e6, pendingBytes: 200_000 });
    for (let index = 0; index < 500; index++) {
      const tool = {
        kind: "tool",
        id: `t${index}`,
        tool: "bash",
        status: "completed",
        title: "",
        input: "",
        output: "x".repeat(50_000),
      };
      outbox.push({ type: "prompt.part", promptId, part: { ...tool, kind: "tool", status: "completed" } }, 1);
    }
    expect(outbox.size().pendingBytes).toBeLessThanOrEqual(200_000);
    expect(outbox.size().pendingEvents).toBe(500);
  });
});
