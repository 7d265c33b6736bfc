/** Turns the SDK's request for a sandbox into what a sandbox is started from, or refuses it. Pure but for new ids. */
import { Status } from "nice-grpc";
import { type NetworkPolicy } from "./engine/engine.ts";
import { newSandboxId, newTaskId } from "./ids.ts";
import { type ReadinessProbe } from "./readiness.ts";
import { fail } from "./rpc.ts";
import { type SandboxSpec } from "./sandbox.ts";
import { type ImageRecord } from "./state-store.ts";
import { networkAccess, type SandboxDefinition, tunnelType } from "./wire.ts";

/** Modal's own limit for one sandbox. */
const longestLifeSecs = 24 * 60 * 60;
const shortestProbeIntervalMs = 20;

function toNetwork(definition: SandboxDefinition): NetworkPolicy {
  const access = definition.networkAccess;
  if (definition.blockNetwork || access?.networkAccessType === networkAccess.blocked) {
    return { blockNetwork: true, outboundDomainAllowlist: [], outboundCidrAllowlist: [] };
  }
  if (access?.networkAccessType === networkAccess.allowlist) {
    // one list that is missing allows nothing beyond the other
    return { blockNetwork: false, outboundDomainAllowlist: access.allowedDomains, outboundCidrAllowlist: access.allowedCidrs };
  }
  return { blockNetwork: false, outboundDomainAllowlist: null, outboundCidrAllowlist: null };
}

function toProbe({ readinessProbe }: SandboxDefinition): ReadinessProbe | null {
  if (readinessProbe === undefined) return null;
  const { tcpPort, execCommand, intervalMs } = readinessProbe;
  const interval = { intervalMs: Math.max(intervalMs ?? 0, shortestProbeIntervalMs) };
  if (execCommand !== undefined) return { check: { kind: "exec", argv: execCommand.argv }, ...interval };
  if (tcpPort !== undefined) return { check: { kind: "tcp", port: tcpPort }, ...interval };
  return fail(Status.INVALID_ARGUMENT, "A readiness probe needs a port or a command.");
}

/** `env` holds the secrets of the request, merged. Fails with INVALID_ARGUMENT or UNIMPLEMENTED. */
export function toSandboxSpec(
  version: "v1" | "v2",
  appId: string,
  definition: SandboxDefinition,
  tags: Record<string, string>,
  image: ImageRecord,
  env: Record<string, string>,
): Omit<SandboxSpec, "createdAt"> {
  const { name, resources } = definition;
  if (name !== undefined && !/^[A-Za-z0-9._-]{1,64}$/.test(name)) {
    fail(Status.INVALID_ARGUMENT, `Sandbox name '${name}' is invalid: at most 64 letters, digits, '.', '_' and '-'.`);
  }
  if (definition.timeoutSecs <= 0 || definition.timeoutSecs > longestLifeSecs) {
    fail(Status.INVALID_ARGUMENT, `The timeout is ${definition.timeoutSecs} s: it must be between 1 and ${longestLifeSecs} s.`);
  }
  if (definition.volumeMounts.length > 0 || definition.cloudBucketMounts.length > 0) {
    fail(
      Status.UNIMPLEMENTED,
      "The Modal emulator has no volumes and no bucket mounts: write files with sandbox.filesystem, or put them into an image with dockerfileCommands.",
    );
  }
  // Modal reserves the request and caps at the limit. On one machine the request alone has to be the cap.
  const milliCpu = resources?.milliCpuMax || resources?.milliCpu;
  const memoryMiB = resources?.memoryMbMax || resources?.memoryMb;
  return {
    id: newSandboxId(version),
    taskId: newTaskId(),
    appId,
    image: { id: image.id, env: image.env, workdir: image.workdir },
    name: name ?? null,
    tags,
    guest: {
      filesystem: image.filesystem,
      env: { ...image.env, ...env },
      workdir: definition.workdir ?? image.workdir,
      cpu: milliCpu ? milliCpu / 1000 : null,
      memoryMiB: memoryMiB || null,
      network: toNetwork(definition),
    },
    command: definition.entrypointArgs,
    pty: definition.ptyInfo?.enabled ?? false,
    timeoutMs: definition.timeoutSecs * 1000,
    idleTimeoutMs: definition.idleTimeoutSecs ? definition.idleTimeoutSecs * 1000 : null,
    probe: toProbe(definition),
    ports: (definition.openPorts?.ports ?? []).map((each) => ({
      port: each.port,
      unencrypted: each.unencrypted,
      http2: each.tunnelType === tunnelType.http2,
    })),
  };
}
