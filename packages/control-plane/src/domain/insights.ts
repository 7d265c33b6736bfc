/** What the sums over sessions and builds say: reasons in words, and where the targets stand. Pure. */
import {
  type BuildMode,
  type BuildStatus,
  type ColdReasonCode,
  type FailureCode,
  type Insights,
  type Standing,
} from "@open-inspect/protocol";
import { createColdReason } from "./failures.ts";

/** What this installation wants of its images: `share` of the starts at most `withinMs` behind before the sync. */
export interface StalenessTarget {
  share: number;
  withinMs: number;
}

export type StartKind = "image" | "cold";

/** Sums as the database makes them. */
export interface InsightSums {
  starts: { kind: StartKind; count: number; failed: number }[];
  coldReasons: { code: ColdReasonCode; count: number }[];
  startTimes: { kind: StartKind; count: number; medianMs: number; p95Ms: number }[];
  saved: { totalMs: number; sessions: number; medianMs: number | null };
  behind: { known: number; within: number; medianMs: number | null; medianCommits: number | null };
  atHead: { known: number; good: number };
  builds: { status: BuildStatus; count: number }[];
  byMode: { mode: BuildMode; count: number; medianMs: number }[];
  failures: { code: FailureCode; count: number }[];
  skipped: number;
}

export function standingOf(known: number, good: number, share: number): Standing {
  return { known, good, share: known === 0 ? null : good / known, isMet: known === 0 ? null : good >= share * known };
}

export interface InsightFrame extends Pick<Insights, "since" | "until" | "days" | "repository"> {
  target: StalenessTarget;
}

export function createInsights(sums: InsightSums, { target, ...frame }: InsightFrame): Insights {
  const startsOf = (kind: StartKind) => sums.starts.find((one) => one.kind === kind)?.count ?? 0;
  const timesOf = (kind: StartKind) => {
    const found = sums.startTimes.find((one) => one.kind === kind);
    return found ? { count: found.count, medianMs: found.medianMs, p95Ms: found.p95Ms } : null;
  };
  const buildsOf = (...statuses: BuildStatus[]) =>
    sums.builds.reduce((sum, { status, count }) => sum + (statuses.includes(status) ? count : 0), 0);
  const { behind, atHead } = sums;
  return {
    ...frame,
    starts: {
      image: startsOf("image"),
      cold: startsOf("cold"),
      failed: sums.starts.reduce((sum, one) => sum + one.failed, 0),
    },
    coldReasons: sums.coldReasons.map(({ code, count }) => ({ ...createColdReason(code), count })),
    startTimes: { image: timesOf("image"), cold: timesOf("cold") },
    saved: sums.saved,
    staleness: {
      target: { share: target.share, withinMs: target.withinMs },
      beforeSync: standingOf(behind.known, behind.within, target.share),
      afterSync: standingOf(atHead.known, atHead.good, 1),
      medianBehindMs: behind.medianMs,
      medianBehindCommits: behind.medianCommits,
    },
    builds: {
      ready: buildsOf("ready"),
      failed: buildsOf("failed"),
      cancelled: buildsOf("cancelled"),
      superseded: buildsOf("superseded"),
      open: buildsOf("queued", "provisioning", "running", "snapshotting", "verifying"),
      skipped: sums.skipped + buildsOf("skipped"),
      byMode: sums.byMode,
      failures: sums.failures,
    },
  };
}
