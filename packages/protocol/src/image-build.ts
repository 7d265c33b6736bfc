/** What a build of an image is on the wire: its states, triggers, phases, failures and log. */
import { z } from "zod";
import {
  branchSchema,
  buildIdSchema,
  digestSchema,
  durationMsSchema,
  imageIdSchema,
  repositoryPathSchema,
  shaSchema,
  timestampSchema,
} from "./ids.ts";

/** A build's life. The last five are final; `skipped` is a comparison of heads after which there was nothing to build. */
export const buildStatuses = [
  "queued",
  "provisioning",
  "running",
  "snapshotting",
  "verifying",
  "ready",
  "failed",
  "cancelled",
  "superseded",
  "skipped",
] as const;
export type BuildStatus = (typeof buildStatuses)[number];

/**
 * Why a build began. `schedule` is the Cron's commit comparison, `push` GitHub's webhook, `refresh` a person's button,
 * `configuration` a change of the repository's settings.
 */
export const buildTriggers = ["enable", "schedule", "push", "refresh", "configuration"] as const;
export const buildTriggerSchema = z.enum(buildTriggers);
export type BuildTrigger = z.infer<typeof buildTriggerSchema>;

/**
 * The steps of a build or of a session's boot, in the order in which they may happen:
 * `sandbox` create at the provider · `connect` start of the runtime until its bridge is connected · `clone` of an empty
 * workspace · `sync` fetch + hard reset + clean of an existing one · `setup` `.openinspect/setup.sh` · `start`
 * or, in an incremental build that has one, `.openinspect/refresh.sh` · `start` `.openinspect/start.sh` · `agent` until the agent is
 * healthy · `snapshot` of the filesystem · `verify` a throw-away sandbox that starts from the candidate.
 */
export const phases = [
  "sandbox",
  "connect",
  "clone",
  "sync",
  "setup",
  "start",
  "agent",
  "refresh",
  "snapshot",
  "verify",
] as const;
export const phaseSchema = z.enum(phases);
export type Phase = z.infer<typeof phaseSchema>;

/** One phase as it happened. `skipped` says that it had nothing to do, with the reason in `detail`. */
export const phaseRecordSchema = z.object({
  phase: phaseSchema,
  startedAt: timestampSchema,
  /** null while it runs */
  durationMs: durationMsSchema.nullable(),
  outcome: z.enum(["running", "done", "failed", "skipped"]),
  detail: z.string().optional(),
});
export type PhaseRecord = z.infer<typeof phaseRecordSchema>;

/** Why a build or a session failed; the closed list that pages and docs explain. */
export const failureCodes = [
  "repository_not_found",
  "repository_empty",
  "branch_not_found",
  "credentials_refused",
  "gateway_unavailable",
  "base_not_ready",
  "sandbox_create_failed",
  "image_missing",
  "runtime_never_connected",
  "sandbox_lost",
  "clone_failed",
  "sync_failed",
  "setup_failed",
  "setup_not_executable",
  "out_of_memory",
  "disk_full",
  "configuration_invalid",
  "verify_failed",
  "start_failed",
  "agent_failed",
  "snapshot_failed",
  "build_timeout",
  "start_timeout",
  "starts_suspended",
  "internal",
] as const;
export const failureCodeSchema = z.enum(failureCodes);
export type FailureCode = z.infer<typeof failureCodeSchema>;

/** The most lines of output that a failure carries. */
export const failureLinesMax = 40;

/** A failure that a person can act on: one sentence, what to do, and the lines that matter. */
export const failureSchema = z.object({
  code: failureCodeSchema,
  message: z.string(),
  hint: z.string(),
  /** the phase in which it happened, null when none had begun */
  phase: phaseSchema.nullable(),
  /** the last lines that were printed before it, oldest first, ANSI colours removed */
  lines: z.array(z.string()).max(failureLinesMax),
  exitCode: z.number().int().nullable(),
});
export type Failure = z.infer<typeof failureSchema>;

