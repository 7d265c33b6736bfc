/**
 * Everything a session decides about its sandbox: `step(state, input, now) → { state, effects }`, from the accepted request over stops and
 * resumes. What is in prompts is not decided here. Pure: no clock, no storage, no sockets.
 */
import { type RuntimeEvent } from "@open-inspect/protocol";
import { deadlines, evaluateDeadline } from "./deadlines.ts";
import { createFailure } from "./failures.ts";
import { baseNotReady } from "./gateway-failures.ts";
import { applyPhaseEvent, runningPhase } from "./phases.ts";
import { isPullEffectWanted, nextPullWakeAt, type PullStep, resendPush, stepPull, takePushed, tendPull } from "./pull-request.ts";
import { continueSweep, endOrphan, nextSandboxWakeAt, type SandboxInput, stepSandbox } from "./sandbox.ts";
import { ended, fail, refuseWork, terminate } from "./session-ends.ts";
import { keepAtOf, keepClock, keepClockAtOf, keepWhenDue, snapshotFailed, snapshotTaken, stop } from "./session-keeping.ts";
import { type LiveStep, type SessionEffect, type SessionInput, type SessionStep } from "./session-messages.ts";
import { becomeReady, chosen, claim, create, giveUp, launchOf, refuseSnapshot, resume, syncEffect } from "./session-starts.ts";
import { isBusy, type SessionState, type SessionWork } from "./session-state.ts";

export type { SessionEffect, SessionInput, SessionStep } from "./session-messages.ts";

export function nextSessionWakeAt(state: SessionState | null, heardAt: number | null): number | null {
  if (!state) return null;
  const { stage } = state;
  const times: (number | null)[] = [keepClockAtOf(state), nextPullWakeAt(state)];
  switch (stage.at) {
    case "choosing":
      times.push(stage.limitAt);
      break;
    case "starting":
      times.push(stage.limitAt, keepAtOf(state), nextSandboxWakeAt(stage.life, heardAt));
      break;
    case "ready":
      times.push(keepAtOf(state), nextSandboxWakeAt(stage.life, heardAt));
      break;
    default:
  }
  const known = times.filter((at) => at !== null);
  return known.length === 0 ? null : Math.min(...known);
}

export function isSessionEffectWanted(state: SessionState | null, effect: SessionEffect): boolean {
  switch (effect.type) {
    case "sandbox.create":
    case "sandbox.start":
    case "sandbox.poll":
    case "sandbox.log":
    case "bridge.sync":
      return effect.attempt === state?.attempt && (state.stage.at === "starting" || state.stage.at === "ready");
    case "snapshot":
      // Also when the session does not wait for it any more: a late answer is better than none.
      return effect.attempt === state?.attempt && ["snapshotting", "stopping", "ended", "choosing"].includes(state.stage.at);
    case "image.look_up":
      return effect.serial === state?.serial && state.stage.at === "choosing";
    case "bridge.push":
    case "pull.open":
    case "pull.read":
      return state !== null && isPullEffectWanted(state, effect);
    case "bridge.shutdown":
    case "prompts.end":
    case "snapshot.delete":
    case "image.report_missing":
    case "repositories.reread":
    case "sandbox.terminate":
    case "sandbox.sweep":
      return true;
  }
}

export function stepSession(state: SessionState | null, input: SessionInput, now: number): SessionStep {
  if (input.type === "create") return state ? { state, effects: [] } : create(input.order, now);
  if (!state) return { state, effects: input.type === "sandbox.created" ? endOrphan(input) : [] };
  const decided = decide(state, input, now);
  const { state: after, effects } = tend(goOn(decided, now), input, now);
  return { state: after === state ? state : { ...beginRest(state, after, now), version: state.version + 1 }, effects };
}

/** The time until the idle stop counts from the end of what was done. */
function beginRest(before: SessionState, after: SessionState, now: number): SessionState {
  const { stage } = after;
  if (stage.at !== "ready" || !isBusy(before) || isBusy(after)) return after;
  return { ...after, stage: { ...stage, idleFrom: now } };
}

