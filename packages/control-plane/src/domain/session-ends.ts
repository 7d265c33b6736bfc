/** How a session's sandbox comes to its end, what its prompts are told, and when the session may start again by itself. Pure. */
import { type Failure, type FailureCode } from "@open-inspect/protocol";
import { deadlines, limits } from "./deadlines.ts";
import { createFailure } from "./failures.ts";
import { failOpenPhases } from "./phases.ts";
import { endSandbox, type SandboxLife } from "./sandbox.ts";
import { type LiveStep, type SessionEffect } from "./session-messages.ts";
import { type KeepReason, type SessionState, type UpLife } from "./session-state.ts";

/** Another sandbox would most likely meet the same: what waits is told at once, instead of starting again. */
const hopeless: ReadonlySet<FailureCode> = new Set([
  "repository_not_found",
  "repository_empty",
  "branch_not_found",
  "credentials_refused",
  "clone_failed",
  "sync_failed",
  "setup_failed",
  "setup_not_executable",
  "disk_full",
  "start_failed",
  "start_timeout",
  "base_not_ready",
]);

export function ended(state: SessionState, status: "stopped" | "failed", failure: Failure | null, now: number): SessionState {
  return { ...state, phases: failOpenPhases(state.phases, now), stage: { at: "ended", status, failure, endedAt: now } };
}

/** What is left to do is known from the answer only, so until then nothing starts by itself. */
function tellPrompts(
  state: SessionState,
  which: "running" | "all",
  outcome: "failed" | "stopped",
  cause: string,
  now: number,
): LiveStep {
  if (state.reserved) return { state, effects: [] };
  return {
    state: { ...state, work: { ...state.work, isWorking: false } },
    effects: [{ type: "prompts.end", attempt: state.attempt, which, outcome, cause, at: now }],
  };
}

/** Nothing that waits can go on: no sandbox will come by itself. */
export const refuseWork = (state: SessionState, cause: string, now: number): LiveStep =>
  tellPrompts(state, "all", "failed", cause, now);

/** The sandbox is lost or its start has failed. What waits makes the session start again, as long as that is worth it. */
export function fail(state: SessionState, life: SandboxLife | null, cause: Failure, now: number, isOutside = false): LiveStep {
  const { readyAt, stage } = state;
  const hasRested = stage.at === "ready" && readyAt !== null && now - readyAt >= deadlines.failuresWindowMs;
  const recent = state.failedAts.filter((at) => now - at < deadlines.failuresForgottenMs);
  const failedAts = [...(hasRested ? [] : recent), now];
  const newest = failedAts.filter((at) => now - at < deadlines.failuresWindowMs);
  const isSuspended = newest.length >= limits.failuresInARow || failedAts.length >= limits.failuresWithoutRest;
  const failure = isSuspended ? suspended(failedAts, cause, now) : cause;
  const told = tellPrompts(
    ended({ ...state, failedAts, isSuspended }, "failed", failure, now),
    isSuspended || isOutside || hopeless.has(cause.code) ? "all" : "running",
    "failed",
    failure.message,
    now,
  );
  return { state: told.state, effects: [...(life ? endSandbox(life) : []), ...told.effects] };
}

function suspended(failedAts: readonly number[], cause: Failure, now: number): Failure {
  const minutes = Math.max(1, Math.ceil((now - (failedAts[0] ?? now)) / 60_000));
  return createFailure("starts_suspended", {
    ...cause,
    message: `The session failed ${failedAts.length} times within ${minutes} min. The last time: ${cause.message}`,
    hint: `It does not start by itself any more. ${cause.hint} Then resume it.`,
  });
}

/** The provider ended the sandbox at its time limit, although the session was to be moved before: that is nobody's failure. */
export function endAtLifetime(state: SessionState, life: SandboxLife, now: number): LiveStep {
  const hours = Math.round(deadlines.sessionLifetimeMs / 3_600_000);
  const failure = createFailure("sandbox_lost", {
    message: `The sandbox reached the end of its ${hours} hours.`,
    hint: state.snapshot
      ? "The next prompt goes on from the last snapshot; what was changed after it is gone."
      : "The next prompt begins a new sandbox; unpushed work in the old one is gone.",
  });
  const told = tellPrompts(ended(state, "stopped", failure, now), "running", "failed", failure.message, now);
  return { state: told.state, effects: [...endSandbox(life), ...told.effects] };
}

const stopped = "The session was stopped.";
const moved = "The sandbox was at the end of its 24 hours, so the session goes on in a new one. Ask again to go on.";

/** A person's stop: what runs and waits is over. */
export const stopWork = (state: SessionState, now: number): LiveStep => tellPrompts(state, "all", "stopped", stopped, now);

/** Ends the sandbox, if there is one, without keeping its files. */
export function terminate(state: SessionState, note: Failure | null, now: number): LiveStep {
  const { stage, attempt } = state;
  if (stage.at === "choosing") return { state: ended(state, "stopped", note, now), effects: [] };
  if (stage.at === "stopping" || stage.at === "ended") return { state, effects: [] };
  const stopping: SessionState = {
    ...state,
    phases: failOpenPhases(state.phases, now),
    stage: { at: "stopping", attempt, deadlineAt: now + deadlines.stopLimitMs, note },
  };
  if (stage.life.at !== "up") return { state: stopping, effects: endSandbox(stage.life) };
  const { sandboxId } = stage.life;
  return {
    state: stopping,
    effects: [
      { type: "bridge.shutdown", attempt, reason: stopped },
      { type: "sandbox.terminate", attempt, sandboxId, afterMs: deadlines.shutdownGraceMs },
    ],
  };
}

/** Begins to keep the files of a sandbox that is up; how that ends is decided in `session-keeping.ts`. */
export function beginKeeping(state: SessionState, life: UpLife, reason: KeepReason, now: number): LiveStep {
  const { attempt, work } = state;
  const keeping: SessionState = {
    ...state,
    stage: { at: "snapshotting", life, reason, deadlineAt: now + deadlines.snapshotLimitMs },
  };
  const snapshot: SessionEffect = {
    type: "snapshot",
    attempt,
    sandboxId: life.sandboxId,
    ...(work.isWorking ? { afterMs: deadlines.settleMs } : {}),
  };
  if (reason === "idle") return { state: keeping, effects: [snapshot] };
  const told = reason === "stop" ? stopWork(keeping, now) : tellPrompts(keeping, "running", "failed", moved, now);
  return { state: told.state, effects: [...told.effects, snapshot] };
}
