/** What one prompt has cost, from the agent's messages as they grow, its sub-agents' included. Pure: the time is passed in. */
import { type Usage } from "@open-inspect/protocol";
import { type MessageInfo } from "./agent-messages.ts";

/** A message that is being written changes many times a second. */
const betweenMs = 1_000;

const nothing: Usage = {
  inputTokens: 0,
  outputTokens: 0,
  reasoningTokens: 0,
  cacheReadTokens: 0,
  cacheWriteTokens: 0,
  costUsd: 0,
};
const whole = (count: number): number => (Number.isFinite(count) && count > 0 ? Math.round(count) : 0);

function usageOf({ tokens, cost = 0 }: MessageInfo): Usage | null {
  if (!tokens) return null;
  return {
    inputTokens: whole(tokens.input),
    outputTokens: whole(tokens.output),
    reasoningTokens: whole(tokens.reasoning),
    cacheReadTokens: whole(tokens.cache.read),
    cacheWriteTokens: whole(tokens.cache.write),
    costUsd: Number.isFinite(cost) && cost > 0 ? cost : 0,
  };
}

const add = (sum: Usage, more: Usage): Usage => ({
  inputTokens: sum.inputTokens + more.inputTokens,
  outputTokens: sum.outputTokens + more.outputTokens,
  reasoningTokens: sum.reasoningTokens + more.reasoningTokens,
  cacheReadTokens: sum.cacheReadTokens + more.cacheReadTokens,
  cacheWriteTokens: sum.cacheWriteTokens + more.cacheWriteTokens,
  // Tenths of a millicent: sums of floating point numbers would show digits that mean nothing.
  costUsd: Math.round((sum.costUsd + more.costUsd) * 1e6) / 1e6,
});

export function createUsageMeter() {
  const byMessage = new Map<string, Usage>();
  let told = JSON.stringify(nothing);
  let toldAt = Number.NEGATIVE_INFINITY;
  return {
    /** The same message again replaces what was known of it. */
    message(info: MessageInfo): void {
      const usage = info.role === "assistant" ? usageOf(info) : null;
      if (usage) byMessage.set(info.id, usage);
    },
    /** The sum when it is news and its time has come, else null. `isLast`: whatever the time. */
    takeDue(now: number, isLast: boolean): Usage | null {
      if (!isLast && now - toldAt < betweenMs) return null;
      const total = [...byMessage.values()].reduce(add, nothing);
      const mark = JSON.stringify(total);
      if (mark === told) return null;
      told = mark;
      toldAt = now;
      return total;
    },
  };
}
export type UsageMeter = ReturnType<typeof createUsageMeter>;
