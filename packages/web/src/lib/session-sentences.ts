/** A session's condition, cost and prompts in words. Pure: the present is passed in. */
import { type PromptView, type SessionView, type StaleSetup, type StartSource, type Usage } from "@open-inspect/protocol";
import { formatAge, formatUntil } from "./time.ts";

/** `812`, `4.2k`, `1.3M`. */
export function formatTokens(tokens: number): string {
  if (tokens < 1_000) return String(tokens);
  if (tokens < 999_500) return `${tokens < 9_950 ? (tokens / 1_000).toFixed(1) : Math.round(tokens / 1_000)}k`;
  return `${(tokens / 1_000_000).toFixed(1)}M`;
}

/** `$0.004`, `$0.12`, `$3.40`; null where no price is known. */
export function formatCost(usd: number): string | null {
  if (usd <= 0) return null;
  return usd < 0.01 ? `$${usd.toFixed(4).replace(/0$/, "")}` : `$${usd.toFixed(2)}`;
}

const all = (usage: Usage): number =>
  usage.inputTokens + usage.outputTokens + usage.reasoningTokens + usage.cacheReadTokens + usage.cacheWriteTokens;

/** `$0.12 · 45k tokens`; null for nothing spent. */
export function describeUsage(usage: Usage | null): string | null {
  if (usage === null || all(usage) === 0) return null;
  const cost = formatCost(usage.costUsd);
  return `${cost === null ? "" : `${cost} · `}${formatTokens(all(usage))} tokens`;
}

/** Each kind of token, for a tooltip. */
export function describeTokens(usage: Usage): string {
  const kinds: [string, number][] = [
    ["in", usage.inputTokens],
    ["out", usage.outputTokens],
    ["reasoning", usage.reasoningTokens],
    ["read from cache", usage.cacheReadTokens],
    ["written to cache", usage.cacheWriteTokens],
  ];
  return kinds.map(([name, count]) => `${count.toLocaleString("en")} ${name}`).join(" · ");
}

export const sourceWords: Record<StartSource, string> = {
  snapshot: "the session's own snapshot",
  image: "the repository's image",
  base: "the base, without an image",
};

/** The prompts of the conversation, and those that wait behind the one that runs or is about to. */
export function arrangePrompts(prompts: readonly PromptView[]): { shown: PromptView[]; queue: PromptView[] } {
  const isRunning = prompts.some(({ status }) => status === "running");
  const next = isRunning ? undefined : prompts.find(({ status }) => status === "queued");
  return {
    shown: prompts.filter((prompt) => prompt.status !== "queued" || prompt === next),
    queue: prompts.filter((prompt) => prompt.status === "queued" && prompt !== next),
  };
}

/** What a session without a running sandbox, or one about to lose it, means to someone who wants to ask; null for nothing to say. */
export function describeCondition(session: SessionView, now: number): string | null {
  const { status, snapshot, idleStopAt } = session;
  if (session.archivedAt !== null) return "This session is archived.";
  if (status === "snapshotting") return "The workspace is being saved; what you write is answered after it.";
  if (status === "stopping") return "Stopping. What you write starts it again.";
  if (status === "stopped" || status === "failed") {
    const from =
      snapshot === null || snapshot.expiresAt <= now
        ? "from the branch's head"
        : `from its snapshot of ${formatAge(snapshot.takenAt, now)}`;
    const isAwaited = session.prompts.some((prompt) => prompt.status === "queued");
    const what = isAwaited ? "What waits is asked when it runs again" : "It resumes with the next prompt";
    return `${status === "failed" ? "It failed" : "Stopped"}. ${what}, ${from}.`;
  }
  if (status === "ready" && idleStopAt !== null) return `Idle: it is saved and stopped ${formatUntil(idleStopAt, now)}.`;
  return null;
}

const list = ([first, second, ...rest]: readonly [string, ...string[]]): string => {
  if (second === undefined) return `${first} has changed`;
  if (rest.length === 0) return `${first} and ${second} have changed`;
  return `${first}, ${second} and ${rest.length} more have changed`;
};

/** A refresh may also be asked for when nothing is known to have changed. */
export function describeStaleSetup({ files: [first, ...others], refresh }: StaleSetup): string {
  const changed = first === undefined ? null : `${list([first, ...others])} since the image was made`;
  switch (refresh) {
    case "offered":
      return `${changed ?? "Something has changed"}: what setup installed may be out of date. There is no refresh.sh.`;
    case "running":
      return changed === null ? "Setup is refreshed beside the agent." : `${changed}: it is refreshed beside the agent.`;
    case "done":
      return changed === null ? "Setup was refreshed." : `${changed}: it was refreshed.`;
    case "failed":
      return changed === null
        ? "Refreshing setup failed: see the output."
        : `${changed}, and refreshing it failed: see the output.`;
  }
}
