/**
 * Everything a session decides about its sandbox: `step(state, input, now) → { state, effects }`, from the accepted request
 * to the end. Prompts are not decided here. Pure: no clock, no storage, no sockets.
 */
import { type ColdReasonCode, type Failure, imageScopeOf, type RuntimeEvent, type SandboxSource } from "@open-inspect/protocol";
import { deadlines, evaluateDeadline, limits, wholeSeconds } from "./deadlines.ts";
import { createFailure } from "./failures.ts";
import { baseNotReady } from "./gateway-failures.ts";
import { applyPhaseEvent, failOpenPhases, runningPhase, startPhase } from "./phases.ts";
import { createReceipt } from "./receipt.ts";
import {
  continueSweep,
  endOrphan,
  endSandbox,
  type Launch,
  nextSandboxWakeAt,
  type SandboxEffect,
  type SandboxInput,
  type SandboxLife,
  stepSandbox,
  type Verdict,
} from "./sandbox.ts";
import { blameImage, convictImage, type ImageReport, reportMissing } from "./session-image.ts";
import { type SessionOrder, type SessionStage, type SessionState } from "./session-state.ts";

export type SessionInput =
  | { type: "create"; order: SessionOrder }
  | { type: "stop" }
  | { type: "sandbox.ended"; attempt: string }
  | { type: "runtime.event"; attempt: string; event: RuntimeEvent }
  | SandboxInput;

export type SessionEffect =
  | SandboxEffect
  /** asks the runtime to end cleanly; worth one try */
  | { type: "bridge.shutdown"; attempt: string; reason: string }
  | ImageReport
  /** what is known of the repositories is older than GitHub */
  | { type: "repositories.reread" };

export interface SessionStep {
  state: SessionState | null;
  effects: SessionEffect[];
}

export function nextSessionWakeAt(state: SessionState | null, heardAt: number | null): number | null {
  if (!state) return null;
  switch (state.stage.at) {
    case "starting": {
      const wakeAt = nextSandboxWakeAt(state.stage.life, heardAt);
      return wakeAt === null ? state.stage.limitAt : Math.min(wakeAt, state.stage.limitAt);
    }
    case "ready":
      return nextSandboxWakeAt(state.stage.life, heardAt);
    case "stopping":
      return state.stage.deadlineAt;
    case "ended":
      return null;
  }
}

export function isSessionEffectWanted(state: SessionState | null, effect: SessionEffect): boolean {
  switch (effect.type) {
    case "sandbox.create":
    case "sandbox.start":
    case "sandbox.poll":
    case "sandbox.log":
      return effect.attempt === state?.attempt && (state.stage.at === "starting" || state.stage.at === "ready");
    case "bridge.shutdown":
    case "image.report_missing":
    case "repositories.reread":
    case "sandbox.terminate":
    case "sandbox.sweep":
      return true;
  }
}

export function stepSession(state: SessionState | null, input: SessionInput, now: number): SessionStep {
  if (input.type === "create") return state ? { state, effects: [] } : create(input.order, now);
  if (!state) return { state, effects: [] };
  switch (input.type) {
    case "stop":
      return stop(state, now);
    case "sandbox.ended":
      return state.stage.at === "stopping" && state.stage.attempt === input.attempt
        ? { state: ended(state, "stopped", null, now), effects: [] }
        : { state, effects: [] };
    case "sandbox.swept": {
      const over = state.stage.at === "stopping" && state.stage.attempt === input.attempt;
      return { state: over ? ended(state, "stopped", null, now) : state, effects: continueSweep(input) };
    }
    case "runtime.event":
      return input.attempt === state.attempt ? applyEvent(state, input.event, now) : { state, effects: [] };
    case "clock":
    case "sandbox.created":
    case "sandbox.base_pending":
    case "sandbox.create_failed":
    case "runtime.started":
    case "runtime.start_failed":
    case "runtime.connected":
    case "bridge.closed":
    case "sandbox.polled":
    case "runtime.log":
      return stepLife(state, input, now);
  }
}

