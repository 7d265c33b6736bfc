/** What an image scope remembers. Pure data: how it looks from outside is in `image-views.ts`, the decisions in `image-scope.ts` and `image-build.ts`. */
import {
  type BuildInputs,
  type BuildMode,
  type BuildStatus,
  type BuildTrigger,
  type Failure,
  type ImageSettings,
  type ModeReason,
  type PhaseRecord,
  type Pin,
  type RepositoryImageFile,
  type SkipReason,
} from "@open-inspect/protocol";
import { type StoredImage } from "./image-selection.ts";
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
  /** names of the lives that its sandboxes may have: build, verification, and both again for a build that has to begin anew */
  attempts: string[];
  order: number;
  trigger: BuildTrigger;
  requestedBy: string | null;
  requestedAt: number;
  limitMs: number;
  /** the head that it was asked for; null where nobody looked */
  headSha: string | null;
  tryNumber: number;
}

/** What is known of the ground that a build would stand on. */
export interface BuildGround {
  /** the gateway's base image by the provider's id; null while it is not built */
  base: string | null;
  runtimeVersion: string;
  secretsVersion: number;
  /** digest of the scope's own settings that decide what an image holds; the gateway does not know it */
  settings?: string;
}

export type BuildStage =
  /** for a slot among the running builds; asked for again at `askAgainAt` */
  | { at: "waiting"; askAgainAt: number }
  /** for the gateway to say what a build would stand on */
  | { at: "planning" }
  | { at: "sandbox"; life: SandboxLife }
  | {
      at: "snapshotting";
      attempt: string;
      sandboxId: string;
      runtimeVersion: string;
      runtimeRevision: number;
      sha: string;
      deadlineAt: number;
    }
  /** a throw-away sandbox from the candidate; its own phases are not the build's */
  | { at: "verifying"; life: SandboxLife; phases: PhaseRecord[]; image: StoredImage; deadlineAt: number }
  | { at: "publishing"; image: StoredImage; serve: boolean };

export interface LiveBuild extends QueuedBuild {
  branch: string;
  cloneUrl: string;
  /** when it got its slot; means nothing while it waits */
  startedAt: number;
  limitAt: number;
  /** when the log is told that the limit is near; null when it was */
  warnAt: number | null;
  sha: string | null;
  fromSha: string | null;
  mode: BuildMode | null;
  modeReason: ModeReason | null;
  ground: BuildGround | null;
  /** the image that an incremental build starts from */
  previous: StoredImage | null;
  inputs: BuildInputs | null;
  file: RepositoryImageFile | null;
  /** the newest sentence of ours for the log */
  note: string | null;
  sizeBytes: number | null;
  phases: PhaseRecord[];
  stage: BuildStage;
}

/** A build that is over. */
export interface BuildRecord extends Omit<LiveBuild, "stage" | "ground" | "previous" | "limitAt" | "warnAt"> {
  finishedAt: number;
  status: Extract<BuildStatus, "ready" | "failed" | "cancelled" | "superseded">;
  failure: Failure | null;
}

/** A build that was remembered and never began. */
export interface DroppedBuild {
  queued: QueuedBuild;
  /** null: a person cancelled it, or switched the images off */
  skipped: SkipReason | null;
  at: number;
}

/** Builds that failed since the last good one. */
export interface FailureSeries {
  count: number;
  firstSha: string | null;
  firstAt: number;
  /** the commit that failed last, and how often in a row; null when none was known */
  sha: string | null;
  triesOfSha: number;
  nextTryAt: number;
}

export interface ScopeState {
  /** null: nobody has ever named this repository here */
  target: Target | null;
  enabled: boolean;
  /** null: nobody has changed them */
  settings: ImageSettings | null;
  /** the order of the newest request */
  order: number;
  live: LiveBuild | null;
  /** the one trigger that is remembered while a build runs */
  next: QueuedBuild | null;
  last: BuildRecord | null;
  dropped: DroppedBuild | null;
  /** good images at the provider, newest first */
  images: StoredImage[];
  activeId: string | null;
  pin: Pin | null;
  failing: FailureSeries | null;
  /** while switched off: until when the images are kept for whoever switches on again; null while nothing is kept */
  dormantUntil: number | null;
}

export const emptyScope: ScopeState = {
  target: null,
  enabled: false,
  settings: null,
  order: 0,
  live: null,
  next: null,
  last: null,
  dropped: null,
  images: [],
  activeId: null,
  pin: null,
  failing: null,
  dormantUntil: null,
};

export const defaultImageSettings: ImageSettings = { limitMinutes: 30, keptImages: 3, rebuildMode: "auto" };

export const settingsOf = (state: ScopeState): ImageSettings => state.settings ?? defaultImageSettings;

export const activeImage = (state: ScopeState): StoredImage | null =>
  state.images.find((image) => image.id === state.activeId) ?? null;

/** The attempt that may speak for the build now; null while it has no sandbox. */
export function attemptOf(live: LiveBuild | null): string | null {
  switch (live?.stage.at) {
    case "sandbox":
    case "verifying":
      return live.stage.life.attempt;
    case "snapshotting":
      return live.stage.attempt;
    case "waiting":
    case "planning":
    case "publishing":
    case undefined:
      return null;
  }
}

export function endedRecord(
  live: LiveBuild,
  end: { status: BuildRecord["status"]; failure: Failure | null; phases: PhaseRecord[]; now: number },
): BuildRecord {
  const { stage: _stage, ground: _ground, previous: _previous, limitAt: _limitAt, warnAt: _warnAt, ...known } = live;
  const { now, ...rest } = end;
  return { ...known, ...rest, startedAt: live.stage.at === "waiting" ? now : live.startedAt, finishedAt: now };
}

/**
 * A stored state as this version knows it. A build that an older version was at cannot be gone on with: its sandbox is ended by
 * the sweeper, and the next tick builds.
 */
export function restoreScope(stored: Partial<ScopeState>): ScopeState {
  const { live = null, next = null, last = null, images = [] } = stored;
  const known = <B extends object>(build: B | null): B | null => (build && "attempts" in build ? build : null);
  return {
    ...emptyScope,
    ...stored,
    live: known(live),
    next: known(next),
    last: known(last),
    images: images.map((image): StoredImage => ({ ...ofOlderVersions(image), ...image })),
  };
}

const ofOlderVersions = ({ createdAt }: Pick<StoredImage, "createdAt">): Partial<StoredImage> => ({
  fullAt: createdAt,
  runtimeRevision: 1,
  order: 0,
  mode: "full",
  modeReason: "first_image",
  chainDepth: 0,
  inputs: null,
  ignorePaths: [],
  sizeBytes: null,
});
