/** How long a prompt without a sign of life is waited for. The agent is one that says what it is told to, since the real one would take hours. */
import { type RuntimeEvent } from "@open-inspect/protocol";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type AgentClient } from "../src/adapters/agent-client.ts";
import { createPromptRunner } from "../src/adapters/prompt-runner.ts";
import { type AgentEvent } from "../src/domain/agent-messages.ts";

const minuteMs = 60_000;
beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A prompt that has been taken by an agent that is busy with it. */
async function begin() {
  const calls: string[] = [];
  const sent: RuntimeEvent[] = [];
  let hear: (event: AgentEvent) => void = () => undefined;
  const client: AgentClient = {
    async call(method, path) {
      calls.push(`${method} ${path}`);
      if (path === "/session/status") return { status: 200, body: { s: { type: "busy" } } };
      return { status: 200, body: path === "/session" ? [{ id: "s", title: "t" }] : {} };
    },
    async events(onEvent) {
      hear = onEvent;
      return { close: () => undefined };
    },
  };
  const runner = createPromptRunner({
    sessionTitle: "t",
    defaultModel: "m",
    send: (event) => void sent.push(event),
    prepare: async () => [{ type: "text", text: "go" }],
    onWork: () => undefined,
    giveUpOnAgent: () => undefined,
    log: () => undefined,
  });
  runner.open();
  runner.attach(client);
  runner.submit({ type: "prompt", promptId: "prm_01k00000000000000000000000", text: "go", model: null, createdAt: Date.now() });
  await vi.advanceTimersByTimeAsync(100);
  const info = { id: "m2", sessionID: "s", role: "assistant" as const, time: { created: Date.now() } };
  hear({ type: "message.updated", properties: { info } });
  const tool = (status: string) =>
    hear({
      type: "message.part.updated",
      properties: {
        part: { id: "p", messageID: "m2", sessionID: "s", type: "tool", tool: "bash", state: { status, input: {} } },
      },
    });
  return { tool, runner, isAborted: () => calls.includes("POST /session/s/abort") };
}

test("a tool that runs in silence is waited for, for hours", async () => {
  const { tool, runner, isAborted } = await begin();
  tool("running");
  await vi.advanceTimersByTimeAsync(5 * 60 * minuteMs);
  expect(isAborted()).toBe(false);
  await vi.advanceTimersByTimeAsync(61 * minuteMs);
  expect(isAborted(), "but not for ever").toBe(true);
  runner.close();
});

test("an agent that is silent with no tool running is given up after half an hour", async () => {
  const { tool, runner, isAborted } = await begin();
  tool("running");
  await vi.advanceTimersByTimeAsync(40 * minuteMs);
  tool("completed");
  await vi.advanceTimersByTimeAsync(29 * minuteMs);
  expect(isAborted()).toBe(false);
  await vi.advanceTimersByTimeAsync(2 * minuteMs);
  expect(isAborted()).toBe(true);
  runner.close();
});
