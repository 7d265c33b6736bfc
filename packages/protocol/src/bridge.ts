/**
 * The bridge: the WebSocket between a sandbox's runtime and the Durable Object that owns it, JSON text frames.
 *
 * The runtime dials with `Authorization: Bearer <bridgeToken>`, sends `hello`, waits for `welcome { ack }`, drops what
 * is acknowledged from its outbox, resends the rest and goes on. Events are numbered from 1 without gaps; the object
 * applies each number once and acknowledges cumulatively. A newer socket replaces an older one.
 */
import { z } from "zod";
import {
  attachmentSchema,
  personSchema,
  promptMaxLength,
  promptPartSchema,
  todoSchema,
  usageSchema,
  workspaceDiffSchema,
} from "./conversation.ts";
import {
  branchSchema,
  digestSchema,
  promptIdSchema,
  repositoryPathSchema,
  sessionIdSchema,
  shaSchema,
  timestampSchema,
} from "./ids.ts";
import { failureSchema, phaseSchema, repositoryImageFileSchema, workspaceInputsSchema } from "./image-build.ts";

export const bridgeProtocolVersion = 1;
/** A frame above this is refused with close code `frameTooLarge`. */
export const bridgeFrameMaxBytes = 512 * 1024;
/**
 * The most text in one `log` event; longer output is split, and so is text that JSON makes more than twice as long. Each event is a frame, and
 * a write to the disk of whoever keeps it: large ones are what makes a flood of output cheap.
 */
export const logChunkMaxBytes = 128 * 1024;
export const heartbeatIntervalMs = 20_000;
/** Without any frame for this long a sandbox is taken for lost. */
export const heartbeatLostMs = 90_000;

/** WebSocket close codes of the bridge. After a final one the runtime must not dial again. */
export const bridgeCloseCodes = {
  /** a newer socket of the same sandbox took over (final for the old process' socket) */
  replaced: 4000,
  /** unknown or retired token (final) */
  unauthorized: 4001,
  /** the build or session is over (final) */
  ended: 4002,
  /** a frame that is no message of this protocol (final) */
  protocolError: 4003,
  frameTooLarge: 4004,
} as const;

