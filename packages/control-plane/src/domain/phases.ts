/** The list of phases of one build or boot and how it grows. Pure: no clock, no storage. */
import { type Phase, type PhaseRecord, type RuntimeEvent } from "@open-inspect/protocol";

export function startPhase(records: readonly PhaseRecord[], phase: Phase, at: number): PhaseRecord[] {
  return [...records.filter((record) => record.phase !== phase), { phase, startedAt: at, durationMs: null, outcome: "running" }];
}

export function endPhase(
  records: readonly PhaseRecord[],
  phase: Phase,
  outcome: "done" | "failed" | "skipped",
  durationMs: number,
  now: number,
  detail?: string,
): PhaseRecord[] {
  const known = records.some((record) => record.phase === phase);
  const all = known ? records : startPhase(records, phase, Math.max(0, Math.round(now - durationMs)));
  return all.map((record) =>
    record.phase === phase ? { ...record, outcome, durationMs, ...(detail === undefined ? {} : { detail }) } : record,
  );
}

/** Ends what still runs: nothing goes on after a build or session is over. */
export function failOpenPhases(records: readonly PhaseRecord[], now: number): PhaseRecord[] {
  return records.map((record) =>
    record.outcome === "running" ? { ...record, outcome: "failed", durationMs: Math.max(0, now - record.startedAt) } : record,
  );
}

/** What a runtime's event does to the list. */
export function applyPhaseEvent(records: readonly PhaseRecord[], event: RuntimeEvent, now: number): PhaseRecord[] | null {
  if (event.type === "phase.started") return startPhase(records, event.phase, now);
  if (event.type === "phase.finished") {
    return endPhase(records, event.phase, event.outcome, event.durationMs, now, event.detail);
  }
  return null;
}

/** The phase that runs now, the newest when phases overlap. */
export function runningPhase(records: readonly PhaseRecord[]): Phase | null {
  return records.findLast((record) => record.outcome === "running")?.phase ?? null;
}

/** Milliseconds of each phase that had something to do and ended. */
export function phaseDurations(records: readonly PhaseRecord[]): Partial<Record<Phase, number>> {
  const durations: Partial<Record<Phase, number>> = {};
  for (const { phase, outcome, durationMs } of records) {
    if (durationMs !== null && outcome !== "skipped") durations[phase] = durationMs;
  }
  return durations;
}
