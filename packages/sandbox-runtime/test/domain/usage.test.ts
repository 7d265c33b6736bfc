import { expect, test } from "vitest";
import { type MessageInfo } from "../../src/domain/agent-messages.ts";
import { priceOf } from "../../src/domain/model-prices.ts";
import { createUsageMeter } from "../../src/domain/usage.ts";

const message = (id: string, input: number, cost: number, role: "assistant" | "user" = "assistant"): MessageInfo => ({
  id,
  sessionID: "ses",
  role,
  time: { created: 1 },
  cost,
  tokens: { input, output: 2, reasoning: 1, cache: { read: 3, write: 4 } },
});

test("adds up messages, each as it was last told, and only the agent's", () => {
  const meter = createUsageMeter();
  meter.message(message("a", 10, 0.1));
  meter.message(message("a", 20, 0.2));
  meter.message(message("b", 5, 0.1));
  meter.message(message("c", 1_000, 9, "user"));
  expect(meter.takeDue(0, false)).toEqual({
    inputTokens: 25,
    outputTokens: 4,
    reasoningTokens: 2,
    cacheReadTokens: 6,
    cacheWriteTokens: 8,
    costUsd: 0.3,
  });
});

test("tells what is new at most once a second, and the last word always", () => {
  const meter = createUsageMeter();
  expect(meter.takeDue(0, false), "nothing is no news").toBeNull();
  meter.message(message("a", 1, 0));
  expect(meter.takeDue(0, false)).toMatchObject({ inputTokens: 1 });
  meter.message(message("a", 2, 0));
  expect(meter.takeDue(500, false)).toBeNull();
  expect(meter.takeDue(1_000, false)).toMatchObject({ inputTokens: 2 });
  meter.message(message("a", 3, 0));
  expect(meter.takeDue(1_001, true)).toMatchObject({ inputTokens: 3 });
  expect(meter.takeDue(9_999, true)).toBeNull();
});

test("numbers that are none count nothing", () => {
  const meter = createUsageMeter();
  meter.message(message("a", Number.NaN, Number.NaN));
  expect(meter.takeDue(0, true)).toMatchObject({ inputTokens: 0, costUsd: 0 });
});

test("knows the price of dated ids, and none of what it does not know", () => {
  expect(priceOf("claude-opus-4-5-20251101")).toEqual(priceOf("claude-opus-4-5"));
  expect(priceOf("claude-opus-4-1")?.output).toBe(75);
  expect(priceOf("another")).toBeNull();
});
