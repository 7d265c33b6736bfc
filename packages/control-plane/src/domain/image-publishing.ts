/** A build's way from its snapshot to the active image: the candidate is stored, proved by a throw-away sandbox, and switched to. Pure. */
import { bridgeProtocolVersion, type Failure, type FailureCode, type RuntimeEvent } from "@open-inspect/protocol";
import { deadlines } from "./deadlines.ts";
import { createFailure } from "./failures.ts";
import { gatewayFailure } from "./gateway-failures.ts";
import {
  type BuildStep,
  candidateOf,
  createEffect,
  deletion,
  endStage,
  failBuild,
  finishBuild,
  going,
} from "./image-build-life.ts";
import { type ImageEffect, type ImageInput } from "./image-messages.ts";
import { type LiveBuild, type ScopeState } from "./image-scope-state.ts";
import { type StoredImage } from "./image-selection.ts";
import { endPhase, startPhase } from "./phases.ts";
import { endSandbox } from "./sandbox.ts";

export function finishSnapshot(
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

export function applyVerifyEvent(
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
export function failVerification(state: ScopeState, live: LiveBuild, cause: Failure, now: number): BuildStep {
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

export function publish(state: ScopeState, live: LiveBuild, image: StoredImage): BuildStep & { ended: null } {
  const serve = state.pin === null;
  const next: LiveBuild = { ...live, stage: { at: "publishing", image, serve } };
  return { state: { ...state, live: next }, effects: [{ type: "image.activate", image, order: live.order, serve }], ended: null };
}

export function finishPublishing(
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
  const activeId = state.pin === null ? image.id : state.activeId;
  // A pin that ended while the database was asked has left its own image there.
  const late: ImageEffect[] = !serve && state.pin === null ? [{ type: "image.serve", imageId: image.id }] : [];
  return finishBuild({ ...state, images, activeId, failing: null }, live, { status: "ready", failure: null }, now, late);
}
