/** What a session is on the wire: its states, why it started cold, its start receipt, its work and its socket's messages. */
import { z } from "zod";
import {
  personSchema,
  promptPartSchema,
  promptViewSchema,
  todoSchema,
  usageSchema,
  workspaceDiffSchema,
} from "./conversation.ts";
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
import { failureSchema, logEntrySchema, phaseRecordSchema, phaseSchema } from "./image-build.ts";

/**
 * A session's life. `created`: its sandbox is asked for. `connecting`: the sandbox is there, its runtime is not. `syncing`: the workspace
 * is brought to the branch's head beside the agent's start. `snapshotting`: its filesystem is kept before the sandbox ends.
 * `stopped` and `failed` have no sandbox; the next prompt begins a new one.
 */
export const sessionStatuses = [
  "created",
  "connecting",
  "syncing",
  "ready",
  "snapshotting",
  "stopping",
  "stopped",
  "failed",
] as const;
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

/** `snapshot`: the session's own, from when it was stopped. `image`: the repository's. `base`: clone and setup. */
export const startSources = ["snapshot", "image", "base"] as const;
export type StartSource = (typeof startSources)[number];

/** What a start cost and what it would have cost cold. Written once per start, when the session is ready. */
export const startReceiptSchema = z.object({
  startedFrom: z.enum(startSources),
  /** the sandbox was there before it was asked for: reserved while the prompt was being written, or from the warm pool */
  warm: z.enum(["typing", "pool"]).nullable().optional(),
  imageId: imageIdSchema.nullable(),
  /** commit baked into the image; null for a cold start */
  bakedSha: shaSchema.nullable(),
  /** commit the workspace was on when the agent could first edit; equals the branch's head on the server */
  syncedSha: shaSchema,
  /** from the accepted request until agent healthy and HEAD proved */
  startMs: durationMsSchema,
  /** milliseconds by phase; phases overlap, so they need not add up to startMs */
  phases: z.partialRecord(phaseSchema, durationMsSchema),
  setupRanInSession: z.boolean(),
  /** what a cold start of this repository costs: the last one measured, or null when none is known */
  cold: z.object({ ms: durationMsSchema, source: z.enum(["measured", "build"]), measuredAt: timestampSchema }).nullable(),
});
export type StartReceipt = z.infer<typeof startReceiptSchema>;

/** How far the image was behind the branch when the session began, before the sync brought it up. */
export const behindSchema = z.object({
  commits: z.number().int().nonnegative(),
  /** when the oldest of the missing commits was made; null for none */
  oldestAt: timestampSchema.nullable(),
});
export type Behind = z.infer<typeof behindSchema>;

export const pullRequestSchema = z.object({
  number: z.number().int().positive(),
  url: z.url(),
  state: z.enum(["draft", "open", "merged", "closed"]),
  branch: branchSchema,
  title: z.string(),
});
export type PullRequest = z.infer<typeof pullRequestSchema>;

/** A pull request that was asked for and is not there or not up to date yet; or why the last request came to nothing. */
export const pullRequestProgressSchema = z.discriminatedUnion("at", [
  z.object({ at: z.enum(["pushing", "opening"]), branch: branchSchema }),
  z.object({ at: z.literal("failed"), message: z.string(), hint: z.string() }),
]);
export type PullRequestProgress = z.infer<typeof pullRequestProgressSchema>;

/** In whose name GitHub has a session's pull request. */
export const pullRequestBySchema = z.object({
  /** null: the App's */
  login: z.string().nullable(),
  /** why the last request was done as the App although somebody who is logged in asked for it, as a sentence; null where nothing stood against it */
  reason: z.string().nullable(),
});
export type PullRequestBy = z.infer<typeof pullRequestBySchema>;

/** A session as lists show it. */
export const sessionSummarySchema = z.object({
  id: sessionIdSchema,
  repository: z.object({ owner: z.string(), name: z.string() }),
  branch: branchSchema,
  status: z.enum(sessionStatuses),
  /** the agent has a prompt in hand or waiting */
  isWorking: z.boolean(),
  createdAt: timestampSchema,
  readyAt: timestampSchema.nullable(),
  endedAt: timestampSchema.nullable(),
  /** the last prompt, answer or start */
  activeAt: timestampSchema,
  startMs: durationMsSchema.nullable(),
  startedFrom: z.enum(startSources).nullable(),
  /** the image that it came from */
  imageId: imageIdSchema.nullable(),
  /** why it did not start from an image; null when it did */
  coldReason: z.enum(coldReasonCodes).nullable(),
  title: z.string(),
  author: personSchema.nullable(),
  /** of all prompts together */
  usage: usageSchema.nullable(),
  promptCount: z.number().int().nonnegative(),
  pullRequest: pullRequestSchema.nullable(),
  /** the session that began this one */
  parentId: sessionIdSchema.nullable(),
  archivedAt: timestampSchema.nullable(),
});
export type SessionSummary = z.infer<typeof sessionSummarySchema>;

