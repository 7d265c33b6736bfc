/** The words and the colour that every state of the protocol has on the pages. Pure data; the compiler keeps it complete. */
import {
  type BuildMode,
  type BuildStatus,
  type BuildTrigger,
  type BuildView,
  type HeadCheck,
  type ImageState,
  type ImageStatus,
  type KeptImage,
  type ModeReason,
  type Phase,
  type PromptView,
  type PullRequest,
  type SessionStatus,
  type SkipReason,
} from "@open-inspect/protocol";

export type Tone = "ok" | "warn" | "bad" | "accent" | "neutral";
interface Word {
  word: string;
  tone: Tone;
  /** something is going on: the dot pulses */
  busy?: boolean;
}

export const imageWords: Record<ImageStatus, Word> = {
  ready: { word: "Ready", tone: "ok" },
  building: { word: "Building", tone: "warn", busy: true },
  failed: { word: "Failed", tone: "bad" },
  none: { word: "No image", tone: "neutral" },
  disabled: { word: "Disabled", tone: "neutral" },
};

/** What a repository's image means to someone who is about to start a session: an image that serves outweighs what its newest build does. */
export function startWord(image: ImageState): Word {
  if (image.enabled && image.active !== null) return { word: "Prebuilt", tone: "ok" };
  if (image.status === "building" || image.status === "failed") return imageWords[image.status];
  return imageWords.none;
}

export const sessionWords: Record<SessionStatus, Word> = {
  created: { word: "Created", tone: "warn", busy: true },
  connecting: { word: "Connecting", tone: "warn", busy: true },
  syncing: { word: "Starting", tone: "warn", busy: true },
  ready: { word: "Ready", tone: "ok" },
  snapshotting: { word: "Saving", tone: "neutral", busy: true },
  stopping: { word: "Stopping", tone: "neutral", busy: true },
  stopped: { word: "Stopped", tone: "neutral" },
  failed: { word: "Failed", tone: "bad" },
};

export const buildWords: Record<BuildStatus, Word> = {
  queued: { word: "Queued", tone: "warn", busy: true },
  provisioning: { word: "Provisioning", tone: "warn", busy: true },
  running: { word: "Running", tone: "warn", busy: true },
  snapshotting: { word: "Saving the snapshot", tone: "warn", busy: true },
  verifying: { word: "Verifying", tone: "warn", busy: true },
  ready: { word: "Ready", tone: "ok" },
  failed: { word: "Failed", tone: "bad" },
  cancelled: { word: "Cancelled", tone: "neutral" },
  superseded: { word: "Superseded", tone: "neutral" },
  skipped: { word: "Skipped", tone: "neutral" },
};

export const promptWords: Record<PromptView["status"], Word> = {
  queued: { word: "Queued", tone: "neutral" },
  running: { word: "Working", tone: "warn", busy: true },
  done: { word: "Done", tone: "ok" },
  stopped: { word: "Stopped", tone: "neutral" },
  failed: { word: "Failed", tone: "bad" },
  cancelled: { word: "Cancelled", tone: "neutral" },
};

export const pullRequestWords: Record<PullRequest["state"], Word> = {
  draft: { word: "Draft", tone: "neutral" },
  open: { word: "Open", tone: "ok" },
  merged: { word: "Merged", tone: "accent" },
  closed: { word: "Closed", tone: "bad" },
};

export const phaseNames: Record<Phase, string> = {
  sandbox: "Create sandbox",
  connect: "Connect",
  clone: "Clone",
  sync: "Git sync",
  setup: "Setup script",
  start: "Start script",
  agent: "Agent start",
  refresh: "Refresh script",
  snapshot: "Save snapshot",
  verify: "Verify",
};

export const phaseActivities: Record<Phase, string> = {
  sandbox: "creating the sandbox",
  connect: "connecting",
  clone: "cloning",
  sync: "syncing git",
  setup: "running setup.sh",
  start: "running start.sh",
  agent: "starting the agent",
  refresh: "running refresh.sh",
  snapshot: "saving the snapshot",
  verify: "verifying the image",
};

/** What a build is doing now, in words. */
export function describeActivity(build: BuildView): string {
  if (build.phase !== null) return phaseActivities[build.phase];
  if (build.status === "queued") return "waiting to start";
  if (build.status === "verifying") return phaseActivities.verify;
  return build.status === "snapshotting" ? phaseActivities.snapshot : "starting";
}

export const triggerWords: Record<BuildTrigger, string> = {
  enable: "Switched on",
  schedule: "Scheduled check",
  push: "Push",
  refresh: "Rebuild by hand",
  configuration: "Changed settings",
};

export const modeWords: Record<BuildMode, string> = { full: "Full build", incremental: "Incremental build" };

/** Beside the mode in a list. */
export const modeReasonNotes: Record<ModeReason, string> = {
  same_inputs: "same inputs",
  first_image: "first image",
  clean_setting: "set to clean",
  base_changed: "new base image",
  runtime_changed: "new runtime",
  setup_changed: "setup.sh changed",
  secrets_changed: "secrets changed",
  settings_changed: "settings changed",
  daily: "regular full build",
  chain_too_deep: "too many snapshots on one another",
  incremental_failed: "incremental build failed",
};

/** The same as clauses: why it was this mode. */
export const modeReasonWords: Record<ModeReason, string> = {
  same_inputs: "base image, runtime, setup, secrets and settings are the ones of the image before",
  first_image: "there was no image to build on",
  clean_setting: "the repository is set to build from the base each time",
  base_changed: "the base image has changed",
  runtime_changed: "the runtime has a new version",
  setup_changed: "setup.sh has changed",
  secrets_changed: "a secret has changed",
  settings_changed: "the repository's settings have changed",
  daily: "the last full build was long enough ago",
  chain_too_deep: "too many snapshots stood on one another",
  incremental_failed: "the incremental build had failed",
};

export const skipWords: Record<SkipReason, string> = {
  unchanged: "No new commit",
  ignored_paths: "Only ignored paths have changed",
  pinned: "An image is pinned",
  backing_off: "Waiting before the next try",
  archived: "The repository is archived",
};

export const keptWords: Record<KeptImage["state"], Word> = {
  active: { word: "Active", tone: "ok" },
  kept: { word: "Kept", tone: "neutral" },
  retired: { word: "Retired", tone: "neutral" },
};

export const checkWords: Record<HeadCheck["outcome"], string> = {
  unchanged: "unchanged",
  moved: "new commits, rebuilding",
  retried: "failed build retried",
  renewed: "image renewed",
  building: "a build was running",
  ignored_paths: "only ignored paths changed",
  pinned: "an image is pinned",
  backing_off: "waiting before the next try",
  archived: "the repository is archived",
  unavailable: "the branch could not be read",
};

const finalBuildStatuses: readonly BuildStatus[] = ["ready", "failed", "cancelled", "superseded", "skipped"];
export const isBuildFinal = (build: BuildView): boolean => finalBuildStatuses.includes(build.status);
export const isSessionEnded = (status: SessionStatus): boolean => status === "stopped" || status === "failed";
