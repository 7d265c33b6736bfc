/**
 * What the Modal emulator asks of whatever runs its sandboxes. Knows nothing of gRPC, images or tags: only filesystems
 * (chains of layers named by a `FilesystemId`), guests that run on them, and processes inside guests.
 */

/** Names an immutable root filesystem in the engine's store. Survives restarts of the engine. */
export type FilesystemId = string;

export interface NetworkPolicy {
  /** nothing but the forwarded ports is reachable */
  blockNetwork: boolean;
  /** host names that egress may reach, `*.` wildcards allowed; null = any public host, empty = none */
  outboundDomainAllowlist: string[] | null;
  /** as CIDR blocks; null = any public address */
  outboundCidrAllowlist: string[] | null;
}

export interface GuestSpec {
  /** unique; also the host name inside */
  id: string;
  filesystem: FilesystemId;
  /** environment of every process in the guest, beneath what exec adds */
  env: Record<string, string>;
  workdir: string | null;
  /** cores, null = unlimited */
  cpu: number | null;
  memoryMiB: number | null;
  /**
   * what it can write before ENOSPC; missing: as much as the host has. A limited disk is in memory, counts as the guest's memory,
   * and cannot be snapshotted: it is there to see how programs take a full disk.
   */
  diskBytes?: number;
  network: NetworkPolicy;
}

export interface ExecSpec {
  argv: string[];
  env: Record<string, string>;
  /** absolute; null = the guest's workdir, else the home of root */
  workdir: string | null;
  /** null = no limit. At the limit the process group gets SIGKILL and the exit code is 137. */
  timeoutMs: number | null;
  pty: boolean;
}

/** A process inside a guest. Output is pushed in order per stream; nothing is dropped. */
export interface GuestProcess {
  write(bytes: Uint8Array): Promise<void>;
  closeStdin(): Promise<void>;
  onOutput(listener: (fd: 1 | 2, bytes: Uint8Array) => void): void;
  /** code, or 128 + signal; 127 when the program is not found. Resolves after all output was pushed. */
  readonly exit: Promise<number>;
  kill(): Promise<void>;
}

export interface GuestEnd {
  /** `killed`: by `kill()`. `oom`: the memory limit. `died`: it went away by itself or from outside. */
  reason: "killed" | "oom" | "died";
}

export interface Guest {
  readonly id: string;
  exec(spec: ExecSpec): Promise<GuestProcess>;
  /** All processes are gone when it resolves. Idempotent. */
  kill(): Promise<void>;
  readonly ended: Promise<GuestEnd>;
}

export interface EngineDescription {
  /**
   * `none`: guests are NOT confined. `namespaces, no seccomp`: they are, but may call all of the kernel. Said on the page and in
   * the log.
   */
  isolation: "namespaces" | "namespaces, no seccomp" | "none";
  /** for people, one line: launcher, uid mode, limits in force, what is missing */
  detail: string;
}

/** Every call is safe to repeat; ids are the caller's. Errors are `EngineError`. */
export interface SandboxEngine {
  describe(): EngineDescription;
  /** Resolves a registry tag to a filesystem, importing or building it when needed. Unknown tag → EngineError("not_found"). */
  filesystemFromTag(tag: string): Promise<FilesystemId>;
  filesystemExists(id: FilesystemId): boolean;
  createGuest(spec: GuestSpec): Promise<Guest>;
  /** The guest goes on afterwards (it may be paused meanwhile). The new filesystem is durable when this resolves. */
  snapshot(guestId: string): Promise<FilesystemId>;
  /** Layers that nothing refers to any more are freed in the background. Deleting an unknown id is a no-op. */
  deleteFilesystem(id: FilesystemId): Promise<void>;
  /**
   * Of the snapshots that an earlier run left in the store, frees all that are not named: a run that dies between making one
   * and writing down its name leaves it to nobody. Snapshots of this run and the filesystems of tags stay.
   */
  retainOnly(ids: Iterable<FilesystemId>): Promise<void>;
  /** Kills all guests, frees what is not referenced. */
  close(): Promise<void>;
}

export class EngineError extends Error {
  readonly kind: "not_found" | "invalid" | "exhausted" | "failed";
  constructor(kind: EngineError["kind"], message: string) {
    super(message);
    this.name = "EngineError";
    this.kind = kind;
  }
}

/** What `createEngine` (namespace or directory engine, chosen by trying) is given. */
export interface EngineOptions {
  /** where layers and guests live; made when missing; leftovers of a killed run are cleaned at the start */
  stateDir: string;
  /** loopback ports of the host that guests reach at the same address 127.0.0.1:PORT: control plane, git server */
  forwardedPorts: number[];
  /** programs of the host that `local/host-toolchain` shows at /opt/tools/bin, first in PATH: name → absolute file */
  tools: Record<string, string>;
  /** whole directories shown read-only: path inside → directory of the host */
  toolDirs?: Record<string, string>;
}