/** Files that setup depends on have changed since the image was made. */
export const staleSetupSchema = z.object({
  files: z.array(z.string()).max(50),
  /** `offered`: there is no `.openinspect/refresh.sh`, a person may run setup; the others are about the hook that ran beside the agent */
  refresh: z.enum(["offered", "running", "done", "failed"]),
});
export type StaleSetup = z.infer<typeof staleSetupSchema>;

/** Everything of a session but its conversation: small enough to be sent at each change. */
export const sessionStateSchema = sessionSummarySchema.extend({
  /** the image it starts from, null when cold */
  image: z.object({ id: imageIdSchema, buildId: buildIdSchema, sha: shaSchema }).nullable(),
  /** why it starts cold, null when it starts from an image */
  cold: coldReasonSchema.nullable(),
  /** what had to be tried before this start succeeded or failed, oldest first: each source with the reason why it did not do */
  fallbacks: z.array(z.object({ from: z.enum(startSources), reason: z.string() })),
  phases: z.array(phaseRecordSchema),
  bakedSha: shaSchema.nullable(),
  syncedSha: shaSchema.nullable(),
  /** null or absent for a start without an image, and until it is known */
  behind: behindSchema.nullable().optional(),
  setupRanInSession: z.boolean().nullable(),
  staleSetup: staleSetupSchema.nullable(),
  receipt: startReceiptSchema.nullable(),
  failure: failureSchema.nullable(),
  /** when it will be stopped if nothing is asked of it; null while it works or has no sandbox */
  idleStopAt: timestampSchema.nullable(),
  /** what the next start comes from; null: nothing was kept */
  snapshot: z.object({ takenAt: timestampSchema, expiresAt: timestampSchema }).nullable(),
  /** models that a prompt may name; the first is the default */
  models: z.array(z.string()),
  /** null or absent while nothing is asked for and nothing failed */
  pullRequestProgress: pullRequestProgressSchema.nullable().optional(),
  /** null or absent while there is no pull request */
  pullRequestBy: pullRequestBySchema.nullable().optional(),
});
export type SessionState = z.infer<typeof sessionStateSchema>;

/** A session as its page shows it. */
export const sessionViewSchema = sessionStateSchema.extend({
  prompts: z.array(promptViewSchema),
  todos: z.array(todoSchema),
  /** null until something was looked at */
  diff: workspaceDiffSchema.nullable(),
});
export type SessionView = z.infer<typeof sessionViewSchema>;

/** A prompt without its answer. */
export const promptHeadSchema = promptViewSchema.omit({ parts: true });
export type PromptHead = z.infer<typeof promptHeadSchema>;

/**
 * `GET /sessions/:id/events?since=CURSOR&after=SEQ` (WebSocket). First everything since the cursor: either the changes, or a `snapshot` that replaces
 * what is shown, when the cursor is unknown or too old; `after` is the last log entry already seen. Then each change as it happens.
 * `cursor` rises; a browser remembers the last one it applied. With `together=1` a message may be a list of events.
 */
export const sessionEventSchema = z.discriminatedUnion("type", [
  z.object({ type: z.literal("snapshot"), cursor: z.number().int().nonnegative(), session: sessionViewSchema }),
  z.object({ type: z.literal("session"), cursor: z.number().int().nonnegative(), session: sessionStateSchema }),
  /** a prompt is new or changed; its parts come by themselves */
  z.object({ type: z.literal("prompt"), cursor: z.number().int().nonnegative(), prompt: promptHeadSchema }),
  /** a part as a whole, new or changed. A text without characters takes the part back */
  z.object({ type: z.literal("part"), cursor: z.number().int().nonnegative(), promptId: promptIdSchema, part: promptPartSchema }),
  /** text that a part grew by */
  z.object({
    type: z.literal("delta"),
    cursor: z.number().int().nonnegative(),
    promptId: promptIdSchema,
    partId: z.string(),
    kind: z.enum(["text", "reasoning"]),
    delta: z.string(),
  }),
  z.object({ type: z.literal("todos"), cursor: z.number().int().nonnegative(), todos: z.array(todoSchema) }),
  z.object({ type: z.literal("diff"), cursor: z.number().int().nonnegative(), diff: workspaceDiffSchema }),
  z.object({ type: z.literal("log"), entries: z.array(logEntrySchema) }),
  /** everybody who watches, each once */
  z.object({ type: z.literal("presence"), people: z.array(personSchema) }),
]);
export type SessionEvent = z.infer<typeof sessionEventSchema>;

/**
 * A browser says on the same socket how many characters of messages it has received on it, each time that so many more have come: who is slow
 * is known by it. Whoever never says it is allowed more, and is sent away sooner or later all the same.
 */
export const sessionSeenSchema = z.object({ type: z.literal("seen"), received: z.number().int().nonnegative() });
export type SessionSeen = z.infer<typeof sessionSeenSchema>;
export const sessionSeenEvery = 256 * 1024;
