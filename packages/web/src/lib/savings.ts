/** What images have saved a repository's sessions. Pure. */
import { type SessionSummary } from "@open-inspect/protocol";

interface Savings {
  /** sessions that started from an image */
  warm: number;
  /** sessions that started from the base */
  coldStarts: number;
  /** what a cold start costs less what each took, summed; null without a cold start to compare with */
  savedMs: number | null;
}

/** @param coldMs what a cold start of the repository costs */
export function summarizeSavings(sessions: readonly SessionSummary[], coldMs: number | null): Savings {
  const started = sessions.filter((session) => session.startMs !== null);
  const warm = started.filter((session) => session.startedFrom === "image");
  const coldStarts = started.filter((session) => session.startedFrom === "base").length;
  const savedMs = coldMs === null ? null : warm.reduce((sum, session) => sum + coldMs - (session.startMs ?? coldMs), 0);
  return { warm: warm.length, coldStarts, savedMs };
}