/** What happened inside the sandbox. */
export const runtimeEventSchema = z.discriminatedUnion("type", [
  z.object({ type: z.literal("phase.started"), phase: phaseSchema }),
  z.object({
    type: z.literal("phase.finished"),
    phase: phaseSchema,
    outcome: z.enum(["done", "failed", "skipped"]),
    durationMs: z.number().nonnegative(),
    detail: z.string().optional(),
  }),
  z.object({
    type: z.literal("log"),
    phase: phaseSchema,
    stream: z.enum(["stdout", "stderr", "system", "gap"]),
    text: z.string(),
  }),
  /**
   * the workspace is on `sha`, which is what the server said the branch is. `bakedSha`: HEAD before the sync, null after a clone.
   * `branch`: the server's default branch, where it took the place of the one in the configuration
   */
  z.object({
    type: z.literal("workspace.synced"),
    sha: shaSchema,
    bakedSha: shaSchema.nullable(),
    branch: branchSchema.optional(),
  }),
  /** session mode, after the sync: how far the image was behind. `oldestAt`: when the oldest of the missing commits was made, null for none */
  z.object({
    type: z.literal("workspace.behind"),
    commits: z.number().int().nonnegative(),
    oldestAt: timestampSchema.nullable(),
  }),
  /** build mode: what the image depends on, known before setup runs */
  z.object({ type: z.literal("build.inputs"), inputs: workspaceInputsSchema, file: repositoryImageFileSchema }),
  /** incremental build: setup.sh is another than the one that the image was made with, so a full build is needed. Nothing was run. */
  z.object({ type: z.literal("build.outdated"), setup: digestSchema.nullable() }),
  /** build mode: everything to snapshot is in place and nothing else runs */
  z.object({
    type: z.literal("build.finished"),
    sha: shaSchema,
    setupRan: z.boolean(),
    /** bytes of the workspace and the home folder */
    sizeBytes: z.number().int().nonnegative().nullable().optional(),
  }),
  /** verify mode: HEAD is the built commit, and `.openinspect/verify.sh` passed where there is one */
  z.object({ type: z.literal("verify.finished"), sha: shaSchema, verifyRan: z.boolean() }),
  /** session mode: agent healthy and HEAD proved */
  z.object({ type: z.literal("session.ready"), sha: shaSchema, setupRan: z.boolean(), agentVersion: z.string() }),
  /**
   * session mode, from an image, before the workspace is reset: the files that differ between the baked commit and the branch's head. Only these
   * stay closed to the agent's editing tools until the sync is proved. null: too many to tell, all stay closed
   */
  z.object({ type: z.literal("workspace.changed"), files: z.array(repositoryPathSchema).max(5_000).nullable() }),
  /** the agent is healthy and its edit gate has proved itself: it may read; it may write when the gate is open */
  z.object({ type: z.literal("agent.ready"), agentVersion: z.string(), gate: z.enum(["closed", "open"]) }),
  /** after the sync: files that setup depends on are others than in the image */
  z.object({
    type: z.literal("setup.stale"),
    files: z.array(repositoryPathSchema).max(50),
    refresh: z.enum(["offered", "running", "done", "failed"]),
  }),
  /** the workspace as it differs from where the session began; sent when it has changed */
  z.object({ type: z.literal("workspace.diff"), diff: workspaceDiffSchema }),
  /** the agent's to-do list as a whole */
  z.object({ type: z.literal("todos"), todos: z.array(todoSchema).max(200) }),
  /** everything that the prompt has cost until now */
  z.object({ type: z.literal("prompt.usage"), promptId: promptIdSchema, usage: usageSchema }),
  /** the answer to a `push`, once for each `pushId` */
  z.object({
    type: z.literal("push.finished"),
    pushId: z.string(),
    outcome: z.discriminatedUnion("kind", [
      z.object({ kind: z.literal("pushed"), branch: branchSchema, sha: shaSchema, commits: z.number().int().nonnegative() }),
      /** the branch that would be pushed has no commit that the base does not have, and nothing is uncommitted */
      z.object({ kind: z.literal("nothing") }),
      z.object({ kind: z.literal("failed"), message: z.string() }),
    ]),
  }),
  z.object({ type: z.literal("agent.restarted"), attempt: z.number().int().positive(), reason: z.string() }),
  /** nothing more will come: the build or the session's start has failed. `isOutside`: another sandbox would meet the same cause */
  z.object({ type: z.literal("failed"), failure: failureSchema, isOutside: z.boolean().optional() }),
  z.object({ type: z.literal("prompt.started"), promptId: promptIdSchema }),
  /** text that a part grew by; lost deltas are healed by the whole part that follows */
  z.object({
    type: z.literal("prompt.delta"),
    promptId: promptIdSchema,
    partId: z.string(),
    kind: z.enum(["text", "reasoning"]),
    delta: z.string(),
  }),
  /** a part as a whole; replaces what was known of it. Without text: taken back, the answer was cut off there and is given anew */
  z.object({ type: z.literal("prompt.part"), promptId: promptIdSchema, part: promptPartSchema }),
  z.object({
    type: z.literal("prompt.finished"),
    promptId: promptIdSchema,
    outcome: z.enum(["done", "aborted", "failed"]),
    error: z.string().nullable(),
  }),
]);
export type RuntimeEvent = z.infer<typeof runtimeEventSchema>;

