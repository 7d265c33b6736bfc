/** Bodies of the REST API and of the two browser sockets. Paths are below `/api`. */
import { z } from "zod";
import { durationMsSchema, sessionIdSchema, shaSchema, timestampSchema } from "./ids.ts";
import {
  buildViewSchema,
  failingSchema,
  imageSettingsSchema,
  imageViewSchema,
  logEntrySchema,
  pinSchema,
} from "./image-build.ts";
import { sessionSummarySchema } from "./session.ts";

/** The dashboard's five words. */
export const imageStatuses = ["ready", "building", "failed", "none", "disabled"] as const;
export type ImageStatus = (typeof imageStatuses)[number];

/** What a scheduled comparison of heads comes to. The first four build or wait for a build, the others do nothing. */
export const headCheckOutcomes = [
  "moved",
  "retried",
  "renewed",
  "building",
  "unchanged",
  "ignored_paths",
  "pinned",
  "backing_off",
  "archived",
  "unavailable",
] as const;
export type HeadCheckOutcome = (typeof headCheckOutcomes)[number];

/** What the last scheduled comparison of heads found. */
export const headCheckSchema = z.object({
  at: timestampSchema,
  /** head of the default branch, null when it could not be read */
  sha: shaSchema.nullable(),
  outcome: z.enum(headCheckOutcomes),
});
export type HeadCheck = z.infer<typeof headCheckSchema>;

/** `GET /repositories/:owner/:name/image`. `active` goes on serving whatever `latestBuild` does. */
export const imageStateSchema = z.object({
  enabled: z.boolean(),
  status: z.enum(imageStatuses),
  active: imageViewSchema.nullable(),
  latestBuild: buildViewSchema.nullable(),
  lastCheck: headCheckSchema.nullable(),
  pin: pinSchema.nullable(),
  /** null while builds succeed */
  failing: failingSchema.nullable(),
  settings: imageSettingsSchema,
});
export type ImageState = z.infer<typeof imageStateSchema>;

export const repositoryViewSchema = z.object({
  owner: z.string(),
  name: z.string(),
  /** null for a repository without a branch */
  defaultBranch: z.string().nullable(),
  private: z.boolean(),
  /** clone URL for people, without credentials */
  cloneUrl: z.string(),
  image: imageStateSchema,
});
export type RepositoryView = z.infer<typeof repositoryViewSchema>;

/** `GET /repositories`. */
export const repositoryListSchema = z.object({ repositories: z.array(repositoryViewSchema) });
export type RepositoryList = z.infer<typeof repositoryListSchema>;

/** `GET /repositories/:owner/:name/branches`: for the New session page; the default branch first. */
export const branchListSchema = z.object({ branches: z.array(z.object({ name: z.string(), sha: shaSchema })) });
export type BranchList = z.infer<typeof branchListSchema>;

/** `PUT /repositories/:owner/:name/image` → `ImageState`. Switching on starts the first build. */
export const putImageRequestSchema = z.strictObject({ enabled: z.boolean() });
export type PutImageRequest = z.infer<typeof putImageRequestSchema>;

/** `POST /repositories/:owner/:name/image/builds` → 202 with the build that runs, or that will run next. */
export const buildAcceptedSchema = z.object({ build: buildViewSchema });
export type BuildAccepted = z.infer<typeof buildAcceptedSchema>;

/** `PUT /repositories/:owner/:name/image/settings` → `ImageState`. A change that makes another image builds at once. */
export const putImageSettingsSchema = imageSettingsSchema;

/** `GET /images?repository=owner/name`: every image that the provider still has, newest first. */
export const keptImageSchema = imageViewSchema.extend({
  state: z.enum(["active", "kept", "retired"]),
  /** why it serves no longer */
  retiredCause: z.string().nullable(),
  /** running sessions that came from it; it is not deleted before they end */
  runningSessions: z.number().int().nonnegative(),
});
export type KeptImage = z.infer<typeof keptImageSchema>;
export const imageListSchema = z.object({ images: z.array(keptImageSchema) });
export type ImageList = z.infer<typeof imageListSchema>;

/** `POST /images/:id/activate` → `ImageState`: makes a kept image the active one and pins it. `until` in milliseconds since the epoch. */
export const activateImageRequestSchema = z.strictObject({
  reason: z.string().trim().min(1).max(500),
  until: timestampSchema.nullable().default(null),
});
export type ActivateImageRequest = z.input<typeof activateImageRequestSchema>;

