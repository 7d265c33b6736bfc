/** REST bodies of sessions: start, reserve, list, prompts, pull requests, and what a repository sets for its sessions. Paths are below `/api`. */
import { z } from "zod";
import { attachmentInputSchema, attachmentsMax, promptMaxLength, promptViewSchema } from "./conversation.ts";
import { branchSchema, promptIdSchema, repositoryRefSchema, sessionIdSchema, timestampSchema } from "./ids.ts";
import { sessionStatuses, sessionSummarySchema } from "./session.ts";

const repositoryInputSchema = z.union([
  repositoryRefSchema,
  z
    .string()
    .regex(/^[^/\s]+\/[^/\s]+$/, { error: "must be owner/name" })
    .transform((fullName) => {
      const [owner = "", name = ""] = fullName.split("/");
      return { owner, name };
    })
    .pipe(repositoryRefSchema),
]);
const modelInputSchema = z.string().min(1).max(200);
const promptTextSchema = z.string().trim().min(1).max(promptMaxLength);
const attachmentsInputSchema = z.array(attachmentInputSchema).max(attachmentsMax);

/** `POST /sessions` → 201 with `SessionView`. Without a branch: the default branch. */
export const createSessionRequestSchema = z.strictObject({
  repository: repositoryInputSchema,
  branch: branchSchema.optional(),
  prompt: promptTextSchema.optional(),
  model: modelInputSchema.optional(),
  attachments: attachmentsInputSchema.optional(),
  /** what `POST /sessions/reserve` gave; when it is over or does not fit, the session starts without it */
  reservation: sessionIdSchema.optional(),
});
export type CreateSessionRequest = z.input<typeof createSessionRequestSchema>;

/**
 * `POST /sessions/reserve` → 202: a sandbox begins for the session that somebody is writing the first prompt of. The same repository, branch
 * and `reservation` again keep it. It is stopped when no session follows until `expiresAt`.
 */
export const reserveSessionRequestSchema = z.strictObject({
  repository: repositoryInputSchema,
  branch: branchSchema.optional(),
  model: modelInputSchema.optional(),
  reservation: sessionIdSchema.optional(),
});
export type ReserveSessionRequest = z.input<typeof reserveSessionRequestSchema>;
export const reservationSchema = z.object({
  reservation: sessionIdSchema,
  expiresAt: timestampSchema,
  /** a session that took it now would have its agent at once */
  isReady: z.boolean(),
});
export type Reservation = z.infer<typeof reservationSchema>;

/** `DELETE /sessions/reserve/:id`: whether there was something to give back. */
export const reservationReleasedSchema = z.object({ released: z.boolean() });
export type ReservationReleased = z.infer<typeof reservationReleasedSchema>;

/** `GET /sessions?...`: newest first. `q` looks in title, repository, branch and first prompt. */
export const sessionListQuerySchema = z.object({
  q: z.string().trim().max(200).optional(),
  repository: z
    .string()
    .regex(/^[^/\s]+\/[^/\s]+$/, { error: "must be owner/name" })
    .optional(),
  status: z
    .enum([...sessionStatuses, "active"])
    .optional()
    .describe("`active`: whatever has a sandbox"),
  author: z.string().max(200).optional().describe("name of whoever began it"),
  parent: sessionIdSchema.optional(),
  archived: z.enum(["false", "true", "all"]).default("false"),
  limit: z.coerce.number().int().min(1).max(200).default(50),
  before: z
    .string()
    .regex(/^\d{1,15}\.ses_[a-z0-9]{26}$/, { error: "must be the `next` of an earlier page" })
    .transform((cursor) => ({ at: Number(cursor.split(".")[0]), id: cursor.split(".")[1] ?? "" }))
    .optional(),
});
export const sessionListSchema = z.object({
  sessions: z.array(sessionSummarySchema),
  /** `before` of the next page; null on the last one */
  next: z.string().nullable(),
});
export type SessionList = z.infer<typeof sessionListSchema>;

/** `PATCH /sessions/:id` → `SessionView`. */
export const changeSessionRequestSchema = z.strictObject({ title: z.string().trim().min(1).max(200) });
export type ChangeSessionRequest = z.input<typeof changeSessionRequestSchema>;

/** `POST /sessions/:id/prompts` → 201 with `PromptView`. It is queued behind the others; a stopped session starts again for it. */
export const createPromptRequestSchema = z.strictObject({
  text: promptTextSchema,
  model: modelInputSchema.optional(),
  attachments: attachmentsInputSchema.optional(),
  /** made by the caller: the same id again changes nothing and answers the same */
  id: promptIdSchema.optional(),
});
export type CreatePromptRequest = z.input<typeof createPromptRequestSchema>;

/** `PATCH /sessions/:id/prompts/:promptId`: while it is queued. */
export const changePromptRequestSchema = z.strictObject({
  text: promptTextSchema.optional(),
  model: modelInputSchema.nullable().optional(),
});
export type ChangePromptRequest = z.input<typeof changePromptRequestSchema>;
export const promptAnswerSchema = promptViewSchema;

/**
 * `POST /sessions/:id/pull-request` → 202 with `SessionView`: commits what is not committed, pushes, and opens the pull request or updates its
 * branch. Answers when that is over, or after a while with what is under way in `pullRequestProgress`.
 */
export const pullRequestRequestSchema = z.strictObject({
  /** given for a pull request that is open already they replace its own */
  title: z.string().trim().min(1).max(250).optional(),
  body: z.string().max(60_000).optional(),
  /** the branch that is pushed; by default made from the session's title. Never the repository's default branch */
  branch: branchSchema.optional(),
  draft: z.boolean().default(false),
});
export type PullRequestRequest = z.input<typeof pullRequestRequestSchema>;

/** `GET` and `PUT /repositories/:owner/:name/session-settings`. */
export const sessionSettingsSchema = z.strictObject({
  /** a session of which nothing is asked for so long is kept as a snapshot and stopped */
  idleStopMinutes: z.number().int().min(1).max(720),
  /** dormant sandboxes from the active image, 0 for none */
  poolSize: z.number().int().min(0).max(5),
  /** hours of the day, 0–23 in `poolTimeZone`, in which the pool is filled; empty: always */
  poolHours: z.array(z.number().int().min(0).max(23)).max(24),
  poolTimeZone: z.string().min(1).max(64),
});
export type SessionSettings = z.infer<typeof sessionSettingsSchema>;
export const defaultSessionSettings: SessionSettings = { idleStopMinutes: 10, poolSize: 0, poolHours: [], poolTimeZone: "UTC" };

/** A pool as its repository's page shows it. */
export const poolViewSchema = z.object({
  settings: sessionSettingsSchema,
  /** sandboxes that are ready to be claimed, and such that are being made */
  ready: z.number().int().nonnegative(),
  starting: z.number().int().nonnegative(),
  /** why it is not full, null when it is or should be empty */
  problem: z.string().nullable(),
});
export type PoolView = z.infer<typeof poolViewSchema>;
