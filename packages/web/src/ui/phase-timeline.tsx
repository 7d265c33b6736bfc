/** Phases as rows with bars on one time axis, so that what overlaps is seen to overlap. Ticks while something runs. */
import { type PhaseRecord } from "@open-inspect/protocol";
import { Check, LoaderCircle, Minus, X } from "lucide-react";
import { useNow } from "../lib/clock.ts";
import { cn } from "../lib/cn.ts";
import { formatDuration } from "../lib/time.ts";
import { phaseNames } from "../lib/words.ts";

const tickMs = 100;

const outcomes: Record<PhaseRecord["outcome"], { word: string; bar: string; icon: React.ReactNode }> = {
  running: { word: "running", bar: "bg-warn-dot", icon: <LoaderCircle className="animate-spin text-warn" /> },
  done: { word: "done", bar: "bg-ok-dot", icon: <Check className="text-ok" /> },
  failed: { word: "failed", bar: "bg-bad-dot", icon: <X className="text-bad" /> },
  skipped: { word: "skipped", bar: "bg-line-strong", icon: <Minus className="text-faint" /> },
};

interface PhaseTimelineProps {
  phases: readonly PhaseRecord[];
  /** where the axis begins: when the work was asked for */
  from: number;
  /** a sentence that the page says already: a phase does not say it again */
  told?: string | undefined;
}

export function PhaseTimeline({ phases, from, told }: PhaseTimelineProps) {
  const running = phases.some((phase) => phase.outcome === "running");
  const now = useNow(running ? tickMs : null);
  const durationOf = (phase: PhaseRecord) => phase.durationMs ?? Math.max(0, now - phase.startedAt);
  const start = Math.min(from, ...phases.map((phase) => phase.startedAt));
  const end = Math.max(start + 1, ...phases.map((phase) => phase.startedAt + durationOf(phase)));
  const share = (ms: number) => `${((ms / (end - start)) * 100).toFixed(2)}%`;

  return (
    <ol className="text-sm">
      {phases.map((phase) => {
        const durationMs = durationOf(phase);
        const { word, bar, icon } = outcomes[phase.outcome];
        return (
          <li
            key={`${phase.phase}-${phase.startedAt}`}
            data-phase={phase.phase}
            data-outcome={phase.outcome}
            className="grid grid-cols-[1fr_auto] items-center gap-x-3 py-1.5 sm:grid-cols-[9.5rem_1fr_5rem]"
          >
            <span className="flex min-w-0 items-center gap-2">
              <span aria-hidden="true" className="[&_svg]:size-3.5">
                {icon}
              </span>
              <span className={cn("truncate", phase.outcome === "skipped" && "text-muted")}>{phaseNames[phase.phase]}</span>
              <span className="sr-only">{word}</span>
            </span>
            <span
              aria-hidden="true"
              className="relative order-3 col-span-2 mt-1 block h-1.5 rounded-full bg-hover sm:order-none sm:col-span-1 sm:mt-0"
            >
              <span
                className={cn("absolute inset-y-0 min-w-1 rounded-full", bar)}
                style={{ left: share(Math.min(phase.startedAt - start, (end - start) * 0.99)), width: share(durationMs) }}
              />
            </span>
            <span className={cn("text-right", phase.outcome === "running" ? "text-warn" : "text-muted")}>
              {phase.outcome === "skipped" ? "skipped" : formatDuration(durationMs, true)}
            </span>
            {phase.detail && phase.detail !== told ? (
              <span className="order-4 col-span-2 break-words text-faint text-xs sm:col-span-2 sm:col-start-2">
                {phase.detail}
              </span>
            ) : null}
          </li>
        );
      })}
    </ol>
  );
}
