/**
 * What one running build decides: slot → plan → sandbox → snapshot → verification → active image. Every way out goes through
 * `finishBuild`, which hands over to the scope. Pure: no clock, no storage, no sockets.
 */
import {
  bridgeProtocolVersion,
  type Failure,
  type FailureCode,
  imageScopeOf,
  type ModeReason,
  type RuntimeEvent,
} from "@open-inspect/protocol";
import { decideMode, isCurrent, type ModeDecision } from "./build-mode.ts";
import { deadlines, evaluateDeadline, limits, wholeSeconds } from "./deadlines.ts";
import { extendSeries } from "./failure-series.ts";
import { createFailure } from "./failures.ts";
import { baseNotReady, gatewayFailure } from "./gateway-failures.ts";
import { buildInputsOf } from "./image-inputs.ts";
import { type ImageEffect, type ImageInput } from "./image-messages.ts";
import {
  attemptOf,
  type BuildGround,
  type BuildRecord,
  endedRecord,
  type LiveBuild,
  type ScopeState,
  settingsOf,
} from "./image-scope-state.ts";
import { type StoredImage } from "./image-selection.ts";
import { applyPhaseEvent, endPhase, failOpenPhases, runningPhase, startPhase } from "./phases.ts";
import { endOrphan, endSandbox, type Launch, type SandboxEffect, type SandboxInput, stepSandbox } from "./sandbox.ts";

export interface ImageStep {
  state: ScopeState;
  effects: ImageEffect[];
}

/** What a build leaves behind for the scope: the state without it, how it ended, and what is owed. */
export interface FinishedBuild extends ImageStep {
  ended: BuildRecord;
}

/** `finished` when the build is over with this step. */
export type BuildStep = (ImageStep & { ended: null }) | FinishedBuild;

const going = (state: ScopeState, live: LiveBuild, effects: ImageEffect[] = []): BuildStep => ({
  state: { ...state, live },
  effects,
  ended: null,
});

type BuildInput = Extract<
  ImageInput,
  {
    type:
      | "slot.granted"
      | "build.planned"
      | "build.plan_failed"
      | "runtime.event"
      | "snapshot.taken"
      | "snapshot.failed"
      | "image.activated";
  }
>;

export function stepBuild(state: ScopeState, live: LiveBuild, input: BuildInput, now: number): BuildStep {
  const unchanged = going(state, live);
  switch (input.type) {
    case "slot.granted":
      return live.stage.at === "waiting" && input.buildId === live.id ? planBuild(state, live, now) : unchanged;
    case "build.planned":
      return live.stage.at === "planning" && input.buildId === live.id ? startBuild(state, live, input.ground, now) : unchanged;
    case "build.plan_failed": {
      if (live.stage.at !== "planning" || input.buildId !== live.id) return unchanged;
      return failBuild(state, live, gatewayFailure(input.failure, "sandbox"), now);
    }
    case "runtime.event":
      return input.attempt === attemptOf(live) ? applyEvent(state, live, input.event, now) : unchanged;
    case "snapshot.taken":
    case "snapshot.failed":
      return finishSnapshot(state, live, input, now);
    case "image.activated":
      return finishPublishing(state, live, input, now);
  }
}

function planBuild(state: ScopeState, live: LiveBuild, now: number): BuildStep {
  const planned: LiveBuild = { ...live, startedAt: now, limitAt: now + live.limitMs, stage: { at: "planning" } };
  return going(state, planned, [{ type: "build.plan", buildId: live.id }]);
}

function startBuild(state: ScopeState, live: LiveBuild, ground: BuildGround, now: number): BuildStep {
  const [newest = null] = state.images;
  if (live.trigger === "enable" && newest && isCurrent(newest, live.headSha, live.branch, ground, now)) {
    // Kept from before the images were switched off, and nothing has changed since.
    const image = { ...newest, order: live.order };
    const note = "The kept image is of the same commit and inputs: it serves again.";
    const { mode, modeReason, inputs, sizeBytes, sha } = newest;
    return publish(state, { ...live, imageId: newest.id, ground, mode, modeReason, inputs, sizeBytes, sha, note }, image);
  }
  return openSandbox(state, { ...live, ground }, decideMode(settingsOf(state).rebuildMode, newest, ground, now), "", now);
}