function create(order: SessionOrder, now: number): SessionStep {
  const { attempts, ...facts } = order;
  const [attempt, spareAttempt] = attempts;
  const state: SessionState = {
    ...facts,
    attempt,
    spareAttempt: order.image ? spareAttempt : null,
    attemptAt: order.acceptedAt,
    stage: starting(attempt, order.startLimitMs, now),
    phases: startPhase([], "sandbox", now),
    bakedSha: null,
    syncedSha: null,
    setupRan: null,
    readyAt: null,
    receipt: null,
  };
  return { state, effects: [createSandbox(state)] };
}

function starting(attempt: string, limitMs: number, now: number): SessionStage {
  return { at: "starting", life: { at: "creating", attempt, startedAt: now }, limitAt: now + limitMs };
}

function createSandbox(state: SessionState): SandboxEffect {
  const { image, attempt } = state;
  const source: SandboxSource = image ? { kind: "image", providerImageId: image.providerImageId } : { kind: "base" };
  return {
    type: "sandbox.create",
    attempt,
    /** a second attempt must not be answered with the first one's sandbox */
    name: `session-${state.id}${!image && state.cold !== null && restartReasons.has(state.cold) ? "-base" : ""}`,
    source,
    tags: { app: "open-inspect", kind: "session", scope: imageScopeOf(state.repository), session: state.id, attempt },
    cpu: limits.sessionCpu,
    memoryMiB: limits.sessionMemoryMiB,
    timeoutMs: wholeSeconds(deadlines.sessionLifetimeMs),
  };
}

const restartReasons: ReadonlySet<ColdReasonCode> = new Set(["restore_failed", "runtime_outdated"]);

function launchOf(state: SessionState): Launch {
  const { id, branch, model, isDefaultBranch: followDefault } = state;
  const startFrom = state.image ? "image" : "base";
  return { mode: "session", sessionId: id, cloneUrl: state.repository.cloneUrl, branch, followDefault, startFrom, model };
}

function stepLife(state: SessionState, input: SandboxInput, now: number): SessionStep {
  const { stage } = state;
  if (stage.at === "stopping" || stage.at === "ended") {
    if (input.type !== "clock") return { state, effects: endOrphan(input) };
    const over = stage.at === "stopping" && now >= stage.deadlineAt;
    return { state: over ? ended(state, "stopped", null, now) : state, effects: [] };
  }
  if (stage.at === "starting" && input.type === "clock") {
    switch (evaluateDeadline(stage.limitAt, now)) {
      case "pending":
        break;
      case "late":
        return stepLife({ ...state, stage: { ...stage, limitAt: now + deadlines.graceMs } }, input, now);
      case "due": {
        if (stage.life.at === "creating" && stage.life.baseSaid !== undefined)
          return end(state, stage.life, baseNotReady(stage.life.baseSaid), now);
        const phase = runningPhase(state.phases);
        const message = `The session did not start within ${Math.round(state.startLimitMs / 1000)} seconds${phase ? `; it was at ${phase}` : ""}.`;
        return end(state, stage.life, createFailure("start_timeout", { phase, lines: input.lastLines, message }), now);
      }
    }
  }
  const { life, phases, effects, verdict, baseWaitMs } = stepSandbox(stage.life, state.phases, launchOf(state), input, now);
  if (verdict) return giveUp({ ...state, phases }, life, verdict, now);
  if (stage.at === "starting") {
    const attemptAt = state.attemptAt + baseWaitMs;
    return { state: { ...state, phases, attemptAt, stage: { ...stage, life, limitAt: stage.limitAt + baseWaitMs } }, effects };
  }
  return { state: life.at === "up" ? { ...state, phases, stage: { at: "ready", life } } : state, effects };
}

