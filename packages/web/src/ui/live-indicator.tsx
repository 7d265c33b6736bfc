/** Says whether the page hears of changes as they happen. */
import { cn } from "../lib/cn.ts";
import { type LiveState } from "../lib/live-socket.ts";

const words: Record<LiveState, { word: string; dot: string }> = {
  connecting: { word: "Connecting…", dot: "bg-faint" },
  live: { word: "Live", dot: "bg-ok-dot" },
  reconnecting: { word: "Reconnecting…", dot: "bg-warn-dot pulse-dot" },
  ended: { word: "Finished", dot: "bg-faint" },
};

export function LiveIndicator({ state, label }: { state: LiveState; label: string }) {
  const { word, dot } = words[state];
  return (
    <span
      role="status"
      aria-label={`${label}: ${word}`}
      data-live={state}
      className="inline-flex items-center gap-1.5 text-faint text-xs"
    >
      <span aria-hidden="true" className={cn("size-1.5 rounded-full", dot)} />
      <span className="max-sm:sr-only">{word}</span>
    </span>
  );
}
