/**
 * Everything an image scope decides: `step(state, input, now) → { state, effects }`. One build at a time, triggers while
 * building are remembered once, the last good image serves until the next one is active. Pure: no clock, no storage, no sockets.
 */
import {
  type BuildTrigger,
  bridgeProtocolVersion,
  type Failure,
  type HeadCheck,
  imageScopeOf,
  type RuntimeEvent,
} from "@open-inspect/protocol";
import { deadlines, evaluateDeadline, limits, wholeSeconds } from "./deadlines.ts";
import { createFailure } from "./failures.ts";
import { baseNotReady, gatewayFailure } from "./gateway-failures.ts";
import { type BuildPlan, type ImageEffect, type ImageInput } from "./image-messages.ts";
import { type BuildRecord, endedRecord, type LiveBuild, type QueuedBuild, type ScopeState } from "./image-scope-state.ts";
import { type StoredImage } from "./image-selection.ts";
import { applyPhaseEvent, endPhase, failOpenPhases, runningPhase, startPhase } from "./phases.ts";
import { continueSweep, endOrphan, endSandbox, type SandboxEffect, type SandboxInput, stepSandbox } from "./sandbox.ts";
import { decideTick } from "./schedule.ts";

export interface ImageStep {
  state: ScopeState;
  effects: ImageEffect[];
}

export function stepImage(state: ScopeState, input: ImageInput, now: number): ImageStep {
  switch (input.type) {
    case "switch.on": {
      const on = { ...state, target: input.target, enabled: true };
      return state.enabled ? { state: on, effects: [] } : request(on, "enable", input.plan, now);
    }
    case "switch.off":
      return switchOff(state, now);
    case "trigger": {
      const known = { ...state, target: input.target };
      if (!state.enabled) return { state: known, effects: [] };
      const built = input.sha !== null && (state.live ? state.live.sha : activeImage(state)?.sha) === input.sha;
      return built ? { state: known, effects: [] } : request(known, input.trigger, input.plan, now);
    }
    case "head":
      return checkHead(state, input, now);
    case "image.missing":
      return retireMissing(state, input, now);
    case "image.activated":
      return finishPublishing(state, input, now);
    case "snapshot.taken":
    case "snapshot.failed":
      return finishSnapshot(state, input, now);
    case "runtime.event":
      return state.live?.attempt === input.attempt ? applyEvent(state, state.live, input.event, now) : { state, effects: [] };
    case "clock":
      return stepClock(state, input, now);
    case "sandbox.swept":
      return { state, effects: continueSweep(input) };
    case "sandbox.created":
    case "sandbox.base_pending":
    case "sandbox.create_failed":
    case "runtime.started":
    case "runtime.start_failed":
    case "runtime.connected":
    case "bridge.closed":
    case "sandbox.polled":
    case "runtime.log":
      return stepBuildSandbox(state, input, now);
  }
}

export const activeImage = (state: ScopeState): StoredImage | null =>
  state.images.find((image) => image.id === state.activeId) ?? null;

/** Starts a build, or remembers it once while another one runs. */
function request(state: ScopeState, trigger: BuildTrigger, plan: BuildPlan, now: number): ImageStep {
  const order = state.order + 1;
  const queued: QueuedBuild = {
    id: plan.buildId,
    imageId: plan.imageId,
    attempt: plan.attempt,
    order,
    trigger,
    requestedAt: now,
    limitMs: plan.limitMs,
  };
  if (!state.live) return begin({ ...state, order }, queued, now);
  return state.next ? { state, effects: [] } : { state: { ...state, order, next: queued }, effects: [] };
}

function begin(state: ScopeState, queued: QueuedBuild, now: number): ImageStep {
  const { target } = state;
  if (!target?.branch) return { state: { ...state, next: null }, effects: [] };
  const { attempt, limitMs } = queued;
  const live: LiveBuild = {
    ...queued,
    branch: target.branch,
    cloneUrl: target.cloneUrl,
    startedAt: now,
    limitAt: now + limitMs,
    sha: null,
    phases: startPhase([], "sandbox", now),
    stage: { at: "sandbox", life: { at: "creating", attempt, startedAt: now } },
  };
  const create: SandboxEffect = {
    type: "sandbox.create",
    attempt,
    name: `build-${queued.id}`,
    source: { kind: "base" },
    tags: { app: "open-inspect", kind: "build", scope: imageScopeOf(target), build: queued.id, attempt },
    cpu: limits.buildCpu,
    memoryMiB: limits.buildMemoryMiB,
    timeoutMs: wholeSeconds(limitMs + deadlines.snapshotLimitMs + deadlines.sandboxMarginMs),
  };
  return { state: { ...state, live, next: null }, effects: [create] };
}

