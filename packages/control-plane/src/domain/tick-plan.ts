/** Decides from what D1 has of a repository what a tick does with its head, and whether its object has to be woken for it. Pure. */
import { buildStatuses, type HeadCheckOutcome, type SkipReason, skipReasons } from "@open-inspect/protocol";
import { type Head } from "./image-messages.ts";
import { decideTick, type TickFacts } from "./schedule.ts";

/** D1's rows of one repository, as far as a tick needs them. */
export interface TickRowFacts {
  activeSha: string | null;
  activeBranch: string | null;
  expiresAt: number | null;
  runtimeRevision: number | null;
  ignorePaths: readonly string[] | null;
  failing: { sha: string | null; nextTryAt: number } | null;
  pin: { until: number | null } | null;
  buildStatus: string | null;
  buildSha: string | null;
  buildRequestedAt: number | null;
  skipId: string | null;
  skipReason: SkipReason | null;
  skipSha: string | null;
  skipFromSha: string | null;
  skipLastAt: number | null;
}

export type TickPlan =
  /** written with all the others */
  | { do: "record"; outcome: HeadCheckOutcome }
  /** the object decides, and does */
  | { do: "wake" }
  /** the object decides, unless the commits since the image touch only paths that it does not depend on */
  | { do: "compare"; base: string };

const finalStatuses: ReadonlySet<string> = new Set(buildStatuses.slice(buildStatuses.indexOf("ready")));

export function planCheck(row: TickRowFacts, head: Head | null, runtimeFloor: number, now: number): TickPlan {
  const facts = factsOf(row, runtimeFloor);
  const decision = decideTick(facts, head, now);
  if (!head) return { do: "record", outcome: "unavailable" };
  switch (decision.do) {
    case "nothing": {
      // The object ends a pin by itself; D1 may not have heard of it yet.
      const isStale = decision.outcome === "pinned" && row.pin?.until != null && row.pin.until <= now;
      return isStale || decision.outcome === null ? { do: "wake" } : { do: "record", outcome: decision.outcome };
    }
    case "wait":
      // Which head a build was asked for is known to the object alone until the workspace is there.
      return row.buildSha === head.sha ? { do: "record", outcome: "building" } : { do: "wake" };
    case "build":
      return decision.outcome === "moved" ? planMoved(row, facts, head, now) : { do: "wake" };
  }
}

function planMoved(row: TickRowFacts, facts: TickFacts, head: Head, now: number): TickPlan {
  const { active } = facts;
  const mayIgnore = active !== null && active.branch === head.branch && !facts.failing && (row.ignorePaths?.length ?? 0) > 0;
  if (!mayIgnore) return { do: "wake" };
  // As if the head had stayed: an image that has to be renewed is, whatever the commits touch.
  if (decideTick(facts, { ...head, sha: active.sha }, now).do !== "nothing") return { do: "wake" };
  const isKnown = row.skipReason === "ignored_paths" && row.skipSha === head.sha && row.skipFromSha === active.sha;
  return isKnown ? { do: "record", outcome: "ignored_paths" } : { do: "compare", base: active.sha };
}

function factsOf(row: TickRowFacts, runtimeFloor: number): TickFacts {
  const { activeSha, activeBranch, expiresAt, runtimeRevision, buildStatus, buildSha } = row;
  const hasActive = activeSha !== null && activeBranch !== null && expiresAt !== null && runtimeRevision !== null;
  return {
    enabled: true,
    active: hasActive ? { sha: activeSha, branch: activeBranch, expiresAt, runtimeRevision } : null,
    building: buildStatus !== null && !finalStatuses.has(buildStatus) ? { sha: buildSha } : null,
    failing: row.failing,
    pinned: row.pin !== null,
    runtimeFloor,
  };
}

/** Whether an outcome is a row of the history, and whether it goes on with the newest one. */
export function planSkip(row: TickRowFacts, outcome: HeadCheckOutcome, sha: string): SkipPlan | null {
  const reason = skipReasons.find((one) => one === outcome);
  if (!reason) return null;
  const { skipId, skipReason, skipSha, skipFromSha, skipLastAt, buildRequestedAt, activeSha } = row;
  const isSame = skipReason === reason && skipSha === sha && skipFromSha === activeSha;
  // What was built since stands between two rows.
  const builtSince = buildRequestedAt !== null && skipLastAt !== null && buildRequestedAt > skipLastAt;
  return { reason, again: isSame && !builtSince ? skipId : null };
}
/** `again`: the row that is counted once more; null for a new one. */
export interface SkipPlan {
  reason: SkipReason;
  again: string | null;
}
