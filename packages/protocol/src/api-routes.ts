/**
 * Every route of the REST API with what it takes and answers: the one list that the document at `/api/openapi.json` and the honest
 * 405 are made from. Data only; how a route is served is the control plane's business.
 */

import { z } from "zod";
import { attachmentMimes } from "./conversation.ts";
import { type ErrorCode } from "./errors.ts";
import { githubPushSchema } from "./github-events.ts";
import {
  activateImageRequestSchema,
  branchListSchema,
  buildAcceptedSchema,
  buildEventSchema,
  buildListQuerySchema,
  buildListSchema,
  buildLogsSchema,
  feedMessageSchema,
  healthSchema,
  imageListSchema,
  imageStateSchema,
  logCursorQuerySchema,
  putImageRequestSchema,
  putImageSettingsSchema,
  repositoryListSchema,
  sessionCursorQuerySchema,
  sightingListQuerySchema,
  sightingListSchema,
  webhookAcceptedSchema,
} from "./http-api.ts";
import { buildIdSchema, imageIdSchema, ownerSchema, promptIdSchema, repositoryNameSchema, sessionIdSchema } from "./ids.ts";
import { buildViewSchema, logEntrySchema } from "./image-build.ts";
import { insightsQuerySchema, insightsSchema } from "./insights.ts";
import { loggedOutSchema, loginErrors, meSchema } from "./login.ts";
import {
  notificationTargetDeletedSchema,
  notificationTargetListSchema,
  notificationTargetNameSchema,
  notificationTargetSchema,
  notificationTestSchema,
  putNotificationTargetSchema,
} from "./notifications.ts";
import { sessionEventSchema, sessionViewSchema } from "./session.ts";
import {
  changePromptRequestSchema,
  changeSessionRequestSchema,
  createPromptRequestSchema,
  createSessionRequestSchema,
  poolViewSchema,
  promptAnswerSchema,
  pullRequestRequestSchema,
  reservationReleasedSchema,
  reservationSchema,
  reserveSessionRequestSchema,
  sessionListQuerySchema,
  sessionListSchema,
  sessionSettingsSchema,
} from "./session-api.ts";

export type ApiMethod = "get" | "put" | "post" | "patch" | "delete";

/** What a route answers when all is well: JSON of a schema, a text, a file, messages over a WebSocket, the way to somewhere else, or server-sent events by name. */
export type ApiAnswer =
  | { kind: "json"; status: 200 | 201 | 202; schema: z.ZodType }
  | { kind: "text"; contentType: string }
  /** bytes of one of these content types */
  | { kind: "file"; contentTypes: readonly string[] }
  | { kind: "socket"; messages: z.ZodType }
  /** 302; for browsers */
  | { kind: "redirect" }
  | { kind: "events"; events: Record<string, z.ZodType> };

export interface ApiRoute {
  method: ApiMethod;
  /** `{name}` stands for a segment */
  path: `/api/${string}`;
  /** unique; what a generated client calls it */
  operationId: string;
  summary: string;
  params?: Record<string, z.ZodType>;
  query?: Record<string, z.ZodType>;
  body?: z.ZodType;
  answer: ApiAnswer;
  /** what may go wrong besides what may go wrong everywhere */
  errors: readonly ErrorCode[];
  /** `person`: whoever is logged in; `signature`: signed by its sender; `anybody` */
  caller: "person" | "signature" | "anybody";
}

const repository = { owner: ownerSchema, name: repositoryNameSchema };
const repositoryQuery = {
  repository: z
    .string()
    .regex(/^[^/\s]+\/[^/\s]+$/)
    .describe("owner/name"),
};
const after = logCursorQuerySchema.shape;
const prompt = { id: sessionIdSchema, promptId: promptIdSchema };
const ofPrompt = ["session_not_found", "prompt_not_found"] as const;
const ofRepository = ["invalid_request", "repository_not_found", "github_unavailable"] as const;
const json = (schema: z.ZodType, status: 200 | 201 | 202 = 200): ApiAnswer => ({ kind: "json", status, schema });

