import { logChunkMaxBytes } from "@open-inspect/protocol";
import { describe, expect, test } from "vitest";
import { createLogBudget, type LogEvent } from "../../src/domain/log-budget.ts";

const limits = { headBytes: 1000, tailBytes: 200 };
const bytes = (events: LogEvent[]) => events.reduce((sum, { text }) => sum + Buffer.byteLength(text), 0);

describe("log budget", () => {
  test("output within the budget passes as it comes and leaves nothing for the end", () => {
    const budget = createLogBudget("setup", limits);
    expect(budget.push("stdout", "hello\n")).toEqual([{ type: "log", phase: "setup", stream: "stdout", text: "hello\n" }]);
    expect(budget.finish()).toEqual([]);
  });

  test("beyond it only the end is kept, after one gap that accounts for every byte left out", () => {
    const budget = createLogBudget("setup", limits);
    let sent = 0;
    for (let index = 0; index < 5000; index++) {
      sent += bytes(budget.push("stdout", `line ${String(index).padStart(5)}\n`).filter(({ stream }) => stream === "stdout"));
    }
    const events = budget.finish();
    expect(events[0]?.stream).toBe("gap");
    expect(events.filter(({ stream }) => stream === "gap")).toHaveLength(1);
    const tail = events.slice(1);
    expect(bytes(tail)).toBeLessThanOrEqual(limits.tailBytes);
    expect(tail.at(-1)?.text).toMatch(/line {2}4999\n$/);
    expect(events[0]?.text).toBe(`${5000 * 11 - sent - bytes(tail)} bytes of output left out`);
  });

  test("never cuts inside a character, and no event is larger than the protocol allows", () => {
    const budget = createLogBudget("setup");
    const text = "ä€🙂".repeat(20_000);
    const events = budget.push("stdout", text);
    expect(events.length).toBeGreaterThan(1);
    for (const event of events) expect(Buffer.byteLength(event.text)).toBeLessThanOrEqual(logChunkMaxBytes);
    expect(events.map((event) => event.text).join("")).toBe(text);
  });

  test("the kept end of one huge write begins at a character", () => {
    const budget = createLogBudget("setup", { headBytes: 10, tailBytes: 10 });
    budget.push("stdout", "🙂".repeat(1000));
    const [gap, tail] = budget.finish();
    expect(gap?.text).toBe("3992 bytes of output left out");
    expect(tail?.text).toBe("🙂🙂");
  });

  test("our own lines pass also beyond the budget", () => {
    const budget = createLogBudget("setup", limits);
    budget.push("stdout", "x".repeat(5000));
    expect(budget.push("system", "note\n")).toHaveLength(1);
  });
});
