/** Decides what a tick does for one repository. Pure: the head is passed in. */
import { type HeadCheckOutcome } from "@open-inspect/protocol";
import { deadlines } from "./deadlines.ts";
import { type Head } from "./image-messages.ts";

export interface TickFacts {
  enabled: boolean;
  active: { sha: string; branch: string; expiresAt: number; runtimeRevision: number } | null;
  /** a build that runs: the commit it is on or was asked for, null when that is not known */
  building: { sha: string | null } | null;
  failing: { sha: string | null; nextTryAt: number } | null;
  pinned: boolean;
  /** images with a runtime below it are not used */
  runtimeFloor: number;
}

export type TickDecision =
  | {
      do: "nothing";
      outcome: Extract<HeadCheckOutcome, "unchanged" | "pinned" | "backing_off" | "archived" | "unavailable"> | null;
    }
  /** a build runs already; `again`: on an older commit, so one more is remembered */
  | { do: "wait"; outcome: "building"; again: boolean }
  | { do: "build"; outcome: Extract<HeadCheckOutcome, "moved" | "retried" | "renewed"> };

/** @param head the default branch and its commit now, or null when it could not be read or does not exist */
export function decideTick(facts: TickFacts, head: Head | null, now: number): TickDecision {
  const { active, failing } = facts;
  if (!facts.enabled) return { do: "nothing", outcome: null };
  if (!head) return { do: "nothing", outcome: "unavailable" };
  if (head.archived) return { do: "nothing", outcome: "archived" };
  if (facts.building) {
    const { sha } = facts.building;
    return { do: "wait", outcome: "building", again: !facts.pinned && sha !== null && sha !== head.sha };
  }
  if (facts.pinned) return { do: "nothing", outcome: "pinned" };
  if (failing && (failing.sha === null || failing.sha === head.sha)) {
    return now >= failing.nextTryAt ? { do: "build", outcome: "retried" } : { do: "nothing", outcome: "backing_off" };
  }
  if (!active || active.sha !== head.sha || active.branch !== head.branch) return { do: "build", outcome: "moved" };
  // Builds of another commit failed, and the head is back on the one that serves: a good build ends the series.
  if (failing) return { do: "build", outcome: "retried" };
  const isOld = active.expiresAt - now < deadlines.imageRenewMs || active.runtimeRevision < facts.runtimeFloor;
  return isOld ? { do: "build", outcome: "renewed" } : { do: "nothing", outcome: "unchanged" };
}