/** How a build makes its image: from the base, or from the previous image on warm caches. */
export const buildModes = ["full", "incremental"] as const;
export const buildModeSchema = z.enum(buildModes);
export type BuildMode = z.infer<typeof buildModeSchema>;

/** Why a build was full or incremental; the closed list that pages explain. `same_inputs` is the only reason for an incremental one. */
export const modeReasons = [
  "same_inputs",
  "first_image",
  "clean_setting",
  "base_changed",
  "runtime_changed",
  "setup_changed",
  "secrets_changed",
  "settings_changed",
  "daily",
  "chain_too_deep",
  "incremental_failed",
] as const;
export const modeReasonSchema = z.enum(modeReasons);
export type ModeReason = z.infer<typeof modeReasonSchema>;

/** The most files that are listed one by one in an image's inputs. */
export const inputFilesMax = 200;

/** What the runtime finds in the workspace that an image depends on. Digests are SHA-256 of the contents. */
export const workspaceInputsSchema = z.object({
  /** `.openinspect/setup.sh`, null where there is none */
  setup: digestSchema.nullable(),
  /** `.openinspect/refresh.sh`, null where there is none */
  refresh: digestSchema.nullable(),
  /** lockfiles, or what the globs of `.openinspect/image.json` name; sorted by path */
  files: z.array(z.object({ path: repositoryPathSchema, digest: digestSchema })).max(inputFilesMax),
  /** so many more files fit the globs than are listed */
  omittedFiles: z.number().int().nonnegative(),
  /** of the paths and contents of those, as git knows them; absent where there are none */
  omittedDigest: digestSchema.optional(),
});
export type WorkspaceInputs = z.infer<typeof workspaceInputsSchema>;

/** Everything that an image was made of, besides the commit. */
export const buildInputsSchema = workspaceInputsSchema.extend({
  /** SHA-256 of all the rest */
  digest: digestSchema,
  /** the gateway's base image by the provider's id */
  base: z.string(),
  runtimeVersion: z.string(),
  /** rises with every change of a secret that builds see; 0 where there is none */
  secretsVersion: z.number().int().nonnegative(),
  /** of those settings that decide what an image holds; absent in images of before they counted */
  settings: digestSchema.optional(),
});
export type BuildInputs = z.infer<typeof buildInputsSchema>;

/** Why a comparison of heads built nothing. */
export const skipReasons = ["unchanged", "ignored_paths", "pinned", "backing_off", "archived"] as const;
export const skipReasonSchema = z.enum(skipReasons);
export type SkipReason = z.infer<typeof skipReasonSchema>;

/** Who wrote a commit and the first line of its message. */
export const commitInfoSchema = z.object({
  author: z.string().max(200),
  /** the author's login at GitHub; null where GitHub knows none */
  login: z.string().nullable(),
  headline: z.string().max(500),
});
export type CommitInfo = z.infer<typeof commitInfoSchema>;

/** A build as lists and pages show it. */
export const buildViewSchema = z.object({
  id: buildIdSchema,
  repository: z.object({ owner: z.string(), name: z.string() }),
  trigger: buildTriggerSchema,
  /** the person who asked for it, null where nobody did */
  requestedBy: z.string().nullable(),
  status: z.enum(buildStatuses),
  /** the phase that is running now; null before the first and after the last */
  phase: phaseSchema.nullable(),
  branch: branchSchema.nullable(),
  /** the commit that was built; null until the clone is done */
  sha: shaSchema.nullable(),
  /** of `sha`; null or absent where nobody read it */
  commit: commitInfoSchema.nullable().optional(),
  /** the commit of the image that served when the build began: with `sha` the range that it brings in */
  fromSha: shaSchema.nullable(),
  /** null until the build has begun */
  mode: buildModeSchema.nullable(),
  modeReason: modeReasonSchema.nullable(),
  phases: z.array(phaseRecordSchema),
  requestedAt: timestampSchema,
  startedAt: timestampSchema.nullable(),
  finishedAt: timestampSchema.nullable(),
  /** from the start of the sandbox to the active image, null until finished */
  durationMs: durationMsSchema.nullable(),
  failure: failureSchema.nullable(),
  /** 1 unless builds of the same inputs failed before it */
  tryNumber: z.number().int().positive(),
  /** null until the workspace was read */
  inputs: buildInputsSchema.nullable(),
  /** bytes of the workspace and the home folder in the snapshot; null until measured */
  sizeBytes: z.number().int().nonnegative().nullable(),
  imageId: imageIdSchema.nullable(),
  /** of a skipped comparison: why, and how often it came out the same since `requestedAt` */
  skipped: z.object({ reason: skipReasonSchema, count: z.number().int().positive() }).nullable(),
});
export type BuildView = z.infer<typeof buildViewSchema>;

