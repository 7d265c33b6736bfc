/** How far a start is, in one line: for whoever waits for an answer. The Start panel has all of it. */
import { type SessionView } from "@open-inspect/protocol";
import { Check, LoaderCircle } from "lucide-react";
import { useNow } from "../../lib/clock.ts";
import { describeStart } from "../../lib/start-sentences.ts";
import { formatDuration } from "../../lib/time.ts";
import { phaseNames } from "../../lib/words.ts";

const tickMs = 100;

const waits = {
  snapshotting: "The workspace is being saved; this is asked after it.",
  stopping: "The sandbox is being stopped; this is asked by the next one.",
  stopped: "This is asked when the session runs again.",
  failed: "Not asked yet: the session failed.",
} as const;

export function BootLine({ session }: { session: SessionView }) {
  const { status, phases } = session;
  const isStarting = status === "created" || status === "connecting" || status === "syncing";
  const now = useNow(isStarting ? tickMs : null);
  if (status === "ready") return <p className="text-muted text-sm">Handed to the agent…</p>;
  if (!isStarting) return <p className="text-muted text-sm">{waits[status]}</p>;
  return (
    <div role="status" aria-label="Start of the session" className="text-muted text-sm">
      <p className="flex items-center gap-2">
        <LoaderCircle aria-hidden="true" className="size-3.5 shrink-0 animate-spin text-warn" />
        {describeStart(session)}
      </p>
      <p aria-hidden="true" className="mt-1 ml-5.5 flex flex-wrap gap-x-3 gap-y-0.5 text-faint text-xs">
        {phases.map((phase) =>
          phase.outcome === "skipped" ? null : (
            <span key={`${phase.phase}-${phase.startedAt}`} className="flex items-center gap-1 whitespace-nowrap">
              {phase.outcome === "done" ? <Check className="size-3 text-ok" /> : null}
              {phaseNames[phase.phase]} {formatDuration(phase.durationMs ?? Math.max(0, now - phase.startedAt), true)}
            </span>
          ),
        )}
      </p>
    </div>
  );
}