const modeNotes: Record<ModeReason, string> = {
  same_inputs: "Building on the previous image",
  first_image: "Building in full: there is no earlier image to build on.",
  clean_setting: "Building in full: the repository is set to clean builds.",
  base_changed: "Building in full: the base image has changed.",
  runtime_changed: "Building in full: the sandbox runtime has changed.",
  setup_changed: "Building in full: .openinspect/setup.sh has changed.",
  secrets_changed: "Building in full: a secret has changed.",
  daily: "Building in full: the last full build is a day old.",
  chain_too_deep: `Building in full: the image stands on ${limits.chainDepth} snapshots.`,
  incremental_failed: "Building in full: the build on the previous image did not work.",
};

/** @param suffix of the sandbox's name, so that a build that begins anew does not get its first sandbox back */
function openSandbox(state: ScopeState, live: LiveBuild, decision: ModeDecision, suffix: string, now: number): BuildStep {
  const [attempt = "", ...attempts] = live.attempts;
  const { mode, reason, previous } = decision;
  const note = mode === "full" ? modeNotes[reason] : `${modeNotes[reason]}, of commit ${previous?.sha.slice(0, 7)}.`;
  const opened: LiveBuild = {
    ...live,
    attempts,
    mode,
    modeReason: reason,
    previous,
    note,
    limitAt: now + live.limitMs,
    warnAt: now + Math.round(live.limitMs * limits.warnAtShare),
    phases: startPhase([], "sandbox", now),
    stage: { at: "sandbox", life: { at: "creating", attempt, startedAt: now } },
  };
  const lifetimeMs = live.limitMs + deadlines.snapshotLimitMs + deadlines.sandboxMarginMs;
  const source = previous ? ({ kind: "image", providerImageId: previous.providerImageId } as const) : ({ kind: "base" } as const);
  return going(state, opened, [createEffect(state, live, { attempt, name: `build-${live.id}${suffix}`, source, lifetimeMs })]);
}

function createEffect(
  state: ScopeState,
  live: LiveBuild,
  what: {
    attempt: string;
    name: string;
    source: Extract<SandboxEffect, { type: "sandbox.create" }>["source"];
    lifetimeMs: number;
  },
): SandboxEffect {
  const { attempt, name, source, lifetimeMs } = what;
  const scope = state.target ? imageScopeOf(state.target) : "";
  return {
    type: "sandbox.create",
    attempt,
    name,
    source,
    tags: { app: "open-inspect", kind: "build", scope, build: live.id, attempt },
    cpu: limits.buildCpu,
    memoryMiB: limits.buildMemoryMiB,
    timeoutMs: wholeSeconds(lifetimeMs),
  };
}

/** The sandboxes of the stage that the build is at. */
export function endStage({ stage }: LiveBuild): SandboxEffect[] {
  switch (stage.at) {
    case "sandbox":
    case "verifying":
      return endSandbox(stage.life);
    case "snapshotting":
      return [{ type: "sandbox.terminate", attempt: stage.attempt, sandboxId: stage.sandboxId }];
    case "waiting":
    case "planning":
    case "publishing":
      return [];
  }
}

/** The candidate that a build at this stage has made; null before there is one, and for one that is kept anyway. */
export function candidateOf(state: ScopeState, { stage }: LiveBuild): StoredImage | null {
  if (stage.at !== "verifying" && stage.at !== "publishing") return null;
  return state.images.some((image) => image.id === stage.image.id) ? null : stage.image;
}

export const deletion = (image: StoredImage): ImageEffect => ({
  type: "image.delete",
  providerImageId: image.providerImageId,
  imageId: image.id,
});

/** The build is over: its sandbox and its slot are given back in every case. */
export function finishBuild(
  state: ScopeState,
  live: LiveBuild,
  end: { status: BuildRecord["status"]; failure: Failure | null },
  now: number,
  effects: ImageEffect[] = [],
): FinishedBuild {
  const phases = end.status === "ready" ? live.phases : failOpenPhases(live.phases, now);
  const ended = endedRecord(live, { ...end, phases, now });
  const owed: ImageEffect[] = [...effects, ...endStage(live), { type: "slot.release", buildId: live.id }];
  return { state: { ...state, live: null, last: ended }, effects: owed, ended };
}

/** What another start from the base cannot help. */
const beyondUs: ReadonlySet<FailureCode> = new Set<FailureCode>([
  "repository_not_found",
  "repository_empty",
  "branch_not_found",
  "credentials_refused",
  "gateway_unavailable",
  "base_not_ready",
  "configuration_invalid",
  "build_timeout",
]);

