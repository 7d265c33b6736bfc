/**
 * When a session's files are kept as a snapshot and what becomes of the snapshot: idle stop, a person's stop, the move before the provider's end,
 * archiving. Pure; how a start uses a snapshot is decided in `session-starts.ts`.
 */
import { deadlines, evaluateDeadline } from "./deadlines.ts";
import { createFailure } from "./failures.ts";
import { gatewayFailure } from "./gateway-failures.ts";
import { endSandbox } from "./sandbox.ts";
import { beginKeeping, ended, stopWork, terminate } from "./session-ends.ts";
import { type LiveStep, type SessionEffect, type SessionInput } from "./session-messages.ts";
import { resume } from "./session-starts.ts";
import { isBusy, type SessionState } from "./session-state.ts";

/** When a sandbox that is ready has to be looked at for its own sake. */
export function keepAtOf(state: SessionState): number | null {
  const { stage, reserved, bornAt, idleStopMs } = state;
  if (stage.at !== "ready") return reserved ? reserved.until : null;
  if (reserved) return Math.min(reserved.until ?? Number.POSITIVE_INFINITY, bornAt + deadlines.moveIdleMs);
  if (isBusy(state)) return bornAt + deadlines.moveMs;
  return Math.min(stage.idleFrom + idleStopMs, bornAt + deadlines.moveIdleMs);
}

/** null: nothing is due */
export function keepWhenDue(state: SessionState, now: number): LiveStep | null {
  const { stage, reserved, bornAt, idleStopMs } = state;
  if (reserved) {
    const isOver = (reserved.until !== null && now >= reserved.until) || now >= bornAt + deadlines.moveIdleMs;
    return isOver ? terminate(state, null, now) : null;
  }
  if (stage.at !== "ready") return null;
  if (now >= bornAt + (isBusy(state) ? deadlines.moveMs : deadlines.moveIdleMs)) {
    return beginKeeping(state, stage.life, "move", now);
  }
  if (isBusy(state)) return null;
  switch (evaluateDeadline(stage.idleFrom + idleStopMs, now)) {
    case "pending":
      return null;
    case "due":
      return beginKeeping(state, stage.life, "idle", now);
    case "late":
      // Nobody was awake to see whether something was asked of it.
      return { state: { ...state, stage: { ...stage, idleFrom: now } }, effects: [] };
  }
}

/** A person's stop. Only what was ready has files that are worth keeping; a reserved sandbox has none. */
export function stop(state: SessionState, now: number): LiveStep {
  const { stage } = state;
  switch (stage.at) {
    case "ready":
      return state.reserved ? terminate(state, null, now) : beginKeeping(state, stage.life, "stop", now);
    case "snapshotting": {
      if (stage.reason === "stop") return { state, effects: [] };
      return stopWork({ ...state, stage: { ...stage, reason: "stop" } }, now);
    }
    case "choosing":
    case "starting": {
      const told = stopWork(state, now);
      const over = terminate(told.state, null, now);
      return { state: over.state, effects: [...told.effects, ...over.effects] };
    }
    case "stopping":
    case "ended":
      return { state, effects: [] };
  }
}