/** An image that sessions can start from. */
export const imageViewSchema = z.object({
  id: imageIdSchema,
  buildId: buildIdSchema,
  sha: shaSchema,
  branch: branchSchema,
  createdAt: timestampSchema,
  /** when the provider drops it */
  expiresAt: timestampSchema,
  mode: buildModeSchema,
  modeReason: modeReasonSchema,
  /** snapshots that it stands on since the last full build; 0 for a full one */
  chainDepth: z.number().int().nonnegative(),
  inputs: buildInputsSchema.nullable(),
  sizeBytes: z.number().int().nonnegative().nullable(),
  /** how long its build took */
  buildMs: durationMsSchema,
  /** content hash of the runtime bundle that is baked in */
  runtimeVersion: z.string(),
});
export type ImageView = z.infer<typeof imageViewSchema>;

/** A person's choice of an image: the scheduler leaves it alone until it ends. */
export const pinSchema = z.object({
  imageId: imageIdSchema,
  reason: z.string(),
  by: z.string(),
  at: timestampSchema,
  /** null: until a person ends it */
  until: timestampSchema.nullable(),
});
export type Pin = z.infer<typeof pinSchema>;

/** Builds that failed one after the other since the last good one. */
export const failingSchema = z.object({
  /** how many */
  count: z.number().int().positive(),
  /** the first commit that failed, null when it failed before a commit was known */
  firstSha: shaSchema.nullable(),
  firstAt: timestampSchema,
  /** nothing is tried by itself before this moment, unless commit or configuration change */
  nextTryAt: timestampSchema,
});
export type Failing = z.infer<typeof failingSchema>;

/** What a person sets for a repository's images. */
export const imageSettingsSchema = z.strictObject({
  /** a build that takes longer is ended, minutes */
  limitMinutes: z.number().int().min(1).max(60),
  /** good images that are kept, the active one included; pinned ones come on top */
  keptImages: z.number().int().min(1).max(10),
  /** `auto`: incremental where the inputs allow it. `clean`: always from the base. */
  rebuildMode: z.enum(["auto", "clean"]),
});
export type ImageSettings = z.infer<typeof imageSettingsSchema>;

/**
 * `.openinspect/image.json` in a repository. `inputs`: globs of the files whose change makes a new set of inputs, instead of the known
 * lockfiles. `ignorePaths`: globs; commits that touch nothing else do not rebuild. In both `*` and `?` stay within a folder, `**` crosses folders.
 */
export const repositoryImageFileSchema = z.strictObject({
  $schema: z.string().optional(),
  inputs: z.array(z.string().min(1).max(200)).max(50).optional(),
  ignorePaths: z.array(z.string().min(1).max(200)).max(50).optional(),
});
export type RepositoryImageFile = z.infer<typeof repositoryImageFileSchema>;

/** One entry of a build's or session's log. `seq` rises by at least one and is the cursor for reading on. */
export const logEntrySchema = z.object({
  seq: z.number().int().nonnegative(),
  at: timestampSchema,
  phase: phaseSchema,
  /** `system` lines are ours; `gap` says in `text` how much output was left out here */
  stream: z.enum(["stdout", "stderr", "system", "gap"]),
  /** as it was printed, newlines included; a piece of stdout or stderr may begin or end within a line */
  text: z.string(),
});
export type LogEntry = z.infer<typeof logEntrySchema>;
