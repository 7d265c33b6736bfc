/** What the sandbox runtime is told at its start: one JSON document on its standard input, never on disk or in env. */
import { z } from "zod";
import { branchSchema, buildIdSchema, digestSchema, sessionIdSchema, shaSchema } from "./ids.ts";

/**
 * Rises when images with an older runtime must not be used any more, for example after a security fix in the runtime. The control
 * plane's setting RUNTIME_FLOOR says which revision is the lowest that it starts sessions from.
 */
export const runtimeRevision = 2;

/** Where the runtime keeps things inside every sandbox. The path of the workspace is baked into agent state: never change it. */
export const sandboxPaths = {
  workspace: "/workspace/repo",
  home: "/home/agent",
  runtimeDir: "/opt/openinspect",
  runtimeBundle: "/opt/openinspect/runtime.mjs",
  stateDir: "/run/openinspect",
  runtimeLog: "/run/openinspect/runtime.log",
} as const;

/** Files in a repository that the runtime runs. */
export const hookPaths = {
  setup: ".openinspect/setup.sh",
  /** instead of setup in an incremental build */
  refresh: ".openinspect/refresh.sh",
  /** in the sandbox that verifies a candidate image */
  verify: ".openinspect/verify.sh",
  start: ".openinspect/start.sh",
} as const;
/** Settings of a repository's images that are kept with the code. */
export const imageFilePath = ".openinspect/image.json";

export const agentConfigSchema = z.object({
  /** base URL of an Anthropic-compatible API, without a trailing slash and without `/v1` */
  modelBaseUrl: z.url(),
  /** a token for that URL that is worth nothing elsewhere; handed to the agent through a 0600 file on tmpfs */
  modelToken: z.string().min(1),
  /** model id as the API knows it */
  model: z.string().min(1),
  /** every model that a prompt may name; `model` is one of them also when it is not listed */
  models: z.array(z.string().min(1)).optional(),
});
export type AgentConfig = z.infer<typeof agentConfigSchema>;

const common = {
  /** `ws:` or `wss:` URL of the bridge for this build or session */
  bridgeUrl: z.url(),
  /** bearer token of this sandbox, bound to this build or session */
  bridgeToken: z.string().min(32),
  /** clone URL without credentials */
  cloneUrl: z.url(),
  branch: branchSchema,
  /** nobody asked for the branch by its name: when the server does not have it any more, its default branch takes its place */
  followDefault: z.boolean().optional(),
  /** clone and fetch limit */
  gitTimeoutMs: z.number().int().positive(),
};

/**
 * `build`: clone, setup, done; the control plane snapshots afterwards. With `previous` the sandbox started from the previous image: sync, then
 * refresh or setup again on what is there.
 * `verify`: nothing is fetched; proves that the image has the commit and that `.openinspect/verify.sh` passes.
 * `session`: from an image sync + agent side by side, from the base clone + setup + agent.
 */
export const runtimeConfigSchema = z.discriminatedUnion("mode", [
  z.object({
    mode: z.literal("build"),
    buildId: buildIdSchema,
    ...common,
    /** an incremental build: the setup.sh that the image was made with, null where there was none */
    previous: z.object({ setup: digestSchema.nullable() }).optional(),
  }),
  z.object({
    mode: z.literal("verify"),
    buildId: buildIdSchema,
    ...common,
    /** the commit that HEAD must be */
    sha: shaSchema,
    /** limit of `.openinspect/verify.sh` */
    verifyHookTimeoutMs: z.number().int().positive(),
  }),
  z.object({
    mode: z.literal("session"),
    sessionId: sessionIdSchema,
    ...common,
    /** image: the workspace is there and setup has run. base: neither. snapshot: this session's own workspace as it was left, which no sync may change. */
    startFrom: z.enum(["image", "base", "snapshot"]),
    agent: agentConfigSchema,
    /** limit of `.openinspect/start.sh` */
    startHookTimeoutMs: z.number().int().positive(),
  }),
]);
export type RuntimeConfig = z.infer<typeof runtimeConfigSchema>;

/** How node is started for the runtime's program: output that floods it must not make its young generation grow, which is 4 MiB then. */
export const runtimeNodeArgs = ["--max-semi-space-size=4"] as const;