/** The build is over: its sandbox ends in every case, and what was remembered begins. */
function finish(state: ScopeState, live: LiveBuild, end: BuildRecord, now: number, effects: ImageEffect[]): ImageStep {
  const over: ImageEffect[] = [...effects, ...endOf(live)];
  const ended: ScopeState = { ...state, live: null, last: end };
  if (!ended.enabled || !ended.next) return { state: { ...ended, next: null }, effects: over };
  const next = begin(ended, ended.next, now);
  return { state: next.state, effects: [...over, ...next.effects] };
}

function endOf(live: LiveBuild): SandboxEffect[] {
  if (live.stage.at === "sandbox") return endSandbox(live.stage.life);
  return [{ type: "sandbox.terminate", attempt: live.attempt, sandboxId: live.stage.sandboxId }];
}

function fail(state: ScopeState, live: LiveBuild, failure: Failure, now: number): ImageStep {
  const phases = failOpenPhases(live.phases, now);
  return finish(state, live, endedRecord(live, { status: "failed", failure, phases, now }), now, []);
}

function switchOff(state: ScopeState, now: number): ImageStep {
  const { live } = state;
  const retired: ImageEffect[] = [];
  const active = activeImage(state);
  if (active) retired.push(switchedOff(active.id));
  retired.push(...state.images.map(deletion));
  const off: ScopeState = { ...state, enabled: false, images: [], activeId: null, next: null };
  if (!live) return { state: off, effects: retired };
  // The database's switch may have been thrown already, without an answer.
  if (live.stage.at === "publishing") retired.push(switchedOff(live.imageId), deletion(live.stage.image));
  const phases = failOpenPhases(live.phases, now);
  return finish(off, live, endedRecord(live, { status: "cancelled", failure: null, phases, now }), now, retired);
}

const switchedOff = (imageId: string): ImageEffect => ({
  type: "image.retire",
  imageId,
  cause: "Pre-built images were switched off.",
});

const deletion = (image: StoredImage): ImageEffect => ({
  type: "image.delete",
  providerImageId: image.providerImageId,
  imageId: image.id,
});

function checkHead(state: ScopeState, input: Extract<ImageInput, { type: "head" }>, now: number): ImageStep {
  const { head } = input;
  const facts = { enabled: state.enabled, active: activeImage(state), building: state.live, last: state.last };
  const decision = decideTick(facts, head, now);
  if (decision.outcome === null) return { state, effects: [] };
  const lastCheck: HeadCheck = { at: now, sha: head?.sha ?? null, outcome: decision.outcome };
  const target = state.target && head ? { ...state.target, branch: head.branch } : state.target;
  const checked = { ...state, target, lastCheck };
  const build = decision.do === "build" || (decision.do === "wait" && decision.again);
  return build ? request(checked, "schedule", input.plan, now) : { state: checked, effects: [] };
}

function retireMissing(state: ScopeState, input: Extract<ImageInput, { type: "image.missing" }>, now: number): ImageStep {
  if (!state.images.some((image) => image.id === input.imageId)) return { state, effects: [] };
  const wasActive = state.activeId === input.imageId;
  const without: ScopeState = {
    ...state,
    images: state.images.filter((image) => image.id !== input.imageId),
    activeId: wasActive ? null : state.activeId,
  };
  const { imageId, cause = "The provider does not have it any more." } = input;
  const retire: ImageEffect = { type: "image.retire", imageId, cause };
  const gone: ImageEffect[] = [retire, ...state.images.filter((image) => image.id === input.imageId).map(deletion)];
  if (!wasActive) return { state: without, effects: gone };
  const next = request(without, "schedule", input.plan, now);
  return { state: next.state, effects: [...gone, ...next.effects] };
}

function stepBuildSandbox(state: ScopeState, input: SandboxInput, now: number): ImageStep {
  const { live } = state;
  if (!live || (input.type !== "clock" && input.attempt !== live.attempt) || live.stage.at !== "sandbox") {
    return { state, effects: input.type === "clock" || input.attempt === live?.attempt ? [] : endOrphan(input) };
  }
  const launch = { mode: "build", buildId: live.id, cloneUrl: live.cloneUrl, branch: live.branch } as const;
  const { life, phases, effects, verdict, baseWaitMs } = stepSandbox(live.stage.life, live.phases, launch, input, now);
  const startedAt = live.startedAt + baseWaitMs;
  const next: LiveBuild = { ...live, startedAt, limitAt: live.limitAt + baseWaitMs, phases, stage: { at: "sandbox", life } };
  return verdict ? fail(state, next, verdict.failure, now) : { state: { ...state, live: next }, effects };
}