export const apiRoutes: readonly ApiRoute[] = [
  {
    ...{ method: "get", path: "/api/health", operationId: "readHealth", caller: "anybody" },
    summary: "Whether database, gateway and GitHub answer.",
    answer: json(healthSchema),
    errors: [],
  },
  {
    ...{ method: "get", path: "/api/openapi.json", operationId: "readOpenApi", caller: "anybody" },
    summary: "This document.",
    answer: json(z.record(z.string(), z.unknown())),
    errors: [],
  },
  {
    ...{ method: "post", path: "/api/webhooks/github", operationId: "receiveGitHubWebhook", caller: "signature" },
    summary:
      "Takes GitHub's events of pushes, pull requests, repositories and installations; others are acknowledged and ignored. Signed in `x-hub-signature-256`.",
    body: githubPushSchema,
    answer: json(webhookAcceptedSchema, 202),
    errors: ["invalid_request", "payload_too_large", "signature_invalid"],
  },
  {
    ...{ method: "get", path: "/api/me", operationId: "readMe", caller: "anybody" },
    summary: "Who asks, and whether the login with GitHub is offered.",
    answer: json(meSchema),
    errors: [],
  },
  {
    ...{ method: "get", path: "/api/auth/github", operationId: "beginLogin", caller: "anybody" },
    summary: "Leads a browser to GitHub for the login. `return`: the path of this server to come back to.",
    query: { return: z.string().optional() },
    answer: { kind: "redirect" },
    errors: ["forbidden", "not_found"],
  },
  {
    ...{ method: "get", path: "/api/auth/github/callback", operationId: "finishLogin", caller: "anybody" },
    summary: `Where GitHub sends the browser back to: on to where it came from, logged in, or to \`/login?error=\` with ${loginErrors.map((one) => `\`${one}\``).join(", ")}.`,
    query: { code: z.string().optional(), state: z.string().optional(), error: z.string().optional() },
    answer: { kind: "redirect" },
    errors: ["rate_limited"],
  },
  {
    ...{ method: "post", path: "/api/auth/logout", operationId: "logOut", caller: "anybody" },
    summary: "Ends the login of this browser. Repeating it changes nothing.",
    answer: json(loggedOutSchema),
    errors: ["invalid_request", "forbidden"],
  },
  {
    ...{ method: "get", path: "/api/feed", operationId: "watchFeed", caller: "person" },
    summary: "Every change of a repository's image state and of a session. After a reconnect read the lists again.",
    answer: { kind: "socket", messages: feedMessageSchema },
    errors: ["upgrade_required"],
  },
  {
    ...{ method: "get", path: "/api/repositories", operationId: "listRepositories", caller: "person" },
    summary: "Every repository of the GitHub App's installations with its image state.",
    query: { sync: z.enum(["force"]).optional().describe("reads GitHub first") },
    answer: json(repositoryListSchema),
    errors: [],
  },
  {
    ...{ method: "get", path: "/api/repositories/{owner}/{name}/branches", operationId: "listBranches", caller: "person" },
    summary: "Branches, the default one first.",
    params: repository,
    answer: json(branchListSchema),
    errors: ofRepository,
  },
  {
    ...{ method: "get", path: "/api/repositories/{owner}/{name}/image", operationId: "readImageState", caller: "person" },
    summary: "Switch, status word, active image, latest build, last comparison of heads, pin, failures, settings.",
    params: repository,
    answer: json(imageStateSchema),
    errors: ofRepository,
  },
  {
    ...{ method: "get", path: "/api/repositories/{owner}/{name}/sightings", operationId: "listSightings", caller: "person" },
    summary:
      "Who saw each new head first - push, tick or person - and how much later the others did; newest first, of the last 90 days.",
    params: repository,
    query: sightingListQuerySchema.shape,
    answer: json(sightingListSchema),
    errors: ofRepository,
  },
  {
    ...{ method: "put", path: "/api/repositories/{owner}/{name}/image", operationId: "switchImage", caller: "person" },
    summary: "Switches pre-built images on or off; switching on begins the first build.",
    params: repository,
    body: putImageRequestSchema,
    answer: json(imageStateSchema),
    errors: [...ofRepository, "repository_empty"],
  },
  {
    ...{ method: "put", path: "/api/repositories/{owner}/{name}/image/settings", operationId: "changeImageSettings" },
    caller: "person",
    summary: "Limit, kept images and rebuild mode; they hold from the next build on.",
    params: repository,
    body: putImageSettingsSchema,
    answer: json(imageStateSchema),
    errors: ofRepository,
  },
  {
    ...{ method: "delete", path: "/api/repositories/{owner}/{name}/image/pin", operationId: "unpinImage", caller: "person" },
    summary: "Ends the pin; the scheduler may replace the image again.",
    params: repository,
    answer: json(imageStateSchema),
    errors: ofRepository,
  },
  {
    ...{ method: "post", path: "/api/repositories/{owner}/{name}/image/builds", operationId: "refreshImage", caller: "person" },
    summary: "The build that runs or will run next.",
    params: repository,
    answer: json(buildAcceptedSchema, 202),
    errors: [...ofRepository, "image_disabled", "repository_empty"],
  },
  {
    ...{ method: "get", path: "/api/repositories/{owner}/{name}/session-settings", operationId: "readSessionSettings" },
    caller: "person",
    summary: "What the repository sets for its sessions, and how its warm pool is.",
    params: repository,
    answer: json(poolViewSchema),
    errors: ofRepository,
  },
  {
    ...{ method: "put", path: "/api/repositories/{owner}/{name}/session-settings", operationId: "changeSessionSettings" },
    caller: "person",
    summary:
      "Size and hours of the warm pool, which is filled or drained at once, and the idle stop of sessions that begin from now on.",
    params: repository,
    body: sessionSettingsSchema,
    answer: json(poolViewSchema),
    errors: ofRepository,
  },
  {
    ...{ method: "get", path: "/api/images", operationId: "listImages", caller: "person" },
    summary: "Every image that the provider still has, newest first.",
    query: repositoryQuery,
    answer: json(imageListSchema),
    errors: ofRepository,
  },
  {
    ...{ method: "post", path: "/api/images/{id}/activate", operationId: "activateImage", caller: "person" },
    summary: "Makes a kept image the active one and pins it.",
    params: { id: imageIdSchema },
    body: activateImageRequestSchema,
    answer: json(imageStateSchema),
    errors: ["image_not_found", "image_unavailable"],
  },
  {
    ...{ method: "get", path: "/api/builds", operationId: "listBuilds", caller: "person" },
    summary: "Newest first, comparisons that built nothing among them.",
    query: { ...repositoryQuery, ...buildListQuerySchema.shape },
    answer: json(buildListSchema),
    errors: ofRepository,
  },
  {
    ...{ method: "get", path: "/api/builds/{id}", operationId: "readBuild", caller: "person" },
    summary: "One build: phases, inputs, failure.",
    params: { id: buildIdSchema },
    answer: json(buildViewSchema),
    errors: ["build_not_found"],
  },
  {
    ...{ method: "post", path: "/api/builds/{id}/cancel", operationId: "cancelBuild", caller: "person" },
    summary: "Ends a build that runs or waits.",
    params: { id: buildIdSchema },
    answer: json(buildAcceptedSchema),
    errors: ["build_not_found", "build_ended"],
  },
  {
    ...{ method: "get", path: "/api/builds/{id}/logs", operationId: "readBuildLog", caller: "person" },
    summary: "Log entries after a cursor; read on with `after: next` until `complete`.",
    params: { id: buildIdSchema },
    query: after,
    answer: json(buildLogsSchema),
    errors: ["invalid_request", "build_not_found"],
  },
  {
    ...{ method: "get", path: "/api/builds/{id}/logs.txt", operationId: "downloadBuildLog", caller: "person" },
    summary: "What was printed until now as one text, colours included.",
    params: { id: buildIdSchema },
    answer: { kind: "text", contentType: "text/plain" },
    errors: ["build_not_found"],
  },
  {
    ...{ method: "get", path: "/api/builds/{id}/stream", operationId: "streamBuild", caller: "person" },
    summary:
      "The log since the cursor or `Last-Event-ID`, then each entry as it comes, and the end. The id of a `log` event is its number; who comes back with the id of the `end` is answered 204.",
    params: { id: buildIdSchema },
    query: after,
    answer: { kind: "events", events: { log: logEntrySchema, build: buildViewSchema, end: buildViewSchema } },
    errors: ["invalid_request", "build_not_found"],
  },
  {
    ...{ method: "get", path: "/api/builds/{id}/events", operationId: "watchBuild", caller: "person" },
    summary: "The whole view and the log since the cursor, then each change.",
    params: { id: buildIdSchema },
    query: after,
    answer: { kind: "socket", messages: buildEventSchema },
    errors: ["invalid_request", "build_not_found", "upgrade_required"],
  },
  {
    ...{ method: "get", path: "/api/insights", operationId: "readInsights", caller: "person" },
    summary: "How sessions began and why some were cold, what images spared and how fresh they were, how builds ended.",
    query: { ...insightsQuerySchema.shape, repository: repositoryQuery.repository.optional() },
    answer: json(insightsSchema),
    errors: ofRepository,
  },
  {
    ...{ method: "get", path: "/api/notifications", operationId: "listNotificationTargets", caller: "person" },
    summary: "Where failing builds are told, and what became of the last notification.",
    answer: json(notificationTargetListSchema),
    errors: [],
  },
  {
    ...{ method: "put", path: "/api/notifications/{name}", operationId: "putNotificationTarget", caller: "person" },
    summary: "Makes or changes a target. The secret is never shown again; without one the stored one stays.",
    params: { name: notificationTargetNameSchema },
    body: putNotificationTargetSchema,
    answer: json(notificationTargetSchema),
    errors: ["conflict"],
  },
  {
    ...{ method: "delete", path: "/api/notifications/{name}", operationId: "deleteNotificationTarget", caller: "person" },
    summary: "Nothing is told there any more; repeating it changes nothing.",
    params: { name: notificationTargetNameSchema },
    answer: json(notificationTargetDeletedSchema),
    errors: ["invalid_request"],
  },
  {
    ...{ method: "post", path: "/api/notifications/{name}/test", operationId: "testNotificationTarget", caller: "person" },
    summary: "Sends a sample, once, and says what became of it.",
    params: { name: notificationTargetNameSchema },
    answer: json(notificationTestSchema),
    errors: ["invalid_request", "notification_target_not_found"],
  },
  {
    ...{ method: "post", path: "/api/sessions", operationId: "startSession", caller: "person" },
    summary: "Starts a session. Without a branch: the default one, also when it is renamed while the session starts.",
    body: createSessionRequestSchema,
    answer: json(sessionViewSchema, 201),
    errors: ["model_not_allowed", "repository_not_found", "branch_not_found", "repository_empty", "github_unavailable"],
  },
  {
    ...{ method: "post", path: "/api/sessions/reserve", operationId: "reserveSession", caller: "person" },
    summary:
      "Begins a sandbox for the session that somebody is typing the first prompt of, or keeps the one of `reservation`. It is stopped when no session takes it in time.",
    body: reserveSessionRequestSchema,
    answer: json(reservationSchema, 202),
    errors: ["repository_not_found", "branch_not_found", "repository_empty", "github_unavailable", "rate_limited"],
  },
  {
    ...{ method: "delete", path: "/api/sessions/reserve/{id}", operationId: "releaseReservation", caller: "person" },
    summary: "Stops what was reserved and that no session has taken; a session, and what is over, stays as it is.",
    params: { id: sessionIdSchema },
    answer: json(reservationReleasedSchema),
    errors: ["invalid_request"],
  },
  {
    ...{ method: "get", path: "/api/sessions", operationId: "listSessions", caller: "person" },
    summary: "Newest first. `q` looks in title, repository, branch and first prompt; `before` is the `next` of an earlier page.",
    query: sessionListQuerySchema.shape,
    answer: json(sessionListSchema),
    errors: ["invalid_request"],
  },
  {
    ...{ method: "get", path: "/api/sessions/{id}", operationId: "readSession", caller: "person" },
    summary: "One session with phases, receipt and prompts.",
    params: { id: sessionIdSchema },
    answer: json(sessionViewSchema),
    errors: ["session_not_found"],
  },
  {
    ...{ method: "post", path: "/api/sessions/{id}/stop", operationId: "stopSession", caller: "person" },
    summary: "Ends what runs and waits, keeps the files as a snapshot, then ends the sandbox; repeating this changes nothing.",
    params: { id: sessionIdSchema },
    answer: json(sessionViewSchema),
    errors: ["session_not_found"],
  },
  {
    ...{ method: "patch", path: "/api/sessions/{id}", operationId: "changeSession", caller: "person" },
    summary: "Gives it another title.",
    params: { id: sessionIdSchema },
    body: changeSessionRequestSchema,
    answer: json(sessionViewSchema),
    errors: ["session_not_found"],
  },
  {
    ...{ method: "post", path: "/api/sessions/{id}/prompts", operationId: "createPrompt", caller: "person" },
    summary: "Queues a prompt behind the others; the same id again changes nothing. A stopped session starts again for it.",
    params: { id: sessionIdSchema },
    body: createPromptRequestSchema,
    answer: json(promptAnswerSchema, 201),
    errors: ["session_not_found", "session_archived", "model_not_allowed", "prompt_queue_full"],
  },
  {
    ...{ method: "patch", path: "/api/sessions/{id}/prompts/{promptId}", operationId: "changePrompt", caller: "person" },
    summary: "Changes a prompt that waits.",
    params: prompt,
    body: changePromptRequestSchema,
    answer: json(promptAnswerSchema),
    errors: [...ofPrompt, "model_not_allowed", "prompt_started"],
  },
  {
    ...{ method: "delete", path: "/api/sessions/{id}/prompts/{promptId}", operationId: "cancelPrompt", caller: "person" },
    summary: "Cancels a prompt that waits.",
    params: prompt,
    answer: json(promptAnswerSchema),
    errors: [...ofPrompt, "prompt_started"],
  },
  {
    ...{ method: "post", path: "/api/sessions/{id}/prompts/{promptId}/stop", operationId: "stopPrompt", caller: "person" },
    summary:
      "Asks the agent to leave the prompt that it has in hand; one that waits is cancelled, one that is over stays what it is.",
    params: prompt,
    answer: json(promptAnswerSchema),
    errors: ofPrompt,
  },
  {
    ...{ method: "get", path: "/api/sessions/{id}/attachments/{attachmentId}", operationId: "readAttachment" },
    caller: "person",
    summary: "What was attached to a prompt.",
    params: { id: sessionIdSchema, attachmentId: z.string() },
    answer: { kind: "file", contentTypes: attachmentMimes },
    errors: ["session_not_found", "attachment_not_found"],
  },
  {
    ...{ method: "post", path: "/api/sessions/{id}/resume", operationId: "resumeSession", caller: "person" },
    summary: "Starts one without a sandbox again, also where it has failed so often that it does not start by itself any more.",
    params: { id: sessionIdSchema },
    answer: json(sessionViewSchema),
    errors: ["session_not_found", "session_archived"],
  },
  {
    ...{ method: "post", path: "/api/sessions/{id}/refresh", operationId: "refreshSession", caller: "person" },
    summary:
      "Runs `.openinspect/refresh.sh`, or setup where there is none, beside the agent. What becomes of it is told in `staleSetup`.",
    params: { id: sessionIdSchema },
    answer: json(sessionViewSchema, 202),
    errors: ["session_not_found", "session_not_ready"],
  },
  {
    ...{ method: "post", path: "/api/sessions/{id}/archive", operationId: "archiveSession", caller: "person" },
    summary: "Stops it and takes it out of the list. It takes no prompts until it is restored; its files are kept for 7 days.",
    params: { id: sessionIdSchema },
    answer: json(sessionViewSchema),
    errors: ["session_not_found"],
  },
  {
    ...{ method: "post", path: "/api/sessions/{id}/restore", operationId: "restoreSession", caller: "person" },
    summary: "Puts it back into the list.",
    params: { id: sessionIdSchema },
    answer: json(sessionViewSchema),
    errors: ["session_not_found"],
  },
  {
    ...{ method: "post", path: "/api/sessions/{id}/pull-request", operationId: "openPullRequest", caller: "person" },
    summary:
      "Commits what is not committed, pushes it, and opens the pull request or updates the one that is open. What takes longer is told in `pullRequestProgress`.",
    params: { id: sessionIdSchema },
    body: pullRequestRequestSchema,
    answer: json(sessionViewSchema, 202),
    errors: ["session_not_found", "session_not_ready", "session_archived", "conflict", "nothing_to_push", "pull_request_failed"],
  },
  {
    ...{ method: "get", path: "/api/sessions/{id}/events", operationId: "watchSession", caller: "person" },
    summary: "What changed since the cursor, or the whole view; the log after its last entry; then each change and who watches.",
    params: { id: sessionIdSchema },
    query: sessionCursorQuerySchema.shape,
    answer: { kind: "socket", messages: sessionEventSchema },
    errors: ["invalid_request", "session_not_found", "upgrade_required"],
  },
];
