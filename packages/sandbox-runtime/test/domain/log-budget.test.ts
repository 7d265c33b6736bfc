import { bridgeFrameMaxBytes, logChunkMaxBytes } from "@open-inspect/protocol";
import { describe, expect, test } from "vitest";
import { createLogBudget, type LogEvent } from "../../src/domain/log-budget.ts";
import { outboxLimits } from "../../src/domain/outbox.ts";

const limits = { headBytes: 1000, tailBytes: 200, catchUpBytes: 100 };
const bytes = (events: LogEvent[]) => events.reduce((sum, { text }) => sum + Buffer.byteLength(text), 0);
const numbered = (index: number) => `line ${String(index).padStart(5)}\n`;
const lineBytes = numbered(0).length;

/** Reads what was sent as a person does: every line whole and in its place, or a gap of just the bytes that are missing. */
function readThrough(events: readonly LogEvent[]): { next: number; gaps: number } {
  let [next, gaps, owed, begun] = [0, 0, 0, ""];
  for (const { stream, text } of events) {
    if (stream === "system") continue;
    if (stream === "gap") {
      expect(begun, "a gap cuts no line").toBe("");
      owed += Number.parseInt(text, 10);
      gaps++;
      continue;
    }
    const pieces = (begun + text).split("\n");
    begun = pieces.pop() ?? "";
    for (const piece of pieces) {
      const index = Number(/^line +(\d+)$/.exec(piece)?.[1]);
      expect(index - next).toBe(owed / lineBytes);
      owed = 0;
      next = index + 1;
    }
  }
  expect(owed, "a gap at the end").toBe(0);
  return { next, gaps };
}

describe("log budget", () => {
  test("output within the budget passes as it comes and leaves nothing for the end", () => {
    const budget = createLogBudget("setup", limits);
    expect(budget.push("stdout", "hello\n")).toEqual([{ type: "log", phase: "setup", stream: "stdout", text: "hello\n" }]);
    expect(budget.isHolding()).toBe(false);
    expect(budget.finish()).toEqual([]);
  });

  test("beyond it only the end is kept, after one gap that accounts for every byte left out", () => {
    const budget = createLogBudget("setup", limits);
    const events: LogEvent[] = [];
    for (let index = 0; index < 5000; index++) events.push(...budget.push("stdout", numbered(index)));
    const head = events.filter(({ stream }) => stream === "stdout");
    expect(bytes(head)).toBeLessThanOrEqual(limits.headBytes);
    const end = budget.finish();
    expect(bytes(end.slice(1))).toBeLessThanOrEqual(limits.tailBytes);
    expect(end[0]?.text).toBe(`${5000 * lineBytes - bytes(head) - bytes(end.slice(1))} bytes of output left out`);
    expect(readThrough([...events, ...end])).toEqual({ next: 5000, gaps: 1 });
  });

  test.each([1, 7, 64, 997, 100_000])(
    "in pieces of %i characters, with catching up: no line is cut, moved or lost without a gap",
    (size) => {
      const budget = createLogBudget("setup", limits);
      const text = Array.from({ length: 4000 }, (_, index) => numbered(index)).join("");
      const events: LogEvent[] = [];
      for (let at = 0, pushes = 0; at < text.length; at += size, pushes++) {
        events.push(...budget.push("stdout", text.slice(at, at + size)));
        if (pushes % Math.ceil(4000 / size) === 0) events.push(...budget.catchUp());
      }
      events.push(...budget.finish());
      const { next, gaps } = readThrough(events);
      expect(next).toBe(4000);
      expect(gaps).toBeGreaterThan(0);
    },
  );

  test("what comes slowly beyond the budget is all there, only later", () => {
    const budget = createLogBudget("setup", limits);
    const events: LogEvent[] = [];
    for (let index = 0; index < 1000; index++) {
      events.push(...budget.push("stdout", numbered(index)));
      if (index % 5 === 4) events.push(...budget.catchUp());
    }
    expect(budget.isHolding()).toBe(false);
    expect(readThrough([...events, ...budget.finish()])).toEqual({ next: 1000, gaps: 0 });
  });

  test("what comes too fast is caught up with in part, and the gap is told there", () => {
    const budget = createLogBudget("setup", limits);
    budget.push("stdout", "x".repeat(limits.headBytes));
    budget.push("stdout", Array.from({ length: 50 }, (_, index) => numbered(index)).join(""));
    const [gap, ...rest] = budget.catchUp();
    expect(gap?.stream).toBe("gap");
    expect(bytes(rest)).toBeLessThanOrEqual(limits.catchUpBytes);
    expect(rest.at(-1)?.text.endsWith(numbered(49))).toBe(true);
    expect(budget.isHolding()).toBe(false);
    expect(budget.catchUp()).toEqual([]);
  });

  test("the two streams keep their order among each other", () => {
    const budget = createLogBudget("setup", limits);
    budget.push("stdout", `${"x".repeat(limits.headBytes)}\n`);
    budget.finish();
    for (let index = 0; index < 5; index++) budget.push(index % 2 === 0 ? "stdout" : "stderr", `${index}\n`);
    expect(budget.finish().map(({ stream, text }) => [stream, text.trim()])).toEqual([
      ["stdout", "0"],
      ["stderr", "1"],
      ["stdout", "2"],
      ["stderr", "3"],
      ["stdout", "4"],
    ]);
  });

  test("never cuts inside a character, and no event is larger than the protocol allows", () => {
    const budget = createLogBudget("setup");
    const text = "ä€🙂".repeat(20_000);
    const events = budget.push("stdout", text);
    expect(events.length).toBeGreaterThan(1);
    for (const event of events) expect(Buffer.byteLength(event.text)).toBeLessThanOrEqual(logChunkMaxBytes);
    expect(events.map((event) => event.text).join("")).toBe(text);
  });

  test("text that JSON makes longer is cut smaller, so that no frame is too large and sixteen fit into the window", () => {
    const text = "\u001b[1m\u0000\u0001".repeat(100_000);
    const events = createLogBudget("setup").push("stdout", text);
    expect(events.map((event) => event.text).join("")).toBe(text);
    const sizes = events.map((event) => Buffer.byteLength(JSON.stringify(event)));
    expect(Math.max(...sizes) * 16).toBeLessThan(outboxLimits.windowBytes);
    expect(Math.max(...sizes)).toBeLessThan(bridgeFrameMaxBytes);
  });

  test("the kept end of one huge write begins at a character", () => {
    const budget = createLogBudget("setup", { headBytes: 10, tailBytes: 10, catchUpBytes: 10 });
    budget.push("stdout", "🙂".repeat(1000));
    const [gap, tail] = budget.finish();
    expect(gap?.text).toBe("3992 bytes of output left out");
    expect(tail?.text).toBe("🙂🙂");
  });

  test("our own lines pass also beyond the budget, after what was printed before them", () => {
    const budget = createLogBudget("setup", limits);
    budget.push("stdout", "x".repeat(5000));
    budget.push("stdout", "printed before\n");
    const events = budget.push("system", "note\n");
    expect(events.map(({ stream }) => stream)).toEqual(["gap", "stdout", "system"]);
    expect(events.at(-2)?.text).toMatch(/x+printed before\n$/);
  });
});