function stepClock(state: ScopeState, input: Extract<SandboxInput, { type: "clock" }>, now: number): ImageStep {
  const { live } = state;
  if (!live || live.stage.at === "publishing") return { state, effects: [] };
  if (live.stage.at === "snapshotting") {
    if (now < live.stage.deadlineAt) return { state, effects: [] };
    return fail(
      state,
      live,
      createFailure("snapshot_failed", { phase: "snapshot", message: "The snapshot did not end in time." }),
      now,
    );
  }
  switch (evaluateDeadline(live.limitAt, now)) {
    case "pending":
      return stepBuildSandbox(state, input, now);
    case "late":
      return stepBuildSandbox({ ...state, live: { ...live, limitAt: now + deadlines.graceMs } }, input, now);
    case "due": {
      const phase = runningPhase(live.phases);
      const { life } = live.stage;
      if (life.at === "creating" && life.baseSaid !== undefined) return fail(state, live, baseNotReady(life.baseSaid), now);
      if (life.at === "creating" || life.at === "starting") {
        const message = "The sandbox gateway did not give the build a sandbox within the build's limit.";
        return fail(state, live, createFailure("gateway_unavailable", { phase, message }), now);
      }
      const message = `The build reached its limit of ${Math.round(live.limitMs / 1000)} seconds${phase ? ` during ${phase}` : ""}.`;
      return fail(state, live, createFailure("build_timeout", { phase, lines: input.lastLines, message }), now);
    }
  }
}

function applyEvent(state: ScopeState, live: LiveBuild, event: RuntimeEvent, now: number): ImageStep {
  if (live.stage.at !== "sandbox" || live.stage.life.at !== "up") return { state, effects: [] };
  const phases = applyPhaseEvent(live.phases, event, now);
  if (phases) return { state: { ...state, live: { ...live, phases } }, effects: [] };
  switch (event.type) {
    case "workspace.synced":
      return { state: { ...state, live: { ...live, sha: event.sha } }, effects: [] };
    case "failed":
      return fail(state, live, event.failure, now);
    case "build.finished": {
      const { sandboxId, runtimeVersion } = live.stage.life;
      const deadlineAt = now + deadlines.snapshotLimitMs;
      const next: LiveBuild = {
        ...live,
        sha: event.sha,
        phases: startPhase(live.phases, "snapshot", now),
        stage: { at: "snapshotting", sandboxId, runtimeVersion, sha: event.sha, deadlineAt },
      };
      return { state: { ...state, live: next }, effects: [{ type: "snapshot", attempt: live.attempt, sandboxId }] };
    }
    default:
      return { state, effects: [] };
  }
}

function finishSnapshot(
  state: ScopeState,
  input: Extract<ImageInput, { type: "snapshot.taken" | "snapshot.failed" }>,
  now: number,
): ImageStep {
  const { live } = state;
  if (live?.attempt !== input.attempt || live.stage.at !== "snapshotting") {
    const known = live?.attempt === input.attempt || input.type === "snapshot.failed";
    return { state, effects: known ? [] : [{ type: "image.delete", providerImageId: input.providerImageId, imageId: null }] };
  }
  if (input.type === "snapshot.failed") return fail(state, live, gatewayFailure(input.failure, "snapshot"), now);
  const image: StoredImage = {
    id: live.imageId,
    buildId: live.id,
    providerImageId: input.providerImageId,
    sha: live.stage.sha,
    branch: live.branch,
    createdAt: now,
    expiresAt: now + deadlines.imageTtlMs,
    buildMs: now - live.startedAt,
    runtimeVersion: live.stage.runtimeVersion,
    bridgeProtocol: bridgeProtocolVersion,
  };
  const phases = endPhase(live.phases, "snapshot", "done", input.durationMs, now);
  const next: LiveBuild = { ...live, phases, stage: { at: "publishing", sandboxId: live.stage.sandboxId, image } };
  return { state: { ...state, live: next }, effects: [{ type: "image.activate", image, order: live.order }] };
}

function finishPublishing(state: ScopeState, input: Extract<ImageInput, { type: "image.activated" }>, now: number): ImageStep {
  const { live } = state;
  if (live?.stage.at !== "publishing" || live.imageId !== input.imageId) return { state, effects: [] };
  const { image } = live.stage;
  if (!input.activated) {
    const end = endedRecord(live, { status: "superseded", failure: null, phases: live.phases, now });
    return finish(state, live, end, now, [deletion(image)]);
  }
  const kept = [image, ...state.images];
  const serving = { ...state, images: kept.slice(0, limits.keptImages), activeId: image.id };
  const end = endedRecord(live, { status: "ready", failure: null, phases: live.phases, now });
  return finish(serving, live, end, now, kept.slice(limits.keptImages).map(deletion));
}