/** `GET /builds?repository=owner/name&before=CURSOR&limit=N`: newest first, comparisons without a build included. */
export const buildListQuerySchema = z.object({
  limit: z.coerce.number().int().min(1).max(200).default(50),
  before: z
    .string()
    .regex(/^\d{1,15}\.bld_[a-z0-9]{26}$/, { error: "must be the `next` of an earlier page" })
    .transform((cursor) => ({ at: Number(cursor.split(".")[0]), id: cursor.split(".")[1] ?? "" }))
    .optional(),
});
export const buildListSchema = z.object({
  builds: z.array(buildViewSchema),
  /** `before` of the next page; null on the last one */
  next: z.string().nullable(),
});
export type BuildList = z.infer<typeof buildListSchema>;

/** Who may see that a branch moved: GitHub's webhook, the Cron's comparison, a person who asked for a build. */
export const headSeers = ["push", "tick", "person"] as const;
export const headSeerSchema = z.enum(headSeers);
export type HeadSeer = z.infer<typeof headSeerSchema>;

/** `GET /repositories/:owner/:name/sightings?limit=N`: who saw each new head of the default branch first, newest first. */
export const sightingListQuerySchema = z.object({ limit: z.coerce.number().int().min(1).max(200).default(50) });
export const headSightingSchema = z.object({
  sha: shaSchema,
  /** when GitHub says that it was pushed, null when nobody heard */
  pushedAt: timestampSchema.nullable(),
  firstBy: headSeerSchema,
  firstAt: timestampSchema,
  /** the others who saw it, in the order of time; `lateMs` counts from `firstAt` */
  later: z.array(z.object({ by: headSeerSchema, at: timestampSchema, lateMs: durationMsSchema })),
});
export type HeadSighting = z.infer<typeof headSightingSchema>;
export const sightingListSchema = z.object({ sightings: z.array(headSightingSchema) });
export type SightingList = z.infer<typeof sightingListSchema>;

/** The log cursor: entries after it are wanted. */
export const logCursorQuerySchema = z.object({ after: z.coerce.number().int().nonnegative().default(0) });

/**
 * `since`: the last cursor of the session's events that was applied; without it everything is told by one `snapshot`. `after`: the last log entry.
 * `together`: events of one moment may come in one message, as a list.
 */
export const sessionCursorQuerySchema = logCursorQuerySchema.extend({
  since: z.coerce.number().int().nonnegative().optional(),
  together: z.literal("1").optional(),
});

/** `GET /builds/:id/logs?after=SEQ`. Read on with `after: next` until `complete`. */
export const buildLogsSchema = z.object({
  entries: z.array(logEntrySchema),
  next: z.number().int().nonnegative(),
  complete: z.boolean(),
});
export type BuildLogs = z.infer<typeof buildLogsSchema>;

/** `GET /health`. */
export const healthSchema = z.object({
  status: z.enum(["ok", "degraded"]),
  version: z.string(),
  checks: z.object({
    database: z.enum(["ok", "failing"]),
    gateway: z.enum(["ok", "failing"]),
    github: z.enum(["ok", "failing"]),
  }),
  /** runtime that new sandboxes run, null while the gateway is out of reach */
  runtimeVersion: z.string().nullable(),
});
export type Health = z.infer<typeof healthSchema>;

/** `GET /feed` (WebSocket): every change of a repository's image state and of a session. After a reconnect read the lists again. */
export const feedMessageSchema = z.discriminatedUnion("type", [
  /** `notice`: what everybody who uses this installation should know, shown on every page */
  z.object({ type: z.literal("hello"), notice: z.string().nullable() }),
  z.object({ type: z.literal("repository"), repository: repositoryViewSchema }),
  z.object({ type: z.literal("session"), session: sessionSummarySchema }),
]);
export type FeedMessage = z.infer<typeof feedMessageSchema>;

/** `GET /builds/:id/events` (WebSocket, `?after=SEQ` for log entries already seen): the view and the log since the cursor, then each change. */
export const buildEventSchema = z.discriminatedUnion("type", [
  z.object({ type: z.literal("build"), build: buildViewSchema }),
  z.object({ type: z.literal("log"), entries: z.array(logEntrySchema) }),
]);
export type BuildEvent = z.infer<typeof buildEventSchema>;

/** `POST /webhooks/github`. */
export const webhookAcceptedSchema = z.object({ accepted: z.boolean(), reason: z.string() });

export const sessionParamsSchema = z.object({ id: sessionIdSchema });
