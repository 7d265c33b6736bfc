/**
 * Does ahead of time what every guest's start has in common: a user namespace, a mount namespace and a control group with
 * a shell in them that waits for its script, and FIFOs for the guest's first processes. Joining control groups alone costs the kernel more than all the mounts.
 * Knows nothing of layers or specs.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type Cgroups, type GuestCgroup } from "./cgroups.ts";
import { HOST_ENV, killProcess, onlyPipes, waitForLine } from "./host-process.ts";
import { type HostStage } from "./host-stage.ts";
import { type NamespaceHolder, type UserMapping } from "./user-mapping.ts";

const READY_TIMEOUT_MS = 20_000;
/** four processes' worth, with some to spare: below half of what it keeps the agent makes more */
const FIFO_COUNT = 15;

export interface LaunchPad {
  /** the process that becomes the launcher; its standard input is the guest's lifeline */
  child: ChildProcess;
  cgroup: GuestCgroup | null;
  holder: NamespaceHolder;
  /** holds FIFOs that belong to the guest's root; for the guest to take */
  fifoDir: string;
  /** Runs a script that ends in `exec`. */
  start(scriptFile: string): void;
  /** For a pad that was not started, or whose process is gone. */
  discard(): Promise<void>;
}

export interface LaunchPads {
  take(): Promise<LaunchPad>;
  /** Makes the next one ready. Called when a guest is up, so that it does not compete with its start. */
  refill(): void;
  close(): Promise<void>;
}

export interface LaunchPadPorts {
  mapping: UserMapping;
  stage: HostStage;
  cgroups: Cgroups | null;
  cgroupPrefix: string;
  /** cleared at the start */
  padsDir: string;
}

const quote = (word: string) => `'${word.replaceAll("'", "'\\''")}'`;

export function createLaunchPads(ports: LaunchPadPorts): LaunchPads {
  const { mapping, stage, cgroups } = ports;
  // Guests die with this process whatever happens; their groups would stay until the next start.
  const open = new Set<GuestCgroup>();
  const onExit = () => {
    for (const cgroup of open) cgroup.removeNow();
  };
  process.on("exit", onExit);
  let spare: Promise<LaunchPad> | null = null;
  let count = 0;
  let closed = false;
  rmSync(ports.padsDir, { recursive: true, force: true });

  const prepare = async (): Promise<LaunchPad> => {
    const number = ++count;
    const holder = await mapping.openHolder();
    const cgroup = cgroups?.create(`${ports.cgroupPrefix}${process.pid}-${number}`) ?? null;
    if (cgroup !== null) open.add(cgroup);
    const fifoDir = join(ports.padsDir, `${process.pid}-${number}`);
    mkdirSync(fifoDir, { recursive: true });
    const fifos = Array.from({ length: FIFO_COUNT }, (_, index) => quote(join(fifoDir, `s${index}`))).join(" ");
    const owner = mapping.mountsAsHostRoot ? [`chown ${mapping.rootUid}:${mapping.rootUid} ${quote(fifoDir)} ${fifos}`] : [];
    const joins = (cgroup?.joinFiles ?? []).map((file) => `echo $$ > ${quote(file)}`);
    const script = ["set -e", `mkfifo ${fifos}`, ...owner, ...joins, "echo waiting", 'IFS= read -r script && . "$script"'].join(
      "\n",
    );
    const where = mapping.mountsAsHostRoot ? ["nsenter", `--mount=/proc/${stage.pid}/ns/mnt`, "--"] : mapping.enter(holder.pid);
    const [program = "", ...args] = [...where, "unshare", "-m", "--propagation", "private", "sh", "-c", script];
    const { stdio, release } = onlyPipes();
    const child = spawn(program, args, { env: HOST_ENV, cwd: "/", stdio, detached: true });
    release();
    child.stdin?.on("error", () => {});
    const gone = new Promise<void>((resolve) => child.once("close", () => resolve()));
    const pad: LaunchPad = {
      child,
      cgroup,
      holder,
      fifoDir,
      start: (scriptFile) => void child.stdin?.write(`${scriptFile}\n`),
      async discard() {
        child.stdin?.end();
        cgroup?.killAll();
        if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) killProcess(child.pid);
        rmSync(fifoDir, { recursive: true, force: true });
        await Promise.all([holder.release(), child.pid === undefined ? undefined : gone]);
        await cgroup?.remove();
        if (cgroup !== null) open.delete(cgroup);
      },
    };
    try {
      await waitForLine(child, "waiting", READY_TIMEOUT_MS);
      return pad;
    } catch (error) {
      await pad.discard();
      throw error;
    }
  };

  return {
    async take() {
      const ready = spare;
      spare = null;
      const pad = await ready?.catch(() => null);
      if (pad !== null && pad !== undefined) {
        if (pad.child.exitCode === null && pad.child.signalCode === null) return pad;
        await pad.discard();
      }
      return prepare();
    },
    refill() {
      if (closed || spare !== null) return;
      spare = prepare();
      spare.catch(() => {});
    },
    async close() {
      closed = true;
      const pad = await spare?.catch(() => null);
      spare = null;
      await pad?.discard();
      process.off("exit", onExit);
    },
  };
}
