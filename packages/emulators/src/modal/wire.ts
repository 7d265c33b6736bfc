/**
 * The fields that the emulator reads of the SDK's gRPC requests, and the numbers of the enums on both sides. Knows nothing of
 * behaviour.
 */
import { z } from "zod";

export const resultStatus = { success: 1, failure: 2, terminated: 3, timeout: 4, idleTimeout: 7 } as const;
/** `GenericResult` */
export interface WireResult {
  status: (typeof resultStatus)[keyof typeof resultStatus];
  exitcode: number;
  exception: string;
}
export const creation = { lookup: 0, createIfMissing: 1, ephemeral: 5 } as const;
export const networkAccess = { unspecified: 0, open: 1, blocked: 2, allowlist: 3 } as const;
export const tunnelType = { http2: 1 } as const;
/** `SecretGetOrCreate` and the logs of V1 count from 1, the router counts from 0 */
export const routerFd = { stdout: 0, stderr: 1 } as const;
export const outputConfig = { devNull: 0, pipe: 1, stdout: 2 } as const;

const bytes = z.instanceof(Uint8Array);
const tag = z.object({ tagName: z.string(), tagValue: z.string() });
const secretSource = z.object({
  secretId: z.string().optional(),
  env: z.object({ contents: z.record(z.string(), z.string()) }).optional(),
});
export type SecretSource = z.infer<typeof secretSource>;
const byId = z.object({ sandboxId: z.string() });

const sandboxDefinition = z.object({
  entrypointArgs: z.array(z.string()),
  imageId: z.string(),
  secretIds: z.array(z.string()),
  resources: z
    .object({ memoryMb: z.number(), memoryMbMax: z.number(), milliCpu: z.number(), milliCpuMax: z.number() })
    .optional(),
  timeoutSecs: z.number(),
  idleTimeoutSecs: z.number().optional(),
  workdir: z.string().optional(),
  blockNetwork: z.boolean(),
  networkAccess: z
    .object({ networkAccessType: z.number(), allowedCidrs: z.array(z.string()), allowedDomains: z.array(z.string()) })
    .optional(),
  openPorts: z
    .object({
      ports: z.array(z.object({ port: z.number().int(), unencrypted: z.boolean(), tunnelType: z.number().optional() })),
    })
    .optional(),
  ptyInfo: z.object({ enabled: z.boolean() }).optional(),
  readinessProbe: z
    .object({
      tcpPort: z.number().int().optional(),
      execCommand: z.object({ argv: z.array(z.string()).min(1) }).optional(),
      intervalMs: z.number().optional(),
    })
    .optional(),
  volumeMounts: z.array(z.unknown()),
  cloudBucketMounts: z.array(z.unknown()),
  name: z.string().optional(),
});
export type SandboxDefinition = z.infer<typeof sandboxDefinition>;

/** Control plane requests. */
export const control = {
  empty: z.object({}),
  appGetOrCreate: z.object({ appName: z.string(), environmentName: z.string(), objectCreationType: z.number() }),
  environmentGetOrCreate: z.object({ deploymentName: z.string() }),
  secretGetOrCreate: z.object({
    deploymentName: z.string(),
    objectCreationType: z.number(),
    envDict: z.record(z.string(), z.string()),
  }),
  imageGetOrCreate: z.object({
    appId: z.string(),
    forceBuild: z.boolean(),
    image: z.object({
      dockerfileCommands: z.array(z.string()),
      baseImages: z.array(z.object({ imageId: z.string(), dockerTag: z.string() })),
      secretIds: z.array(z.string()),
    }),
  }),
  imageJoin: z.object({ imageId: z.string(), timeout: z.number() }),
  imageId: z.object({ imageId: z.string() }),
  imagePublish: z.object({ imageId: z.string(), environmentName: z.string(), tag: z.string() }),
  imageByTag: z.object({ environmentName: z.string(), tag: z.string() }),
  sandboxCreate: z.object({ appId: z.string(), definition: sandboxDefinition, tags: z.array(tag) }),
  sandboxCreateV2: z.object({
    appId: z.string(),
    definition: sandboxDefinition,
    tags: z.array(tag),
    secretSources: z.array(secretSource),
  }),
  sandboxId: byId,
  sandboxWait: z.object({ sandboxId: z.string(), timeout: z.number() }),
  sandboxFromName: z.object({
    sandboxName: z.string(),
    appName: z.string(),
    environmentName: z.string(),
    includeTerminated: z.boolean(),
  }),
  sandboxList: z.object({
    appId: z.string(),
    environmentName: z.string(),
    beforeTimestamp: z.number(),
    includeFinished: z.boolean(),
    tags: z.array(tag),
  }),
  tagsSet: z.object({ sandboxId: z.string(), tags: z.array(tag) }),
  taskAccess: z.object({ taskId: z.string() }),
  sandboxLogs: z.object({ sandboxId: z.string(), fileDescriptor: z.number(), timeout: z.number(), lastEntryId: z.string() }),
  sandboxStdin: z.object({ sandboxId: z.string(), input: bytes, index: z.number(), eof: z.boolean() }),
} as const;

const exec = { taskId: z.string(), execId: z.string() };

/** Router requests. */
export const router = {
  execStart: z.object({
    ...exec,
    commandArgs: z.array(z.string()).min(1),
    stdoutConfig: z.number(),
    stderrConfig: z.number(),
    timeoutSecs: z.number().optional(),
    workdir: z.string().optional(),
    secretIds: z.array(z.string()),
    env: z.record(z.string(), z.string()),
    secretSources: z.array(secretSource),
    ptyInfo: z.object({ enabled: z.boolean() }).optional(),
    containerId: z.string(),
  }),
  exec: z.object(exec),
  execRead: z.object({ ...exec, offset: z.number().int().nonnegative(), fileDescriptor: z.number() }),
  execStdin: z.object({ ...exec, offset: z.number().int().nonnegative(), data: bytes, eof: z.boolean() }),
  execStdinStream: z.object({
    start: z.object({ ...exec, offset: z.number().int().nonnegative() }).optional(),
    data: bytes.optional(),
    end: z.object({}).optional(),
  }),
  snapshotFilesystem: z.object({
    taskId: z.string(),
    snapshotId: z.string().min(1),
    ttlSeconds: z.number().optional(),
    containerId: z.string(),
  }),
  sandboxRead: z.object({ taskId: z.string(), offset: z.number().int().nonnegative(), fileDescriptor: z.number() }),
  waitUntilReady: z.object({ taskId: z.string(), timeout: z.number() }),
  sandboxStdin: z.object({ taskId: z.string(), offset: z.number().int().nonnegative(), data: bytes, eof: z.boolean() }),
} as const;

export function tagsToRecord(tags: { tagName: string; tagValue: string }[]): Record<string, string> {
  return Object.fromEntries(tags.map((each) => [each.tagName, each.tagValue]));
}
export function tagsToWire(tags: Record<string, string>): { tagName: string; tagValue: string }[] {
  return Object.entries(tags).map(([tagName, tagValue]) => ({ tagName, tagValue }));
}
