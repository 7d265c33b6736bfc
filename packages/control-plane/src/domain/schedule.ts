/** Decides what a tick does for one repository. Pure: the head is passed in. */
import { type BuildStatus } from "@open-inspect/protocol";
import { deadlines } from "./deadlines.ts";

export interface TickFacts {
  enabled: boolean;
  active: { sha: string; branch: string; expiresAt: number } | null;
  /** a build that runs: the commit it is on, null before its clone is done */
  building: { sha: string | null } | null;
  last: { status: BuildStatus; sha: string | null } | null;
}

export type TickDecision =
  | { do: "nothing"; outcome: "unchanged" | "unavailable" | null }
  /** a build runs already; `again`: on an older commit, so one more is remembered */
  | { do: "wait"; outcome: "building"; again: boolean }
  | { do: "build"; outcome: "moved" | "retried" };

/** @param head the default branch and its commit now, or null when it could not be read or does not exist */
export function decideTick(facts: TickFacts, head: { branch: string; sha: string } | null, now: number): TickDecision {
  if (!facts.enabled) return { do: "nothing", outcome: null };
  if (!head) return { do: "nothing", outcome: "unavailable" };
  if (facts.building) {
    return { do: "wait", outcome: "building", again: facts.building.sha !== null && facts.building.sha !== head.sha };
  }
  const { active, last } = facts;
  const failed = last?.status === "failed" && (last.sha === null || last.sha === head.sha);
  if (failed) return { do: "build", outcome: "retried" };
  if (!active || active.sha !== head.sha || active.branch !== head.branch) return { do: "build", outcome: "moved" };
  if (last?.status === "failed" || active.expiresAt - now < deadlines.imageRenewMs) return { do: "build", outcome: "retried" };
  return { do: "nothing", outcome: "unchanged" };
}
