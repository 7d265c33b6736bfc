/**
 * One sandbox from its guest's creation to its end: entrypoint, lifetime and idle limits, snapshots, tunnels. Knows nothing of
 * names, lists or gRPC messages.
 */
import { Status } from "nice-grpc";
import { type Guest, type GuestSpec, type SandboxEngine } from "./engine/engine.ts";
import { createExecProcess, type ExecProcess } from "./exec-process.ts";
import { createExecs, type Execs } from "./execs.ts";
import { type ReadinessProbe } from "./readiness.ts";
import { fail } from "./rpc.ts";
import { type ImageRecord } from "./state-store.ts";
import { openTunnels, type TlsIdentity, type TunnelPort, type Tunnels } from "./tunnels.ts";
import { resultStatus, type WireResult } from "./wire.ts";

/** How long the output of an ended sandbox can still be read. */
const keptAfterEndMs = 60_000;

export interface SandboxSpec {
  id: string;
  taskId: string;
  appId: string;
  image: Pick<ImageRecord, "id" | "env" | "workdir">;
  name: string | null;
  tags: Record<string, string>;
  /** seconds, unique and rising: the SDK pages by it */
  createdAt: number;
  guest: Omit<GuestSpec, "id">;
  /** empty: sleeps until its end */
  command: string[];
  pty: boolean;
  timeoutMs: number;
  /** null: no limit */
  idleTimeoutMs: number | null;
  ports: TunnelPort[];
  /** null: it was created without one */
  probe: ReadinessProbe | null;
}

type SandboxState = { status: "running" } | { status: "ending" | "ended"; result: WireResult };

export interface Sandbox {
  readonly spec: SandboxSpec;
  tags: Record<string, string>;
  readonly state: SandboxState;
  readonly entrypoint: ExecProcess | null;
  readonly tunnels: Tunnels["open"];
  /** Resolves when nothing of it runs any more. */
  readonly ended: Promise<WireResult>;
  /** Fails with FAILED_PRECONDITION unless the sandbox runs. */
  requireRunning(): Guest;
  readonly execs: Execs;
  /** Someone uses the sandbox: the idle limit starts anew. */
  touch(): void;
  /** One snapshot per id: a repetition answers what the first call made. */
  snapshot(id: string, take: (guestId: string) => Promise<string>): Promise<string>;
  /** The first reason stays. Resolves at `ended`. */
  end(result: WireResult): Promise<void>;
  /** Lets go of its processes' output. It has ended, and nobody will read it. */
  forget(): void;
}

export const endings = {
  terminated: { status: resultStatus.terminated, exitcode: 137, exception: "The sandbox was terminated." },
  timeout: { status: resultStatus.timeout, exitcode: 124, exception: "The sandbox reached its time limit." },
  idle: { status: resultStatus.idleTimeout, exitcode: 137, exception: "The sandbox was idle for its idle limit." },
  oom: { status: resultStatus.failure, exitcode: 137, exception: "The sandbox ran out of memory." },
  died: { status: resultStatus.terminated, exitcode: 137, exception: "The sandbox died." },
} satisfies Record<string, WireResult>;

const exited = (code: number): WireResult => ({
  status: code === 0 ? resultStatus.success : resultStatus.failure,
  exitcode: code,
  exception: code === 0 ? "" : `The sandbox's command ended with code ${code}.`,
});

export interface SandboxPorts {
  engine: SandboxEngine;
  /** of encrypted tunnels */
  identity: TlsIdentity;
  /** of each output stream of a process */
  keptOutputBytes: number;
}

export async function startSandbox(ports: SandboxPorts, spec: SandboxSpec): Promise<Sandbox> {
  const { engine, identity, keptOutputBytes } = ports;
  const guest = await engine.createGuest({ ...spec.guest, id: spec.id });
  let tunnels: Tunnels = { open: [], close: async () => {} };
  let entrypoint: ExecProcess | null = null;
  try {
    tunnels = await openTunnels(guest, spec.ports, identity);
    if (spec.command.length > 0) {
      const process = await guest.exec({ argv: spec.command, env: {}, workdir: null, timeoutMs: null, pty: spec.pty });
      entrypoint = createExecProcess(process, { stdout: "stdout", stderr: "stderr" }, keptOutputBytes);
    }
  } catch (cause) {
    await tunnels.close();
    await guest.kill();
    throw cause;
  }

  let state: SandboxState = { status: "running" };
  const { promise: ended, resolve: resolveEnded } = Promise.withResolvers<WireResult>();
  const snapshots = new Map<string, Promise<string>>();
  let idleTimer: NodeJS.Timeout | null = null;
  const lifeTimer = setTimeout(() => void end(endings.timeout), spec.timeoutMs);

  function touch(): void {
    if (idleTimer) clearTimeout(idleTimer);
    idleTimer = null;
    if (spec.idleTimeoutMs === null || state.status !== "running" || execs.runningCount > 0) return;
    idleTimer = setTimeout(() => void end(endings.idle), spec.idleTimeoutMs);
  }
  const execs = createExecs(guest, keptOutputBytes, touch);

  async function end(result: WireResult): Promise<void> {
    if (state.status === "running") {
      state = { status: "ending", result };
      clearTimeout(lifeTimer);
      touch();
      await Promise.allSettled([guest.kill(), tunnels.close()]);
      state = { status: "ended", result };
      resolveEnded(result);
      setTimeout(forget, keptAfterEndMs).unref();
    }
    await ended;
  }
  function forget(): void {
    execs.clear();
    snapshots.clear();
    entrypoint?.stdout.clear();
    entrypoint?.stderr.clear();
  }

  touch();
  void guest.ended.then(({ reason }) => end(reason === "oom" ? endings.oom : endings.died));
  // a guest that is killed from outside ends its entrypoint too: what the engine says of the guest is the better reason
  void entrypoint?.exit.then((code) => setImmediate(() => void end(exited(code))));

  return {
    spec,
    tags: spec.tags,
    get state() {
      return state;
    },
    entrypoint,
    tunnels: tunnels.open,
    ended,
    requireRunning: () => {
      if (state.status === "running") return guest;
      return fail(Status.FAILED_PRECONDITION, `Sandbox ${spec.id} has ended: ${state.result.exception || "it finished."}`);
    },
    execs,
    touch,
    snapshot: (id, take) => {
      let taken = snapshots.get(id);
      if (!taken) {
        taken = take(guest.id);
        snapshots.set(id, taken);
        taken.catch(() => snapshots.delete(id));
      }
      return taken;
    },
    end,
    forget,
  };
}