export function failBuild(state: ScopeState, live: LiveBuild, failure: Failure, now: number): BuildStep {
  if (live.mode === "incremental" && !beyondUs.has(failure.code)) {
    return buildInFull(state, live, "incremental_failed", failure.message, now);
  }
  const failing = extendSeries(state.failing, failure, live.sha ?? live.headSha, now);
  const candidate = candidateOf(state, live);
  return finishBuild({ ...state, failing }, live, { status: "failed", failure }, now, candidate ? [deletion(candidate)] : []);
}

/** The same build again, from the base: the trigger is answered by one build, whatever it took. */
function buildInFull(state: ScopeState, live: LiveBuild, reason: ModeReason, said: string | null, now: number): BuildStep {
  const candidate = candidateOf(state, live);
  const leftovers: ImageEffect[] = [...endStage(live), ...(candidate ? [deletion(candidate)] : [])];
  const fresh: LiveBuild = { ...live, sha: null, inputs: null, file: null, sizeBytes: null };
  const step = openSandbox(state, fresh, { mode: "full", reason, previous: null }, "-full", now);
  const opened = step.state.live;
  if (!opened || said === null) return { ...step, effects: [...leftovers, ...step.effects] };
  return going(step.state, { ...opened, note: `${said} ${opened.note}` }, [...leftovers, ...step.effects]);
}

/** An answer that concerns a sandbox: of the build, of its verification, or of nobody any more. */
export function stepBuildSandbox(
  state: ScopeState,
  live: LiveBuild | null,
  input: SandboxInput,
  now: number,
): BuildStep | ImageStep {
  const { stage } = live ?? {};
  const isOurs = input.type === "clock" || input.attempt === attemptOf(live);
  if (!live || !isOurs || (stage?.at !== "sandbox" && stage?.at !== "verifying")) {
    return { state, effects: isOurs ? [] : endOrphan(input) };
  }
  const { id: buildId, cloneUrl, branch } = live;
  if (stage.at === "verifying") {
    const launch: Launch = { mode: "verify", buildId, cloneUrl, branch, sha: stage.image.sha };
    const { life, phases, effects, verdict } = stepSandbox(stage.life, stage.phases, launch, input, now);
    const next: LiveBuild = { ...live, stage: { ...stage, life, phases } };
    return verdict ? failVerification(state, next, verdict.failure, now) : going(state, next, effects);
  }
  const previous = live.previous ? { setup: live.previous.inputs?.setup ?? null } : null;
  const launch: Launch = { mode: "build", buildId, cloneUrl, branch, previous };
  const { life, phases, effects, verdict, baseWaitMs } = stepSandbox(stage.life, live.phases, launch, input, now);
  const next: LiveBuild = {
    ...live,
    startedAt: live.startedAt + baseWaitMs,
    limitAt: live.limitAt + baseWaitMs,
    warnAt: live.warnAt === null ? null : live.warnAt + baseWaitMs,
    phases,
    stage: { at: "sandbox", life },
  };
  return verdict ? failBuild(state, next, verdict.failure, now) : going(state, next, effects);
}

export function stepBuildClock(
  state: ScopeState,
  live: LiveBuild,
  input: Extract<SandboxInput, { type: "clock" }>,
  now: number,
): BuildStep | ImageStep {
  const { stage } = live;
  switch (stage.at) {
    case "waiting": {
      if (now < stage.askAgainAt) return going(state, live);
      const waiting: LiveBuild = { ...live, stage: { at: "waiting", askAgainAt: now + deadlines.slotAskAgainMs } };
      return going(state, waiting, [slotRequest(state, live)]);
    }
    case "planning": {
      if (now < live.limitAt) return going(state, live);
      const message = "The sandbox gateway did not answer within the build's limit.";
      return failBuild(state, live, createFailure("gateway_unavailable", { message }), now);
    }
    case "publishing":
      return going(state, live);
    case "snapshotting": {
      if (now < stage.deadlineAt) return going(state, live);
      const message = "The snapshot did not end in time.";
      return failBuild(state, live, createFailure("snapshot_failed", { phase: "snapshot", message }), now);
    }
    case "verifying":
      switch (evaluateDeadline(stage.deadlineAt, now)) {
        case "pending":
          return stepBuildSandbox(state, live, input, now);
        case "late": {
          const later: LiveBuild = { ...live, stage: { ...stage, deadlineAt: now + deadlines.graceMs } };
          return stepBuildSandbox({ ...state, live: later }, later, input, now);
        }
        case "due": {
          const seconds = Math.round(deadlines.verifyLimitMs / 1000);
          const message = `The candidate was not proved within ${seconds} seconds.`;
          return failVerification(state, live, createFailure("verify_failed", { message, lines: input.lastLines }), now);
        }
      }
      break;
    case "sandbox":
      switch (evaluateDeadline(live.limitAt, now)) {
        case "pending":
          return stepBuildSandbox(state, warned(live, now), input, now);
        case "late": {
          const later = { ...live, limitAt: now + deadlines.graceMs };
          return stepBuildSandbox({ ...state, live: later }, later, input, now);
        }
        case "due":
          return failBuild(state, live, overdue(live, stage.life, input.lastLines), now);
      }
  }
}

