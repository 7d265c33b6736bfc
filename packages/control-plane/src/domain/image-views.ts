/** How an image scope looks from outside: builds, images and the state of a repository as the API shows them. Pure. */
import { type BuildStatus, type BuildView, type HeadCheck, type ImageState, type ImageView } from "@open-inspect/protocol";
import {
  activeImage,
  type BuildRecord,
  type DroppedBuild,
  type LiveBuild,
  type QueuedBuild,
  type ScopeState,
  settingsOf,
} from "./image-scope-state.ts";
import { type StoredImage } from "./image-selection.ts";
import { evaluateImageStatus } from "./image-status.ts";
import { runningPhase } from "./phases.ts";

type Named = { owner: string; name: string };

function liveStatus({ stage }: LiveBuild): BuildStatus {
  switch (stage.at) {
    case "waiting":
      return "queued";
    case "planning":
      return "provisioning";
    case "sandbox":
      return stage.life.at === "up" ? "running" : "provisioning";
    case "snapshotting":
      return "snapshotting";
    case "verifying":
    case "publishing":
      return "verifying";
  }
}

export function queuedView(queued: QueuedBuild, { owner, name }: Named): BuildView {
  return {
    id: queued.id,
    repository: { owner, name },
    trigger: queued.trigger,
    requestedBy: queued.requestedBy,
    status: "queued",
    phase: null,
    branch: null,
    sha: null,
    fromSha: null,
    mode: null,
    modeReason: null,
    phases: [],
    requestedAt: queued.requestedAt,
    startedAt: null,
    finishedAt: null,
    durationMs: null,
    failure: null,
    tryNumber: queued.tryNumber,
    inputs: null,
    sizeBytes: null,
    imageId: null,
    skipped: null,
  };
}

export function liveView(live: LiveBuild, repository: Named): BuildView {
  const { branch, sha, fromSha, mode, modeReason, phases, inputs, sizeBytes } = live;
  return {
    ...queuedView(live, repository),
    status: liveStatus(live),
    phase: runningPhase(phases),
    ...{ branch, sha, fromSha, mode, modeReason, phases, inputs, sizeBytes },
    startedAt: live.stage.at === "waiting" ? null : live.startedAt,
  };
}

export function recordView(record: BuildRecord, repository: Named): BuildView {
  const { status, branch, sha, fromSha, mode, modeReason, phases, inputs, sizeBytes, failure, startedAt, finishedAt } = record;
  return {
    ...queuedView(record, repository),
    ...{ status, branch, sha, fromSha, mode, modeReason, phases, inputs, sizeBytes, failure, startedAt, finishedAt },
    durationMs: finishedAt - startedAt,
    imageId: status === "ready" ? record.imageId : null,
  };
}

export function droppedView({ queued, skipped, at }: DroppedBuild, repository: Named): BuildView {
  return {
    ...queuedView(queued, repository),
    status: skipped ? "skipped" : "cancelled",
    sha: queued.headSha,
    finishedAt: at,
    skipped: skipped && { reason: skipped, count: 1 },
  };
}

/** The builds that the state speaks of: the one that runs, the one that waits, the one that ended last. */
export function buildViews(state: ScopeState): BuildView[] {
  const { target, live, next, last } = state;
  if (!target) return [];
  return [
    ...(live ? [liveView(live, target)] : []),
    ...(next ? [queuedView(next, target)] : []),
    ...(last ? [recordView(last, target)] : []),
  ];
}

export function imageView(image: StoredImage): ImageView {
  const { id, buildId, sha, branch, createdAt, expiresAt, mode, modeReason, chainDepth, inputs, sizeBytes } = image;
  const { buildMs, runtimeVersion } = image;
  return {
    ...{ id, buildId, sha, branch, createdAt, expiresAt, mode, modeReason, chainDepth, inputs, sizeBytes },
    ...{ buildMs, runtimeVersion },
  };
}

/** @param lastCheck what the scheduler saw last; it is not the scope's own knowledge */
export function imageStateOf(state: ScopeState, lastCheck: HeadCheck | null): ImageState {
  const [latestBuild = null] = buildViews(state);
  const active = activeImage(state);
  const { enabled, pin, failing } = state;
  return {
    enabled,
    status: evaluateImageStatus({ enabled, hasImage: active !== null, latestBuild: latestBuild?.status ?? null }),
    active: active && imageView(active),
    latestBuild,
    lastCheck,
    pin,
    failing: failing && {
      count: failing.count,
      firstSha: failing.firstSha,
      firstAt: failing.firstAt,
      nextTryAt: failing.nextTryAt,
    },
    settings: settingsOf(state),
  };
}
