/** Reads what a session of an earlier version of this program remembered. Pure; what is missing is what a session without it was. */
import { noPull } from "./pull-request.ts";
import { noWork, type SessionState } from "./session-state.ts";

/** @param stored as `SessionState` was stored by this version or an earlier one */
export function readSessionState(stored: SessionState): SessionState {
  if (stored.version !== undefined) return stored;
  const { attempt, acceptedAt, attemptAt, image, readyAt, stage } = stored;
  return {
    ...{ models: [], author: null, parentId: null, reserved: null, idleStopMs: 600_000, attempts: [attempt, attempt] },
    ...{ version: 1, fallbacks: [], staleSetup: null, first: null, work: noWork, pullRequest: null, pull: noPull },
    ...{ archivedAt: null, snapshot: null, failedAts: [], isSuspended: false, isResumeAsked: false },
    ...{ warm: null, claimedBy: null, sync: "none", from: image ? "image" : "base", askedAt: acceptedAt, bornAt: attemptAt },
    ...stored,
    // Both of its ids may have been used.
    serial: 2,
    stage:
      stage.at === "ready"
        ? { ...stage, idleFrom: readyAt ?? attemptAt }
        : stage.at === "stopping"
          ? { ...stage, note: null }
          : stage,
  };
}
