/** What a start cost and what a cold start of the same repository costs. Pure. */
import { type Phase, type PhaseRecord, type StartReceipt, type StartSource } from "@open-inspect/protocol";
import { phaseDurations } from "./phases.ts";

/** What is known of the repository's cold starts when a session is accepted. */
export interface ColdHistory {
  /** the last session that started from the base */
  measured: { ms: number; at: number } | null;
  /** phases of the last build that became ready */
  build: { phases: PhaseRecord[]; at: number } | null;
}

const coldPhases: readonly Phase[] = ["sandbox", "connect", "clone", "setup"];

/** @param agentMs how long the agent took in this very session: a build does not start one */
export function evaluateColdCost(history: ColdHistory, agentMs: number): StartReceipt["cold"] {
  if (history.measured) return { ms: history.measured.ms, source: "measured", measuredAt: history.measured.at };
  if (!history.build) return null;
  const durations = phaseDurations(history.build.phases);
  const ms = coldPhases.reduce((sum, phase) => sum + (durations[phase] ?? 0), agentMs);
  return { ms, source: "build", measuredAt: history.build.at };
}

export function createReceipt(facts: {
  from: StartSource;
  warm: StartReceipt["warm"];
  image: { id: string; sha: string } | null;
  bakedSha: string | null;
  syncedSha: string;
  setupRan: boolean;
  /** when the start was asked for */
  askedAt: number;
  /** when the attempt that got ready began: a wait for the base image and an image that failed are no cost of a cold start */
  attemptAt: number;
  phases: readonly PhaseRecord[];
  history: ColdHistory;
  now: number;
}): StartReceipt {
  const phases = phaseDurations(facts.phases);
  const startMs = Math.max(0, facts.now - facts.askedAt);
  const cold: StartReceipt["cold"] =
    facts.from === "base"
      ? { ms: Math.max(0, facts.now - facts.attemptAt), source: "measured", measuredAt: facts.now }
      : evaluateColdCost(facts.history, phases.agent ?? 0);
  return {
    startedFrom: facts.from,
    warm: facts.warm ?? null,
    imageId: facts.image?.id ?? null,
    bakedSha: facts.image ? (facts.bakedSha ?? facts.image.sha) : null,
    syncedSha: facts.syncedSha,
    startMs,
    phases,
    setupRanInSession: facts.setupRan,
    cold,
  };
}
