/** When a repository whose builds fail is tried again by itself. Pure. */
import { type Failure, type FailureCode } from "@open-inspect/protocol";
import { deadlines } from "./deadlines.ts";
import { type FailureSeries } from "./image-scope-state.ts";

/** What may be gone the next time without anybody changing anything. */
const transientCodes: ReadonlySet<FailureCode> = new Set<FailureCode>([
  "gateway_unavailable",
  "base_not_ready",
  "sandbox_create_failed",
  "image_missing",
  "runtime_never_connected",
  "sandbox_lost",
  "clone_failed",
  "sync_failed",
  "credentials_refused",
  "snapshot_failed",
  "internal",
]);

export const isTransient = (failure: Failure): boolean => transientCodes.has(failure.code);

/**
 * The series after one more failure. What passes by itself is tried at every tick; the rest at the next tick and then with
 * pauses that double up to a day, for as long as the commit is the same.
 */
export function extendSeries(series: FailureSeries | null, failure: Failure, sha: string | null, now: number): FailureSeries {
  const triesOfSha = series && series.sha === sha ? series.triesOfSha + 1 : 1;
  const doublings = Math.min(triesOfSha - 2, 10);
  const pauseMs =
    isTransient(failure) || triesOfSha === 1 ? 0 : Math.min(deadlines.retryFirstMs * 2 ** doublings, deadlines.retryMaxMs);
  return {
    count: (series?.count ?? 0) + 1,
    firstSha: series ? series.firstSha : sha,
    firstAt: series?.firstAt ?? now,
    sha,
    triesOfSha,
    nextTryAt: now + pauseMs,
  };
}

/** How often builds of this head have failed already, plus one. */
export function nextTryNumber(series: FailureSeries | null, headSha: string | null): number {
  if (!series) return 1;
  return headSha === null || series.sha === null || series.sha === headSha ? series.triesOfSha + 1 : 1;
}
