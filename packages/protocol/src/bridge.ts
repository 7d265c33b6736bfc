/**
 * The bridge: the WebSocket between a sandbox's runtime and the Durable Object that owns it, JSON text frames.
 *
 * The runtime dials with `Authorization: Bearer <bridgeToken>`, sends `hello`, waits for `welcome { ack }`, drops what
 * is acknowledged from its outbox, resends the rest and goes on. Events are numbered from 1 without gaps; the object
 * applies each number once and acknowledges cumulatively. A newer socket replaces an older one.
 */
import { z } from "zod";
import { branchSchema, digestSchema, promptIdSchema, shaSchema, timestampSchema } from "./ids.ts";
import { failureSchema, phaseSchema, repositoryImageFileSchema, workspaceInputsSchema } from "./image-build.ts";
import { promptPartSchema } from "./session.ts";

export const bridgeProtocolVersion = 1;
/** A frame above this is refused with close code `frameTooLarge`. */
export const bridgeFrameMaxBytes = 512 * 1024;
/** The most text in one `log` event; longer output is split. */
export const logChunkMaxBytes = 32 * 1024;
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
  /** asks for a git credential for this sandbox's one repository */
  z.object({ type: z.literal("credential.request"), id: z.string() }),
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
    /** makes ids that the agent derives from the prompt repeatable */
    createdAt: timestampSchema,
  }),
  z.object({ type: z.literal("abort"), promptId: promptIdSchema }),
  /** end cleanly and exit */
  z.object({ type: z.literal("shutdown"), reason: z.string() }),
]);
export type BridgeDown = z.infer<typeof bridgeDownSchema>;
