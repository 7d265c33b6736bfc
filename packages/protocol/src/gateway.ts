/**
 * The gateway API: few, coarse, idempotent HTTP calls that a Durable Object's alarm can repeat.
 *
 * Every request is signed (`modal-client/src/signing.ts`). Paths, all below `/v1`:
 * `GET /health` · `PUT /sandboxes/:name` create by name · `POST /sandboxes/:id/start` · `GET /sandboxes/:id[?runtime=1]` status ·
 * `GET /sandboxes/:id/logs?offset=` · `POST /sandboxes/:id/snapshot` · `POST /sandboxes/:id/terminate` ·
 * `GET /sandboxes?tag.<key>=<value>` · `DELETE /images/:id`.
 */
import { z } from "zod";
import { failureLinesMax } from "./image-build.ts";
import { runtimeConfigSchema } from "./runtime-config.ts";

/** How a gateway failure is to be handled. `transient` may be repeated, `permanent` must not. */
export const gatewayErrorKinds = ["transient", "permanent", "not_found", "unauthorized", "invalid_request"] as const;
export type GatewayErrorKind = (typeof gatewayErrorKinds)[number];
export const gatewayErrorBodySchema = z.object({
  error: z.object({
    kind: z.enum(gatewayErrorKinds),
    code: z.string(),
    message: z.string(),
    hint: z.string(),
    /** the end of what was printed before it, oldest first, where there is such output */
    lines: z.array(z.string()).max(failureLinesMax).optional(),
  }),
});
export type GatewayErrorBody = z.infer<typeof gatewayErrorBodySchema>;

/** A sandbox's name at the provider: unique among the running ones of the app. */
export const sandboxNameSchema = z.string().regex(/^[A-Za-z0-9._-]{1,64}$/);
export const sandboxTagsSchema = z.record(z.string().max(64), z.string().max(256));

/** `base`: the gateway's configured base image with the current runtime. `image`: a snapshot by the provider's id. */
export const sandboxSourceSchema = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("base") }),
  z.object({ kind: z.literal("image"), providerImageId: z.string().min(1) }),
]);
export type SandboxSource = z.infer<typeof sandboxSourceSchema>;

/** While the base image is being built create answers `transient` with this code; it is worth asking again for as long as it takes. */
export const baseNotReadyCode = "base_not_ready";
/** The provider has no capacity at the moment, or limits the rate of calls: nothing was done, and asking again later may help. */
export const providerBusyCode = "provider_busy";
/** The base image cannot be built; `lines` are the end of the build's output. `permanent`: only an operator can help. */
export const baseImageFailedCode = "base_image_failed";

/** `PUT /sandboxes/:name`. A second call with the same name returns the same sandbox while it runs. */
export const createSandboxRequestSchema = z.object({
  source: sandboxSourceSchema,
  tags: sandboxTagsSchema,
  /** cores */
  cpu: z.number().positive(),
  memoryMiB: z.number().int().positive(),
  /** the sandbox's whole life; a multiple of 1000 */
  timeoutMs: z.number().int().positive().multipleOf(1000),
});
export type CreateSandboxRequest = z.infer<typeof createSandboxRequestSchema>;
export const createSandboxResponseSchema = z.object({
  sandboxId: z.string().min(1),
  /** false when a sandbox of that name was running already */
  created: z.boolean(),
  durationMs: z.number().nonnegative(),
  /** the part of `durationMs` in which the base image was still being built; 0 when it is left out */
  baseWaitMs: z.number().nonnegative().optional(),
});
export type CreateSandboxResponse = z.infer<typeof createSandboxResponseSchema>;

/** `POST /sandboxes/:id/start`. Starts the runtime once; a repetition answers `started: false`. */
export const startSandboxRequestSchema = z.object({ config: runtimeConfigSchema });
export type StartSandboxRequest = z.infer<typeof startSandboxRequestSchema>;
export const startSandboxResponseSchema = z.object({ started: z.boolean(), durationMs: z.number().nonnegative() });
export type StartSandboxResponse = z.infer<typeof startSandboxResponseSchema>;

/**
 * `GET /sandboxes/:id`. With `?runtime=1` the gateway also looks into a running sandbox: `gone` is certain, and the runtime
 * that was started there does not come back; `unknown` says that it could not look.
 */
export const sandboxStatusSchema = z.discriminatedUnion("status", [
  z.object({ status: z.literal("running"), runtime: z.enum(["running", "gone", "unknown"]).optional() }),
  z.object({
    status: z.literal("ended"),
    exitCode: z.number().int().nullable(),
    /** `out_of_memory`: the kernel or the provider ended it for its memory */
    reason: z.enum(["exited", "terminated", "timeout", "out_of_memory", "unknown"]),
  }),
]);
export type SandboxStatus = z.infer<typeof sandboxStatusSchema>;

/** `GET /sandboxes/:id/logs?offset=N`: what the runtime itself printed, from a byte offset. */
export const sandboxLogsSchema = z.object({ text: z.string(), nextOffset: z.number().int().nonnegative() });
export type SandboxLogs = z.infer<typeof sandboxLogsSchema>;

/** `POST /sandboxes/:id/snapshot`. `ttlMs: null` keeps the image until it is deleted. */
export const snapshotRequestSchema = z.object({
  timeoutMs: z.number().int().positive().multipleOf(1000),
  ttlMs: z.number().int().positive().multipleOf(1000).nullable(),
});
export type SnapshotRequest = z.infer<typeof snapshotRequestSchema>;
export const snapshotResponseSchema = z.object({ providerImageId: z.string().min(1), durationMs: z.number().nonnegative() });
export type SnapshotResponse = z.infer<typeof snapshotResponseSchema>;

/** `GET /sandboxes?tag.k=v`. */
export const sandboxListSchema = z.object({
  sandboxes: z.array(z.object({ sandboxId: z.string(), tags: sandboxTagsSchema })),
});
export type SandboxList = z.infer<typeof sandboxListSchema>;

/** `GET /health`. */
export const gatewayHealthSchema = z.object({
  status: z.literal("ok"),
  /** content hash of the runtime bundle that new base sandboxes run */
  runtimeVersion: z.string(),
  base: z.object({ name: z.string(), ready: z.boolean(), providerImageId: z.string().nullable() }),
  sdkVersion: z.string(),
});
export type GatewayHealth = z.infer<typeof gatewayHealthSchema>;