function giveUp(state: SessionState, life: SandboxLife, verdict: Verdict, now: number): SessionStep {
  const { image, spareAttempt } = state;
  const { failure } = verdict;
  const isOutdated = verdict.reason === "outdated";
  const blame = isOutdated ? "outside" : blameImage(failure, life);
  if (state.stage.at === "starting" && image && spareAttempt && blame) {
    const { behind: _behind, headSha: _headSha, ...known } = state;
    const restarted: SessionState = {
      ...known,
      image: null,
      cold: isOutdated ? "runtime_outdated" : "restore_failed",
      ...(isOutdated ? {} : { imageFailure: { imageId: image.id, failure, isInside: blame === "inside" } }),
      attempt: spareAttempt,
      spareAttempt: null,
      attemptAt: now,
      stage: starting(spareAttempt, state.startLimitMs, now),
      phases: startPhase([], "sandbox", now),
      bakedSha: null,
      syncedSha: null,
    };
    const effects: SessionEffect[] = [...endSandbox(life), createSandbox(restarted)];
    if (failure.code === "image_missing") effects.push(reportMissing(state, image.id));
    return { state: restarted, effects };
  }
  if (verdict.reason === "lifetime" && state.stage.at === "ready") {
    const hours = Math.round(deadlines.sessionLifetimeMs / 3_600_000);
    const failure = createFailure("sandbox_lost", {
      message: `The sandbox reached the end of its ${hours} hours.`,
      hint: "Start a new session to go on; unpushed work in the sandbox is gone.",
    });
    return { state: ended(state, "stopped", failure, now), effects: endSandbox(life) };
  }
  return end(state, life, verdict.failure, now);
}

function end(state: SessionState, life: SandboxLife, failure: Failure, now: number): SessionStep {
  return { state: ended(state, "failed", failure, now), effects: endSandbox(life) };
}

function ended(state: SessionState, status: "stopped" | "failed", failure: Failure | null, now: number): SessionState {
  return { ...state, phases: failOpenPhases(state.phases, now), stage: { at: "ended", status, failure, endedAt: now } };
}

function stop(state: SessionState, now: number): SessionStep {
  const { stage } = state;
  if (stage.at === "stopping" || stage.at === "ended") return { state, effects: [] };
  const { attempt } = state;
  const stopping: SessionState = { ...state, stage: { at: "stopping", attempt, deadlineAt: now + deadlines.stopLimitMs } };
  if (stage.life.at !== "up") return { state: stopping, effects: endSandbox(stage.life) };
  const { sandboxId } = stage.life;
  return {
    state: stopping,
    effects: [
      { type: "bridge.shutdown", attempt, reason: "The session was stopped." },
      { type: "sandbox.terminate", attempt, sandboxId, afterMs: deadlines.shutdownGraceMs },
    ],
  };
}

function applyEvent(state: SessionState, event: RuntimeEvent, now: number): SessionStep {
  const { stage } = state;
  if ((stage.at !== "starting" && stage.at !== "ready") || stage.life.at !== "up") return { state, effects: [] };
  const phases = applyPhaseEvent(state.phases, event, now);
  if (phases) return { state: { ...state, phases }, effects: [] };
  switch (event.type) {
    case "workspace.synced": {
      const { sha, bakedSha, branch = state.branch } = event;
      const isRenamed = branch !== state.branch;
      return {
        state: { ...state, branch, syncedSha: sha, headSha: sha, bakedSha },
        effects: isRenamed ? [{ type: "repositories.reread" }] : [],
      };
    }
    case "workspace.behind": {
      const { commits, oldestAt } = event;
      return { state: state.image ? { ...state, behind: { commits, oldestAt } } : state, effects: [] };
    }
    case "failed": {
      const { failure, isOutside = false } = event;
      if (isOutside) return end(state, stage.life, failure, now);
      return giveUp(state, stage.life, { failure, reason: "failed" }, now);
    }
    case "session.ready": {
      if (stage.at === "ready") return { state, effects: [] };
      const { image, bakedSha, acceptedAt, attemptAt, history } = state;
      const receipt = createReceipt({
        image,
        bakedSha,
        syncedSha: event.sha,
        setupRan: event.setupRan,
        acceptedAt,
        attemptAt,
        phases: state.phases,
        history,
        now,
      });
      const ready: SessionState = {
        ...state,
        stage: { at: "ready", life: stage.life },
        syncedSha: event.sha,
        setupRan: event.setupRan,
        readyAt: now,
        receipt,
      };
      return { state: ready, effects: convictImage(state) };
    }
    default:
      return { state, effects: [] };
  }
}
