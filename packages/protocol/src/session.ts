/** What a session is on the wire: its states, why it started cold, its start receipt and its prompts. */
import { z } from "zod";
import {
  branchSchema,
  buildIdSchema,
  durationMsSchema,
  imageIdSchema,
  promptIdSchema,
  sessionIdSchema,
  shaSchema,
  timestampSchema,
} from "./ids.ts";
import { failureSchema, phaseRecordSchema, phaseSchema } from "./image-build.ts";

/** A session's life. `stopped` and `failed` are final. */
export const sessionStatuses = ["created", "starting", "ready", "stopping", "stopped", "failed"] as const;
export type SessionStatus = (typeof sessionStatuses)[number];

/** Why a session did not start from an image; the closed list that pages and docs explain. */
export const coldReasonCodes = [
  "images_disabled",
  "no_image_yet",
  "first_build_running",
  "first_build_failed",
  "other_branch",
  "image_expired",
  "runtime_outdated",
  "restore_failed",
  "lookup_failed",
] as const;
export type ColdReasonCode = (typeof coldReasonCodes)[number];

/** One sentence why there was no image, and what to do about it. */
export const coldReasonSchema = z.object({ code: z.enum(coldReasonCodes), message: z.string(), hint: z.string() });
export type ColdReason = z.infer<typeof coldReasonSchema>;

/** What a start cost and what it would have cost cold. Written once, when the session is ready. */
export const startReceiptSchema = z.object({
  startedFrom: z.enum(["image", "base"]),
  imageId: imageIdSchema.nullable(),
  /** commit baked into the image; null for a cold start */
  bakedSha: shaSchema.nullable(),
  /** commit the workspace was on when the agent could first edit; equals the branch's head on the server */
  syncedSha: shaSchema,
  /** from the accepted `POST /api/sessions` until agent healthy and HEAD proved */
  startMs: durationMsSchema,
  /** milliseconds by phase; phases overlap, so they need not add up to startMs */
  phases: z.partialRecord(phaseSchema, durationMsSchema),
  setupRanInSession: z.boolean(),
  /** what a cold start of this repository costs: the last one measured, or null when none is known */
  cold: z.object({ ms: durationMsSchema, source: z.enum(["measured", "build"]), measuredAt: timestampSchema }).nullable(),
});
export type StartReceipt = z.infer<typeof startReceiptSchema>;

/** One part of the agent's answer. The same id is sent again when the part grows or changes. */
export const promptPartSchema = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("text"), id: z.string(), text: z.string() }),
  z.object({ kind: z.literal("reasoning"), id: z.string(), text: z.string() }),
  z.object({
    kind: z.literal("tool"),
    id: z.string(),
    tool: z.string(),
    status: z.enum(["pending", "running", "completed", "error", "interrupted"]),
    title: z.string(),
    input: z.string(),
    output: z.string(),
  }),
]);
export type PromptPart = z.infer<typeof promptPartSchema>;

export const promptStatuses = ["queued", "running", "done", "aborted", "failed"] as const;

export const promptViewSchema = z.object({
  id: promptIdSchema,
  text: z.string(),
  model: z.string().nullable(),
  status: z.enum(promptStatuses),
  parts: z.array(promptPartSchema),
  error: z.string().nullable(),
  createdAt: timestampSchema,
  finishedAt: timestampSchema.nullable(),
});
export type PromptView = z.infer<typeof promptViewSchema>;

/** How far the image was behind the branch when the session began, before the sync brought it up. */
export const behindSchema = z.object({
  commits: z.number().int().nonnegative(),
  /** when the oldest of the missing commits was made; null for none */
  oldestAt: timestampSchema.nullable(),
});
export type Behind = z.infer<typeof behindSchema>;

/** A session as lists show it. */
export const sessionSummarySchema = z.object({
  id: sessionIdSchema,
  repository: z.object({ owner: z.string(), name: z.string() }),
  branch: branchSchema,
  status: z.enum(sessionStatuses),
  createdAt: timestampSchema,
  readyAt: timestampSchema.nullable(),
  endedAt: timestampSchema.nullable(),
  startMs: durationMsSchema.nullable(),
  startedFrom: z.enum(["image", "base"]).nullable(),
  title: z.string(),
});
export type SessionSummary = z.infer<typeof sessionSummarySchema>;

/** A session as its page shows it. */
export const sessionViewSchema = sessionSummarySchema.extend({
  /** the image it starts from, null when cold */
  image: z.object({ id: imageIdSchema, buildId: buildIdSchema, sha: shaSchema }).nullable(),
  /** why it starts cold, null when it starts from an image */
  cold: coldReasonSchema.nullable(),
  phases: z.array(phaseRecordSchema),
  bakedSha: shaSchema.nullable(),
  syncedSha: shaSchema.nullable(),
  /** null or absent for a start without an image, and until it is known */
  behind: behindSchema.nullable().optional(),
  setupRanInSession: z.boolean().nullable(),
  receipt: startReceiptSchema.nullable(),
  prompts: z.array(promptViewSchema),
  failure: failureSchema.nullable(),
});
export type SessionView = z.infer<typeof sessionViewSchema>;