/** A session without a sandbox for which something waits begins again, or says why it does not. */
function goOn(step: LiveStep, now: number): LiveStep {
  const { state, effects } = step;
  if (state.stage.at !== "ended" || !(state.work.isWorking || state.isResumeAsked)) return step;
  const { failure } = state.stage;
  const next =
    state.archivedAt !== null
      ? refuseWork({ ...state, isResumeAsked: false }, "The session is archived.", now)
      : state.isSuspended
        ? refuseWork(state, failure?.message ?? "The session does not start by itself any more.", now)
        : resume(state, now);
  return { state: next.state, effects: [...effects, ...next.effects] };
}

const same = (state: SessionState): LiveStep => ({ state, effects: [] });

function decide(state: SessionState, input: Exclude<SessionInput, { type: "create" }>, now: number): LiveStep {
  switch (input.type) {
    case "stop":
      return stop({ ...state, isResumeAsked: false }, now);
    case "resume":
      return askResume(state);
    case "archive": {
      if (state.archivedAt !== null || state.reserved) return same(state);
      return stop({ ...state, archivedAt: now, isResumeAsked: false }, now);
    }
    case "restore":
      return same(state.archivedAt === null ? state : { ...state, archivedAt: null });
    case "rename":
      return same(state.title === input.title ? state : { ...state, title: input.title });
    case "work":
      return same(noteWork(state, input.work, now));
    case "claim":
      return claim(state, input.claim, now);
    case "keep": {
      const { reserved } = state;
      if (!reserved || reserved.until === input.until) return same(state);
      return same({ ...state, reserved: { ...reserved, until: input.until } });
    }
    case "release":
      return state.reserved ? terminate(state, null, now) : same(state);
    case "pull.requested":
    case "pull.opened":
    case "pull.refused":
    case "pull.looked":
    case "pull.heard":
      return follow(stepPull(state, input, now));
    case "image.looked_up":
      return chosen(state, input, now);
    case "snapshot.taken":
      return snapshotTaken(state, input, now);
    case "snapshot.failed":
      return snapshotFailed(state, input, now);
    case "snapshot.refused":
      return refuseSnapshot(state, input, now);
    case "sandbox.ended":
      return same(isEndOf(state, input.attempt) ? ended(state, "stopped", state.stage.note, now) : state);
    case "sandbox.swept": {
      const after = isEndOf(state, input.attempt) ? ended(state, "stopped", state.stage.note, now) : state;
      return { state: after, effects: continueSweep(input) };
    }
    case "runtime.event":
      return input.attempt === state.attempt ? applyEvent(state, input.event, now) : same(state);
    default:
      return stepLife(state, input, now);
  }
}

const follow = ({ part, effects }: PullStep<SessionState>): LiveStep => ({ state: part, effects });

/** What became of a request for a pull request meanwhile, and what a runtime that is back has to be told of it. */
function tend({ state, effects }: LiveStep, input: SessionInput, now: number): LiveStep {
  const tended = tendPull(state, state.stage.at === "ready" ? state.attempt : null, now);
  const again = input.type === "runtime.connected" ? resendPush(tended, input.attempt) : [];
  return { state: tended, effects: [...effects, ...again] };
}

const isEndOf = (
  state: SessionState,
  attempt: string,
): state is SessionState & { stage: Extract<SessionState["stage"], { at: "stopping" }> } =>
  state.stage.at === "stopping" && state.stage.attempt === attempt;

const isSame = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

/** A person's word counts also where the session does not start by itself any more. */
function askResume(state: SessionState): LiveStep {
  const { stage } = state;
  if (state.archivedAt !== null || state.reserved) return same(state);
  if (stage.at !== "ended" && stage.at !== "stopping" && stage.at !== "snapshotting") return same(state);
  return same({ ...state, isResumeAsked: true, isSuspended: false, failedAts: [] });
}

function noteWork(state: SessionState, work: SessionWork, now: number): SessionState {
  if (isSame(state.work, work)) return state;
  const { stage } = state;
  if (stage.at !== "ready") return { ...state, work };
  const idleFrom = Math.max(stage.idleFrom, Math.min(work.activeAt ?? 0, now));
  return { ...state, work, stage: { ...stage, idleFrom } };
}