/** The snapshot is stored before anything else is done. What it replaces belongs to nobody any more. */
export function snapshotTaken(
  state: SessionState,
  input: Extract<SessionInput, { type: "snapshot.taken" }>,
  now: number,
): LiveStep {
  const { stage, snapshot } = state;
  const { providerImageId, expiresAt } = input;
  if (snapshot?.providerImageId === providerImageId) return { state, effects: [] };
  // It may come too late for its end, but not when another sandbox of the session has begun.
  const isOfUse =
    input.attempt === state.attempt && state.stage.at !== "starting" && state.stage.at !== "ready" && !state.reserved;
  if (!isOfUse) return { state, effects: [forget(providerImageId)] };
  const effects: SessionEffect[] = snapshot ? [forget(snapshot.providerImageId)] : [];
  const runtimeRevision = stage.at === "snapshotting" ? stage.life.runtimeRevision : (snapshot?.runtimeRevision ?? 1);
  const kept: SessionState = { ...state, snapshot: { providerImageId, takenAt: now, expiresAt, runtimeRevision } };
  if (stage.at === "stopping") return { state: { ...kept, stage: { ...stage, note: null } }, effects };
  if (stage.at === "ended" && stage.failure?.code === "snapshot_failed") {
    return { state: { ...kept, stage: { ...stage, failure: null } }, effects };
  }
  if (stage.at === "choosing") {
    // The start that was about to do without it has it now.
    const next = resume(kept, now);
    return { state: { ...next.state, askedAt: state.askedAt }, effects: [...effects, ...next.effects] };
  }
  if (stage.at !== "snapshotting") return { state: kept, effects };
  // Work that came meanwhile needs a new sandbox: a sandbox can be kept only once.
  const goesOn = stage.reason === "move" || state.work.isWorking;
  const next = goesOn && state.archivedAt === null ? resume(kept, now) : terminate(kept, null, now);
  const old = next.state.stage.at === "stopping" ? [] : endSandbox(stage.life);
  return { state: next.state, effects: [...effects, ...old, ...next.effects] };
}

export function snapshotFailed(
  state: SessionState,
  input: Extract<SessionInput, { type: "snapshot.failed" }>,
  now: number,
): LiveStep {
  if (state.stage.at !== "snapshotting" || state.attempt !== input.attempt) return { state, effects: [] };
  const { lines, message } = gatewayFailure(input.failure, "snapshot");
  return giveUpSnapshot(state, [message, ...lines], now);
}

function giveUpSnapshot(state: SessionState, lines: readonly string[], now: number): LiveStep {
  const note = createFailure("snapshot_failed", {
    phase: "snapshot",
    lines,
    message: state.snapshot
      ? "The session was stopped, but its files could not be kept; the snapshot of an earlier stop is still there."
      : "The session was stopped, but its files could not be kept.",
    hint: state.snapshot
      ? "The next prompt goes on from the earlier snapshot. The conversation and what was pushed are not affected."
      : "The next prompt begins from the repository. The conversation and what was pushed are not affected.",
  });
  return terminate(state, note, now);
}

/** While it is being kept or ended the sandbox's own life is of no interest any more, only the time is. */
export function keepClock(state: SessionState, now: number): LiveStep {
  const { stage } = state;
  switch (stage.at) {
    case "snapshotting":
      switch (evaluateDeadline(stage.deadlineAt, now)) {
        case "pending":
          return { state, effects: [] };
        case "late":
          return { state: { ...state, stage: { ...stage, deadlineAt: now + deadlines.snapshotLimitMs } }, effects: [] };
        case "due":
          return giveUpSnapshot(state, ["The provider did not say in time whether the snapshot was taken."], now);
      }
      break;
    case "stopping":
      return { state: now >= stage.deadlineAt ? ended(state, "stopped", stage.note, now) : state, effects: [] };
    case "ended": {
      const { snapshot, archivedAt } = state;
      if (!snapshot) break;
      if (now >= snapshot.expiresAt) return { state: { ...state, snapshot: null }, effects: [] };
      if (archivedAt !== null && now >= archivedAt + deadlines.archivedSnapshotMs) {
        return { state: { ...state, snapshot: null }, effects: [forget(snapshot.providerImageId)] };
      }
      break;
    }
    default:
  }
  return { state, effects: [] };
}

/** When `keepClock` has something to do. */
export function keepClockAtOf({ stage, snapshot, archivedAt }: SessionState): number | null {
  switch (stage.at) {
    case "snapshotting":
    case "stopping":
      return stage.deadlineAt;
    case "ended":
      if (!snapshot) return null;
      return archivedAt === null ? snapshot.expiresAt : Math.min(snapshot.expiresAt, archivedAt + deadlines.archivedSnapshotMs);
    default:
      return null;
  }
}

const forget = (providerImageId: string): SessionEffect => ({ type: "snapshot.delete", providerImageId });
