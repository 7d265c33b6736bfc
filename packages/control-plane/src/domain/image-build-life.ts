/**
 * How a build gets its sandbox and how it ends: opening, giving up, beginning anew in full, and what is given back in every case. When any of
 * this is to happen is decided in `image-build.ts`. Pure: no clock, no storage, no sockets.
 */
import { type Failure, type FailureCode, imageScopeOf, type ModeReason } from "@open-inspect/protocol";
import { type ModeDecision } from "./build-mode.ts";
import { deadlines, limits, wholeSeconds } from "./deadlines.ts";
import { extendSeries } from "./failure-series.ts";
import { type ImageEffect } from "./image-messages.ts";
import { activeImage, type BuildRecord, endedRecord, type LiveBuild, type ScopeState } from "./image-scope-state.ts";
import { type StoredImage } from "./image-selection.ts";
import { failOpenPhases, startPhase } from "./phases.ts";
import { endSandbox, type SandboxEffect } from "./sandbox.ts";

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

export const going = (state: ScopeState, live: LiveBuild, effects: ImageEffect[] = []): BuildStep => ({
  state: { ...state, live },
  effects,
  ended: null,
});

const modeNotes: Record<ModeReason, string> = {
  same_inputs: "Building on the previous image",
  first_image: "Building in full: there is no earlier image to build on.",
  clean_setting: "Building in full: the repository is set to clean builds.",
  base_changed: "Building in full: the base image has changed.",
  runtime_changed: "Building in full: the sandbox runtime has changed.",
  setup_changed: "Building in full: .openinspect/setup.sh has changed.",
  secrets_changed: "Building in full: a secret has changed.",
  settings_changed: "Building in full: the repository's settings have changed.",
  daily: "Building in full: the last full build is a day old.",
  chain_too_deep: `Building in full: the image stands on ${limits.chainDepth} snapshots.`,
  incremental_failed: "Building in full: the build on the previous image did not work.",
};

/** @param suffix of the sandbox's name, so that a build that begins anew does not get its first sandbox back */
export function openSandbox(state: ScopeState, live: LiveBuild, decision: ModeDecision, suffix: string, now: number): BuildStep {
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

export function createEffect(
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
export function buildInFull(state: ScopeState, live: LiveBuild, reason: ModeReason, said: string | null, now: number): BuildStep {
  const candidate = candidateOf(state, live);
  const leftovers: ImageEffect[] = [...endStage(live), ...(candidate ? [deletion(candidate)] : [])];
  const fresh: LiveBuild = { ...live, sha: null, inputs: null, file: null, sizeBytes: null };
  const step = openSandbox(state, fresh, { mode: "full", reason, previous: null }, "-full", now);
  const opened = step.state.live;
  if (!opened || said === null) return { ...step, effects: [...leftovers, ...step.effects] };
  return going(step.state, { ...opened, note: `${said} ${opened.note}` }, [...leftovers, ...step.effects]);
}

export function slotRequest(state: ScopeState, { id, trigger, requestedAt }: LiveBuild): ImageEffect {
  const scope = state.target ? imageScopeOf(state.target) : "";
  const owner = state.target?.owner.toLowerCase() ?? "";
  const servingRevision = activeImage(state)?.runtimeRevision ?? null;
  return { type: "slot.request", buildId: id, scope, owner, trigger, requestedAt, servingRevision };
}
