/** What a build of an image is on the wire: its states, triggers, phases, failures and log. */
import { z } from "zod";
import { branchSchema, buildIdSchema, durationMsSchema, imageIdSchema, shaSchema, timestampSchema } from "./ids.ts";

/** A build's life. The last five are final. */
export const buildStatuses = [
  "queued",
  "provisioning",
  "running",
  "snapshotting",
  "ready",
  "failed",
  "cancelled",
  "superseded",
  "skipped",
] as const;
export type BuildStatus = (typeof buildStatuses)[number];

/** Why a build began. `schedule` is the Cron's commit comparison, `push` GitHub's webhook, `refresh` a person's button. */
export const buildTriggers = ["enable", "schedule", "push", "refresh"] as const;
export const buildTriggerSchema = z.enum(buildTriggers);
export type BuildTrigger = z.infer<typeof buildTriggerSchema>;

/**
 * The steps of a build or of a session's boot, in the order in which they may happen:
 * `sandbox` create at the provider · `connect` start of the runtime until its bridge is connected · `clone` of an empty
 * workspace · `sync` fetch + hard reset + clean of an existing one · `setup` `.openinspect/setup.sh` · `start`
 * `.openinspect/start.sh` · `agent` until the agent is healthy · `snapshot` of the filesystem.
 */
export const phases = ["sandbox", "connect", "clone", "sync", "setup", "start", "agent", "snapshot"] as const;
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
  "start_failed",
  "agent_failed",
  "snapshot_failed",
  "build_timeout",
  "start_timeout",
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

/** A build as lists and pages show it. */
export const buildViewSchema = z.object({
  id: buildIdSchema,
  repository: z.object({ owner: z.string(), name: z.string() }),
  trigger: buildTriggerSchema,
  status: z.enum(buildStatuses),
  /** the phase that is running now; null before the first and after the last */
  phase: phaseSchema.nullable(),
  branch: branchSchema.nullable(),
  /** the commit that was built; null until the clone is done */
  sha: shaSchema.nullable(),
  phases: z.array(phaseRecordSchema),
  requestedAt: timestampSchema,
  startedAt: timestampSchema.nullable(),
  finishedAt: timestampSchema.nullable(),
  /** from the start of the sandbox to the active image, null until finished */
  durationMs: durationMsSchema.nullable(),
  failure: failureSchema.nullable(),
  imageId: imageIdSchema.nullable(),
});
export type BuildView = z.infer<typeof buildViewSchema>;

/** An image that sessions can start from. */
export const imageViewSchema = z.object({
  id: imageIdSchema,
  buildId: buildIdSchema,
  sha: shaSchema,
  branch: branchSchema,
  createdAt: timestampSchema,
  /** how long its build took */
  buildMs: durationMsSchema,
  /** content hash of the runtime bundle that is baked in */
  runtimeVersion: z.string(),
});
export type ImageView = z.infer<typeof imageViewSchema>;

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
