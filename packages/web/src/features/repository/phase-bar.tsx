/** A build's time as one bar of phases, and the legend of its colours. */
import { type Phase, type PhaseRecord } from "@open-inspect/protocol";
import { formatDuration } from "../../lib/time.ts";
import { phaseNames } from "../../lib/words.ts";

const phaseColours: Record<Phase, string> = {
  sandbox: "bg-phase-sandbox",
  connect: "bg-phase-sandbox",
  clone: "bg-phase-fetch",
  sync: "bg-phase-fetch",
  setup: "bg-phase-setup",
  start: "bg-phase-run",
  agent: "bg-phase-run",
  refresh: "bg-phase-setup",
  snapshot: "bg-phase-snapshot",
  verify: "bg-phase-verify",
};

const legend: { colour: string; name: string }[] = [
  { colour: phaseColours.sandbox, name: "Sandbox" },
  { colour: phaseColours.clone, name: "Clone or sync" },
  { colour: phaseColours.setup, name: "Setup" },
  { colour: phaseColours.snapshot, name: "Snapshot" },
  { colour: phaseColours.verify, name: "Verify" },
];

export function PhaseLegend() {
  return (
    <p aria-hidden="true" className="flex flex-wrap gap-x-3 gap-y-1 text-faint text-xs">
      {legend.map(({ colour, name }) => (
        <span key={name} className="inline-flex items-center gap-1.5">
          <span className={`size-2 rounded-full ${colour}`} />
          {name}
        </span>
      ))}
    </p>
  );
}

interface PhaseBarProps {
  phases: readonly PhaseRecord[];
  /** the longest build beside it: bars on one page are comparable */
  longestMs: number;
}

export function PhaseBar({ phases, longestMs }: PhaseBarProps) {
  const timed = phases.filter((phase) => phase.durationMs !== null && phase.outcome !== "skipped");
  if (timed.length === 0) return null;
  const told = timed.map((phase) => `${phaseNames[phase.phase]} ${formatDuration(phase.durationMs ?? 0)}`).join(", ");
  return (
    <div title={told} className="relative flex h-1.5 w-full overflow-hidden rounded-full bg-hover">
      <span className="sr-only">By phase: {told}</span>
      {timed.map((phase) => (
        <span
          key={`${phase.phase}-${phase.startedAt}`}
          aria-hidden="true"
          className={`h-full shrink-0 ${phaseColours[phase.phase]}`}
          style={{ width: `${((phase.durationMs ?? 0) / Math.max(1, longestMs)) * 100}%` }}
        />
      ))}
    </div>
  );
}
