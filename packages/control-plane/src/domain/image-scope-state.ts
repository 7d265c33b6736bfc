/** What an image scope remembers, and how it looks from outside. Pure data; the decisions are in `image-build.ts`. */
import {
  type BuildStatus,
  type BuildTrigger,
  type BuildView,
  type Failure,
  type HeadCheck,
  type ImageState,
  type ImageView,
  type PhaseRecord,
  type RepositoryView,
} from "@open-inspect/protocol";
import { type StoredImage } from "./image-selection.ts";
import { evaluateImageStatus } from "./image-status.ts";
import { runningPhase } from "./phases.ts";
import { type SandboxLife } from "./sandbox.ts";

/** The repository that a scope builds. `branch` is null while it has none. */
export interface Target {
  owner: string;
  name: string;
  branch: string | null;
  private: boolean;
  cloneUrl: string;
  installationId: number;
}

/** A build that was asked for. `order` rises with every request of the scope. */
export interface QueuedBuild {
  id: string;
  imageId: string;
  attempt: string;
  order: number;
  trigger: BuildTrigger;
  requestedAt: number;
  limitMs: number;
}

export interface LiveBuild extends QueuedBuild {
  branch: string;
  cloneUrl: string;
  startedAt: number;
  limitAt: number;
  sha: string | null;
  phases: PhaseRecord[];
  stage:
    | { at: "sandbox"; life: SandboxLife }
    | { at: "snapshotting"; sandboxId: string; runtimeVersion: string; sha: string; deadlineAt: number }
    | { at: "publishing"; sandboxId: string; image: StoredImage };
}

/** A build that is over. */
export interface BuildRecord extends QueuedBuild {
  branch: string;
  startedAt: number;
  finishedAt: number;
  sha: string | null;
  phases: PhaseRecord[];
  status: Extract<BuildStatus, "ready" | "failed" | "cancelled" | "superseded">;
  failure: Failure | null;
}

export interface ScopeState {
  /** null: nobody has ever named this repository here */
  target: Target | null;
  enabled: boolean;
  /** the order of the newest request */
  order: number;
  live: LiveBuild | null;
  /** the one trigger that is remembered while a build runs */
  next: QueuedBuild | null;
  last: BuildRecord | null;
  /** ready images at the provider, newest first */
  images: StoredImage[];
  activeId: string | null;
  lastCheck: HeadCheck | null;
}

export const emptyScope: ScopeState = {
  target: null,
  enabled: false,
  order: 0,
  live: null,
  next: null,
  last: null,
  images: [],
  activeId: null,
  lastCheck: null,
};

export function endedRecord(
  live: LiveBuild,
  end: { status: BuildRecord["status"]; failure: Failure | null; phases: PhaseRecord[]; now: number },
): BuildRecord {
  const { id, imageId, attempt, order, trigger, requestedAt, limitMs, branch, startedAt, sha } = live;
  const { status, failure, phases, now } = end;
  return {
    id,
    imageId,
    attempt,
    order,
    trigger,
    requestedAt,
    limitMs,
    branch,
    startedAt,
    sha,
    status,
    failure,
    phases,
    finishedAt: now,
  };
}

type Named = { owner: string; name: string };

function liveStatus(live: LiveBuild): BuildStatus {
  if (live.stage.at !== "sandbox") return "snapshotting";
  return live.stage.life.at === "up" ? "running" : "provisioning";
}

const named = ({ owner, name }: Named): Named => ({ owner, name });

export function liveView(live: LiveBuild, repository: Named): BuildView {
  return {
    id: live.id,
    repository: named(repository),
    trigger: live.trigger,
    status: liveStatus(live),
    phase: runningPhase(live.phases),
    branch: live.branch,
    sha: live.sha,
    phases: live.phases,
    requestedAt: live.requestedAt,
    startedAt: live.startedAt,
    finishedAt: null,
    durationMs: null,
    failure: null,
    imageId: null,
  };
}

export function queuedView(queued: QueuedBuild, repository: Named): BuildView {
  return {
    id: queued.id,
    repository: named(repository),
    trigger: queued.trigger,
    status: "queued",
    phase: null,
    branch: null,
    sha: null,
    phases: [],
    requestedAt: queued.requestedAt,
    startedAt: null,
    finishedAt: null,
    durationMs: null,
    failure: null,
    imageId: null,
  };
}

export function recordView(record: BuildRecord, repository: Named): BuildView {
  return {
    id: record.id,
    repository: named(repository),
    trigger: record.trigger,
    status: record.status,
    phase: null,
    branch: record.branch,
    sha: record.sha,
    phases: record.phases,
    requestedAt: record.requestedAt,
    startedAt: record.startedAt,
    finishedAt: record.finishedAt,
    durationMs: record.finishedAt - record.startedAt,
    failure: record.failure,
    imageId: record.status === "ready" ? record.imageId : null,
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
  const { id, buildId, sha, branch, createdAt, buildMs, runtimeVersion } = image;
  return { id, buildId, sha, branch, createdAt, buildMs, runtimeVersion };
}

export function imageStateOf(state: ScopeState): ImageState {
  const [latestBuild = null] = buildViews(state);
  const active = state.images.find((image) => image.id === state.activeId) ?? null;
  return {
    enabled: state.enabled,
    status: evaluateImageStatus({ enabled: state.enabled, hasImage: active !== null, latestBuild: latestBuild?.status ?? null }),
    active: active && imageView(active),
    latestBuild,
    lastCheck: state.lastCheck,
  };
}

export function repositoryViewOf(state: ScopeState): RepositoryView | null {
  const { target } = state;
  if (!target) return null;
  return {
    owner: target.owner,
    name: target.name,
    defaultBranch: target.branch,
    private: target.private,
    cloneUrl: target.cloneUrl,
    image: imageStateOf(state),
  };
}