/** What the agent's own tools may ask about sessions of the same repository. */
export const agentSessionRequestSchema = z.discriminatedUnion("call", [
  z.object({
    call: z.literal("start"),
    prompt: z.string().min(1).max(promptMaxLength),
    branch: branchSchema.optional(),
    model: z.string().optional(),
  }),
  /** sessions that this one began */
  z.object({ call: z.literal("list") }),
  z.object({ call: z.literal("read"), sessionId: sessionIdSchema }),
]);
export type AgentSessionRequest = z.infer<typeof agentSessionRequestSchema>;
/** A session as the agent that began it sees it. */
export const agentSessionStateSchema = z.object({
  id: sessionIdSchema,
  status: z.string(),
  isWorking: z.boolean(),
  title: z.string(),
  url: z.string(),
  /** the end of the last answer's text, in `read` only */
  lastAnswer: z.string().nullable(),
});

export type AgentSessionState = z.infer<typeof agentSessionStateSchema>;

/** Sandbox → control plane. */
export const bridgeUpSchema = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("hello"),
    protocol: z.number().int(),
    /** content hash of the running bundle */
    runtimeVersion: z.string(),
    /** `runtimeRevision` of the running bundle */
    revision: z.number().int().positive().optional(),
    /** random per process: tells a reconnect from a new life */
    bootId: z.string(),
  }),
  z.object({ type: z.literal("event"), seq: z.number().int().positive(), at: timestampSchema, event: runtimeEventSchema }),
  z.object({ type: z.literal("heartbeat"), at: timestampSchema }),
  /** asks for a git credential for this sandbox's one repository. `pushId`: to write, for the push that the control plane has asked for */
  z.object({ type: z.literal("credential.request"), id: z.string(), pushId: z.string().optional() }),
  /** the agent asks for another session, or for the state of one that it began. Answered once by `session.answer` with the same id */
  z.object({ type: z.literal("session.request"), id: z.string(), request: agentSessionRequestSchema }),
]);
export type BridgeUp = z.infer<typeof bridgeUpSchema>;

/** Control plane → sandbox. */
export const bridgeDownSchema = z.discriminatedUnion("type", [
  z.object({ type: z.literal("welcome"), ack: z.number().int().nonnegative() }),
  z.object({ type: z.literal("ack"), seq: z.number().int().nonnegative() }),
  z.object({ type: z.literal("credential"), id: z.string(), username: z.string(), password: z.string() }),
  z.object({ type: z.literal("credential.refused"), id: z.string(), message: z.string() }),
  z.object({
    type: z.literal("prompt"),
    promptId: promptIdSchema,
    text: z.string().min(1),
    model: z.string().nullable(),
    /** bytes are read from `<bridge URL as http(s)>/attachments/<id>` with the bridge's token */
    attachments: z.array(attachmentSchema).optional(),
    /** whoever asked; commits of this prompt carry the name */
    author: personSchema.nullable().optional(),
    /** makes ids that the agent derives from the prompt repeatable */
    createdAt: timestampSchema,
  }),
  z.object({ type: z.literal("abort"), promptId: promptIdSchema }),
  /** bring the workspace to the branch's head again (nothing was edited yet), and say `session.ready` again: a reserved sandbox has got its session */
  z.object({ type: z.literal("sync"), branch: branchSchema.optional() }),
  /** run `.openinspect/refresh.sh`, or setup.sh where there is none, beside the agent */
  z.object({ type: z.literal("refresh") }),
  /** commit what is not committed as `author`, push to `branch`, answer `push.finished`. The same `pushId` again answers the same */
  z.object({
    type: z.literal("push"),
    pushId: z.string(),
    branch: branchSchema,
    message: z.string().min(1),
    author: personSchema.nullable(),
  }),
  /** answers `session.request` */
  z.object({ type: z.literal("session.answer"), id: z.string(), sessions: z.array(agentSessionStateSchema) }),
  z.object({ type: z.literal("session.refused"), id: z.string(), message: z.string() }),
  /** end cleanly and exit */
  z.object({ type: z.literal("shutdown"), reason: z.string() }),
]);
export type BridgeDown = z.infer<typeof bridgeDownSchema>;