/** The log is told once that the limit is near. */
function warned(live: LiveBuild, now: number): LiveBuild {
  if (live.warnAt === null || now < live.warnAt) return live;
  const share = Math.round(limits.warnAtShare * 100);
  const note = `${share} % of the build's limit of ${Math.round(live.limitMs / 60_000)} minutes are used${at(live)}.`;
  return { ...live, warnAt: null, note };
}

function at(live: LiveBuild): string {
  const phase = runningPhase(live.phases);
  return phase ? `; it is at ${phase}` : "";
}

function overdue(live: LiveBuild, life: Extract<LiveBuild["stage"], { at: "sandbox" }>["life"], lines: string[]): Failure {
  if (life.at === "creating" && life.baseSaid !== undefined) return baseNotReady(life.baseSaid);
  const phase = runningPhase(live.phases);
  if (life.at === "creating" || life.at === "starting") {
    const message = "The sandbox gateway did not give the build a sandbox within the build's limit.";
    return createFailure("gateway_unavailable", { phase, message });
  }
  const message = `The build reached its limit of ${Math.round(live.limitMs / 1000)} seconds${phase ? ` during ${phase}` : ""}.`;
  return createFailure("build_timeout", { phase, lines, message });
}

function applyEvent(state: ScopeState, live: LiveBuild, event: RuntimeEvent, now: number): BuildStep {
  const { stage } = live;
  if (stage.at === "verifying") return applyVerifyEvent(state, live, stage, event, now);
  if (stage.at !== "sandbox" || stage.life.at !== "up") return going(state, live);
  const phases = applyPhaseEvent(live.phases, event, now);
  if (phases) return going(state, { ...live, phases });
  switch (event.type) {
    case "workspace.synced":
      return going(state, { ...live, sha: event.sha });
    case "build.inputs":
      return going(state, { ...live, inputs: live.ground && buildInputsOf(event.inputs, live.ground), file: event.file });
    case "build.outdated":
      return live.mode === "incremental" ? buildInFull(state, live, "setup_changed", null, now) : going(state, live);
    case "failed":
      return failBuild(state, live, event.failure, now);
    case "build.finished": {
      const { sandboxId, runtimeVersion, runtimeRevision, attempt } = stage.life;
      const deadlineAt = now + deadlines.snapshotLimitMs;
      const next: LiveBuild = {
        ...live,
        sha: event.sha,
        sizeBytes: event.sizeBytes ?? null,
        phases: startPhase(live.phases, "snapshot", now),
        stage: { at: "snapshotting", attempt, sandboxId, runtimeVersion, runtimeRevision, sha: event.sha, deadlineAt },
      };
      return going(state, next, [{ type: "snapshot", attempt, sandboxId }]);
    }
    default:
      return going(state, live);
  }
}

function finishSnapshot(
  state: ScopeState,
  live: LiveBuild,
  input: Extract<ImageInput, { type: "snapshot.taken" | "snapshot.failed" }>,
  now: number,
): BuildStep {
  const { stage } = live;
  if (stage.at !== "snapshotting" || stage.attempt !== input.attempt) {
    const isKnown = input.type === "snapshot.failed" || isCandidate(live, input.providerImageId);
    return going(state, live, isKnown ? [] : [{ type: "image.delete", providerImageId: input.providerImageId, imageId: null }]);
  }
  if (input.type === "snapshot.failed") return failBuild(state, live, gatewayFailure(input.failure, "snapshot"), now);
  const { previous } = live;
  const image: StoredImage = {
    id: live.imageId,
    buildId: live.id,
    providerImageId: input.providerImageId,
    sha: stage.sha,
    branch: live.branch,
    createdAt: now,
    expiresAt: now + deadlines.imageTtlMs,
    buildMs: now - live.startedAt,
    runtimeVersion: stage.runtimeVersion,
    runtimeRevision: stage.runtimeRevision,
    bridgeProtocol: bridgeProtocolVersion,
    order: live.order,
    mode: live.mode ?? "full",
    modeReason: live.modeReason ?? "first_image",
    chainDepth: previous ? previous.chainDepth + 1 : 0,
    fullAt: previous ? previous.fullAt : now,
    inputs: live.inputs,
    ignorePaths: live.file?.ignorePaths ?? [],
    sizeBytes: live.sizeBytes,
  };
  const [attempt = "", ...attempts] = live.attempts;
  const phases = startPhase(endPhase(live.phases, "snapshot", "done", input.durationMs, now), "verify", now);
  const deadlineAt = now + deadlines.verifyLimitMs;
  const life = { at: "creating", attempt, startedAt: now } as const;
  const next: LiveBuild = { ...live, attempts, phases, stage: { at: "verifying", life, phases: [], image, deadlineAt } };
  return going(state, next, [
    ...endStage(live),
    createEffect(state, live, {
      attempt,
      name: `verify-${live.id}${live.modeReason === "incremental_failed" ? "-full" : ""}`,
      source: { kind: "image", providerImageId: image.providerImageId },
      lifetimeMs: deadlines.verifyLimitMs + deadlines.sandboxMarginMs,
    }),
  ]);
}

