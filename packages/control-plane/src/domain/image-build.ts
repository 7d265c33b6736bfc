/**
 * What one running build decides, from its slot to its snapshot: plan, sandbox, events, deadlines. Every way out goes through
 * `finishBuild`, which hands over to the scope; the way from the snapshot on is in `image-publishing.ts`. Pure: no clock, no storage, no sockets.
 */
import { type Failure, type RuntimeEvent } from "@open-inspect/protocol";
import { decideMode, isCurrent } from "./build-mode.ts";
import { deadlines, evaluateDeadline, limits } from "./deadlines.ts";
import { createFailure } from "./failures.ts";
import { baseNotReady, gatewayFailure } from "./gateway-failures.ts";
import { type BuildStep, buildInFull, failBuild, going, type ImageStep, openSandbox, slotRequest } from "./image-build-life.ts";
import { buildInputsOf, settingsDigestOf } from "./image-inputs.ts";
import { type ImageInput } from "./image-messages.ts";
import { applyVerifyEvent, failVerification, finishPublishing, finishSnapshot, publish } from "./image-publishing.ts";
import { attemptOf, type BuildGround, type LiveBuild, type ScopeState, settingsOf } from "./image-scope-state.ts";
import { applyPhaseEvent, runningPhase, startPhase } from "./phases.ts";
import { endOrphan, type Launch, type SandboxInput, stepSandbox } from "./sandbox.ts";

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

function startBuild(state: ScopeState, live: LiveBuild, found: BuildGround, now: number): BuildStep {
  const ground: BuildGround = { ...found, settings: settingsDigestOf(settingsOf(state)) };
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