function stepLife(state: SessionState, input: SandboxInput, now: number): LiveStep {
  const { stage } = state;
  if (stage.at !== "starting" && stage.at !== "ready") {
    if (input.type !== "clock") return { state, effects: isOwn(state, input) ? [] : endOrphan(input) };
    if (stage.at !== "choosing") return keepClock(state, now);
    return evaluateDeadline(stage.limitAt, now) === "pending" ? same(state) : fail(state, null, startTimeout(state, []), now);
  }
  if (input.type === "clock") {
    const kept = keepWhenDue(state, now);
    if (kept) return kept;
  }
  if (stage.at === "starting" && input.type === "clock") {
    switch (evaluateDeadline(stage.limitAt, now)) {
      case "pending":
        break;
      case "late":
        return stepLife({ ...state, stage: { ...stage, limitAt: now + deadlines.graceMs } }, input, now);
      case "due": {
        if (stage.life.at === "creating" && stage.life.baseSaid !== undefined)
          return fail(state, stage.life, baseNotReady(stage.life.baseSaid), now);
        return fail(state, stage.life, startTimeout(state, input.lastLines), now);
      }
    }
  }
  const { life, phases, effects, verdict, baseWaitMs } = stepSandbox(stage.life, state.phases, launchOf(state), input, now);
  if (verdict) return giveUp({ ...state, phases }, verdict, now);
  if (stage.at === "starting") {
    const { attemptAt, bornAt } = state;
    const waited = { attemptAt: attemptAt + baseWaitMs, bornAt: bornAt + baseWaitMs };
    // A command that was under way when the socket was cut may be lost.
    const isAsked = input.type === "runtime.connected" && state.sync === "asked" && input.attempt === state.attempt;
    const next: SessionState = { ...state, ...waited, phases, stage: { ...stage, life, limitAt: stage.limitAt + baseWaitMs } };
    return { state: next, effects: isAsked ? [...effects, syncEffect(state)] : effects };
  }
  return { state: life.at === "up" ? { ...state, phases, stage: { ...stage, life } } : state, effects };
}

/** The sandbox that is being kept is no orphan when its create is answered a second time. */
const isOwn = ({ stage }: SessionState, input: SandboxInput): boolean =>
  stage.at === "snapshotting" && input.type === "sandbox.created" && stage.life.sandboxId === input.sandboxId;

function startTimeout(state: SessionState, lines: readonly string[]) {
  const phase = runningPhase(state.phases);
  const message = `The session did not start within ${Math.round(state.startLimitMs / 1000)} seconds${phase ? `; it was at ${phase}` : ""}.`;
  return createFailure("start_timeout", { phase, lines, message });
}

function applyEvent(state: SessionState, event: RuntimeEvent, now: number): LiveStep {
  const { stage } = state;
  if ((stage.at !== "starting" && stage.at !== "ready") || stage.life.at !== "up") return same(state);
  const phases = applyPhaseEvent(state.phases, event, now);
  if (phases) return same({ ...state, phases });
  switch (event.type) {
    case "workspace.synced": {
      const { sha, bakedSha, branch = state.branch } = event;
      const isRenamed = branch !== state.branch;
      return {
        state: { ...state, branch, syncedSha: sha, headSha: sha, bakedSha: state.bakedSha ?? bakedSha },
        effects: isRenamed ? [{ type: "repositories.reread" }] : [],
      };
    }
    case "workspace.behind": {
      const { commits, oldestAt } = event;
      return same(state.image && !state.behind ? { ...state, behind: { commits, oldestAt } } : state);
    }
    case "push.finished":
      return follow(takePushed(state, state.attempt, event, now));
    case "setup.stale":
      return same({ ...state, staleSetup: { files: event.files, refresh: event.refresh } });
    case "failed": {
      const { failure, isOutside = false } = event;
      if (isOutside) return fail(state, stage.life, failure, now, true);
      return giveUp(state, { failure, reason: "failed" }, now);
    }
    case "session.ready":
      return stage.at === "ready" ? same(state) : becomeReady(state, stage.life, event, now);
    default:
      return same(state);
  }
}