function isCandidate({ stage }: LiveBuild, providerImageId: string): boolean {
  return (stage.at === "verifying" || stage.at === "publishing") && stage.image.providerImageId === providerImageId;
}

function applyVerifyEvent(
  state: ScopeState,
  live: LiveBuild,
  stage: Extract<LiveBuild["stage"], { at: "verifying" }>,
  event: RuntimeEvent,
  now: number,
): BuildStep {
  if (stage.life.at !== "up") return going(state, live);
  switch (event.type) {
    case "failed":
      return failVerification(state, live, event.failure, now);
    case "verify.finished": {
      if (event.sha !== stage.image.sha) {
        const message = `The image has commit ${event.sha.slice(0, 7)} instead of ${stage.image.sha.slice(0, 7)}.`;
        return failVerification(state, live, createFailure("verify_failed", { message }), now);
      }
      const phase = live.phases.find((record) => record.phase === "verify");
      const detail = event.verifyRan ? ".openinspect/verify.sh passed" : "commit and runtime";
      const phases = endPhase(live.phases, "verify", "done", now - (phase?.startedAt ?? now), now, detail);
      const step = publish(state, { ...live, phases }, stage.image);
      return { ...step, effects: [...endSandbox(stage.life), ...step.effects] };
    }
    default:
      return going(state, live);
  }
}

/** Whatever kept a sandbox from starting from the candidate is told as such: sessions would meet the same. */
function failVerification(state: ScopeState, live: LiveBuild, cause: Failure, now: number): BuildStep {
  const ours: readonly FailureCode[] = ["gateway_unavailable", "verify_failed"];
  const failure = ours.includes(cause.code)
    ? { ...cause, phase: "verify" as const }
    : createFailure("verify_failed", {
        phase: "verify",
        message: `A sandbox from the candidate image did not come up: ${cause.message}`,
        lines: cause.lines,
        exitCode: cause.exitCode,
      });
  return failBuild(state, live, failure, now);
}

function publish(state: ScopeState, live: LiveBuild, image: StoredImage): BuildStep & { ended: null } {
  const serve = state.pin === null;
  const next: LiveBuild = { ...live, stage: { at: "publishing", image, serve } };
  return { state: { ...state, live: next }, effects: [{ type: "image.activate", image, order: live.order, serve }], ended: null };
}

function finishPublishing(
  state: ScopeState,
  live: LiveBuild,
  input: Extract<ImageInput, { type: "image.activated" }>,
  now: number,
): BuildStep {
  const { stage } = live;
  if (stage.at !== "publishing" || live.imageId !== input.imageId) return going(state, live);
  const { image, serve } = stage;
  if (serve && !input.activated) {
    return finishBuild(
      state,
      live,
      { status: "superseded", failure: null },
      now,
      candidateOf(state, live) ? [deletion(image)] : [],
    );
  }
  const images = [image, ...state.images.filter((one) => one.id !== image.id)];
  // A person may have pinned another image while the database was asked; its own write came after this one.
  const activeId = serve && state.pin === null ? image.id : state.activeId;
  return finishBuild({ ...state, images, activeId, failing: null }, live, { status: "ready", failure: null }, now);
}

export function slotRequest(state: ScopeState, { id, trigger, requestedAt }: LiveBuild): ImageEffect {
  const scope = state.target ? imageScopeOf(state.target) : "";
  return { type: "slot.request", buildId: id, scope, owner: state.target?.owner.toLowerCase() ?? "", trigger, requestedAt };
}
