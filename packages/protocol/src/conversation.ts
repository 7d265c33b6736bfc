/** A session's conversation on the wire: who asked, what with, the agent's answer part by part, its to-do list, cost and changes. */
import { z } from "zod";
import { promptIdSchema, shaSchema, timestampSchema } from "./ids.ts";

/** Whoever writes prompts, as others see them and as git names them. */
export const personSchema = z.object({
  name: z.string().min(1).max(200),
  /** null: commits carry an address that reaches nobody */
  email: z.string().max(320).nullable(),
  /** GitHub login, null for whoever has none */
  login: z.string().max(100).nullable(),
});
export type Person = z.infer<typeof personSchema>;

/** The most characters of a prompt. */
export const promptMaxLength = 100_000;
/** Prompts of one session that wait; one more is refused. */
export const promptQueueMax = 50;
export const attachmentMaxBytes = 3 * 1024 * 1024;
export const attachmentsMax = 5;
/** Images that models read, and text. */
export const attachmentMimes = [
  "image/png",
  "image/jpeg",
  "image/gif",
  "image/webp",
  "text/plain",
  "text/markdown",
  "text/csv",
  "application/json",
] as const;

/** An attachment as everybody sees it; its bytes are read apart. */
export const attachmentSchema = z.object({
  id: z.string().min(1).max(64),
  name: z.string().min(1).max(200),
  mime: z.enum(attachmentMimes),
  sizeBytes: z.number().int().nonnegative().max(attachmentMaxBytes),
});
export type Attachment = z.infer<typeof attachmentSchema>;

/** An attachment as a request brings it. */
export const attachmentInputSchema = z.strictObject({
  name: z.string().trim().min(1).max(200),
  mime: z.enum(attachmentMimes),
  /** base64 of at most `attachmentMaxBytes` */
  data: z.base64().max(Math.ceil(attachmentMaxBytes / 3) * 4),
});
export type AttachmentInput = z.infer<typeof attachmentInputSchema>;

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

/** What a prompt has cost so far, its sub-agents included. */
export const usageSchema = z.object({
  inputTokens: z.number().int().nonnegative(),
  outputTokens: z.number().int().nonnegative(),
  reasoningTokens: z.number().int().nonnegative(),
  cacheReadTokens: z.number().int().nonnegative(),
  cacheWriteTokens: z.number().int().nonnegative(),
  /** US dollars by the prices that the agent was told; 0 where none are known */
  costUsd: z.number().nonnegative(),
});
export type Usage = z.infer<typeof usageSchema>;

export const todoSchema = z.object({
  content: z.string().max(2_000),
  status: z.enum(["pending", "in_progress", "completed", "cancelled"]),
  priority: z.enum(["high", "medium", "low"]).optional(),
});
export type Todo = z.infer<typeof todoSchema>;

/** A file that differs from where the session began. */
export const changedFileSchema = z.object({
  path: z.string(),
  /** path before a rename */
  from: z.string().optional(),
  change: z.enum(["added", "modified", "deleted", "renamed"]),
  additions: z.number().int().nonnegative(),
  deletions: z.number().int().nonnegative(),
  /** unified hunks without the file header; null for binary files and where the whole diff would be too large */
  hunks: z.string().nullable(),
});
export type ChangedFile = z.infer<typeof changedFileSchema>;

/** A whole diff stays below this, so that it fits into one frame. */
export const diffMaxBytes = 256 * 1024;
export const diffFilesMax = 500;
/** Everything in the workspace that differs from `base`, committed or not. */
export const workspaceDiffSchema = z.object({
  /** the commit that the branch was on when the session began */
  base: shaSchema,
  files: z.array(changedFileSchema).max(diffFilesMax),
  additions: z.number().int().nonnegative(),
  deletions: z.number().int().nonnegative(),
  /** files or hunks were left out */
  isCut: z.boolean(),
});
export type WorkspaceDiff = z.infer<typeof workspaceDiffSchema>;

/** `done`, `stopped`, `failed` and `cancelled` are final. `stopped`: by a person while it ran. `cancelled`: before it ran. */
export const promptStatuses = ["queued", "running", "done", "stopped", "failed", "cancelled"] as const;
export type PromptStatus = (typeof promptStatuses)[number];

export const promptViewSchema = z.object({
  id: promptIdSchema,
  author: personSchema.nullable(),
  text: z.string(),
  model: z.string().nullable(),
  attachments: z.array(attachmentSchema),
  status: z.enum(promptStatuses),
  parts: z.array(promptPartSchema),
  error: z.string().nullable(),
  createdAt: timestampSchema,
  startedAt: timestampSchema.nullable(),
  finishedAt: timestampSchema.nullable(),
  usage: usageSchema.nullable(),
});
export type PromptView = z.infer<typeof promptViewSchema>;
