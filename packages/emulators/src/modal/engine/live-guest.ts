/**
 * One running guest: its launcher process, the link to its agent, freezing and the way it ends. Knows processes and
 * cgroups, nothing of layers: what must happen to its files once it is gone is handed in.
 */
import { type ChildProcess } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type AgentLink, createAgentLink } from "./agent-link.ts";
import { EngineError, type Guest, type GuestEnd, type GuestSpec } from "./engine.ts";
import { childrenOf, killProcess, processStartTick, waitForLine } from "./host-process.ts";
import { type LaunchPad } from "./launch-pad.ts";

const READY_TIMEOUT_MS = 30_000;
const GONE_TIMEOUT_MS = 10_000;
/** for the launcher to notice that its guest is gone */
const COLLECT_TIMEOUT_MS = 500;
const MEMORY_CHECK_MS = 200;
const FREEZE_TIMEOUT_MS = 2000;
const DEFAULT_WORKDIR = "/root";

export interface LiveGuest {
  guest: Guest;
  /** the launcher and PID 1, for a later engine that must find out whether they live */
  processes: { pid: number; startTick: string }[];
  isRunning(): boolean;
  /** Stops every process between two instructions. The guest can still be killed, and nothing of it runs before it dies. */
  freeze(): Promise<void>;
  thaw(): void;
  /** Ends it for a reason that is not a call of `kill`. */
  end(reason: GuestEnd["reason"]): Promise<void>;
}

export interface GuestStart {
  spec: GuestSpec;
  pad: LaunchPad;
  script: string;
  dir: string;
  /** beneath what the spec and each exec add */
  baseEnv: Record<string, string>;
  log: (line: string) => void;
  /** Runs once, when every process is gone and before `ended` resolves. */
  onGone: (end: GuestEnd) => Promise<void>;
}

/** Rejects with EngineError when the agent does not come up; nothing of the guest runs then, and `onGone` is not called. */
export async function startLiveGuest(start: GuestStart): Promise<LiveGuest> {
  const { spec } = start;
  const { child: launcher, cgroup } = start.pad;
  const closed = new Promise<void>((resolve) => launcher.once("close", () => resolve()));
  let link: AgentLink;
  try {
    const scriptFile = join(start.dir, "launch.sh");
    writeFileSync(scriptFile, start.script, { mode: 0o600 });
    start.pad.start(scriptFile);
    await waitForLine(launcher, "READY", READY_TIMEOUT_MS);
    link = createAgentLink(join(start.dir, "ctl", "agent.sock"));
  } catch (error) {
    cgroup?.killAll();
    for (const pid of [...childrenOf(launcher.pid ?? -1), launcher.pid ?? -1]) if (pid > 0) killProcess(pid);
    if (launcher.pid !== undefined) await Promise.race([closed, delay(GONE_TIMEOUT_MS, undefined, { ref: false })]);
    throw error;
  }
  const launcherPid = launcher.pid ?? -1;
  const processes = [launcherPid, ...childrenOf(launcherPid)].flatMap((pid) => {
    const startTick = processStartTick(pid);
    return startTick === null ? [] : [{ pid, startTick }];
  });
  const initPid = processes[1]?.pid ?? launcherPid;
  forwardLines(launcher, (line) => start.log(`guest ${spec.id}: ${line}`));

  const ended = Promise.withResolvers<GuestEnd>();
  let reason: GuestEnd["reason"] | null = null;
  let stopped: number[] = [];

  const anyAlive = () =>
    processes.some(({ pid, startTick }) => processStartTick(pid) === startTick) || cgroup?.isEmpty() === false;
  const strike = () => {
    cgroup?.killAll();
    for (const { pid, startTick } of processes.toReversed()) if (processStartTick(pid) === startTick) killProcess(pid);
  };
  /**
   * PID 1 first, which takes everything in the guest with it; the launcher is left to collect it. Were both killed at once, a
   * machine whose own PID 1 reaps nothing would keep a zombie per guest.
   */
  const strikeInOrder = async () => {
    const init = processes[1];
    if (init !== undefined) {
      const deadline = Date.now() + COLLECT_TIMEOUT_MS;
      while (processStartTick(init.pid) === init.startTick && Date.now() < deadline) {
        killProcess(init.pid);
        await delay(1);
      }
      if (processStartTick(init.pid) !== init.startTick) {
        // The launcher may be frozen as well. Of the guest itself nothing is left that could run.
        cgroup?.freezer?.thaw();
        await Promise.race([closed, delay(COLLECT_TIMEOUT_MS, undefined, { ref: false })]);
      }
    }
    strike();
  };
  const memoryCheck =
    spec.memoryMiB !== null && cgroup !== null
      ? setInterval(() => {
          if (cgroup.ranOutOfMemory()) void end("oom");
        }, MEMORY_CHECK_MS)
      : undefined;
  memoryCheck?.unref();

  const finish = async () => {
    clearInterval(memoryCheck);
    // Taken before a kill of ours can be mistaken for the kernel's.
    const outOfMemory = cgroup?.ranOutOfMemory() === true;
    for (const deadline = Date.now() + GONE_TIMEOUT_MS; anyAlive() && Date.now() < deadline; await delay(2)) strike();
    link.close();
    const end: GuestEnd = { reason: reason === "killed" ? "killed" : outOfMemory ? "oom" : (reason ?? "died") };
    try {
      await start.onGone(end);
    } catch (error) {
      start.log(`guest ${spec.id}: cleaning up failed: ${error instanceof Error ? error.message : String(error)}`);
    }
    ended.resolve(end);
  };
  void closed.then(finish);

  const end = async (why: GuestEnd["reason"]) => {
    if (reason === null) {
      reason = why;
      await strikeInOrder();
    }
    await ended.promise;
  };

  const guest: Guest = {
    id: spec.id,
    async exec(exec) {
      if (exec.argv.length === 0) throw new EngineError("invalid", "A process needs a program to run.");
      if (reason !== null) throw new EngineError("failed", "The guest has ended.");
      return link.exec({
        argv: exec.argv,
        env: { ...start.baseEnv, ...spec.env, ...exec.env },
        workdir: exec.workdir ?? spec.workdir ?? DEFAULT_WORKDIR,
        timeoutMs: exec.timeoutMs,
        pty: exec.pty,
      });
    },
    kill: () => end("killed"),
    ended: ended.promise,
  };

  return {
    guest,
    processes,
    isRunning: () => reason === null && launcher.exitCode === null && launcher.signalCode === null,
    async freeze() {
      if (cgroup?.freezer) return cgroup.freezer.freeze();
      stopped = await stopTree(initPid);
    },
    thaw() {
      cgroup?.freezer?.thaw();
      for (const pid of stopped) {
        try {
          process.kill(pid, "SIGCONT");
        } catch {}
      }
      stopped = [];
    },
    end,
  };
}

function forwardLines(child: ChildProcess, log: (line: string) => void): void {
  child.stderr?.on("data", (chunk: Buffer) => {
    for (const line of chunk.toString().split("\n")) if (line.trim() !== "") log(line.trim());
  });
}

const stateOf = (pid: number): string => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    return stat.slice(stat.lastIndexOf(")") + 2, stat.lastIndexOf(")") + 3);
  } catch {
    return "X";
  }
};

/** Every process of a guest descends from its PID 1, which adopts orphans. */
function treeOf(pid: number): number[] {
  const found = [pid];
  for (const each of found) {
    try {
      for (const child of threadsOf(each).flatMap((thread) => childrenOfThread(each, thread))) found.push(child);
    } catch {}
  }
  return found;
}
const threadsOf = (pid: number): string[] => readdirSync(`/proc/${pid}/task`);
const childrenOfThread = (pid: number, thread: string): number[] => {
  try {
    return readFileSync(`/proc/${pid}/task/${thread}/children`, "latin1").trim().split(" ").filter(Boolean).map(Number);
  } catch {
    return [];
  }
};

/** Where no freezer exists: stops the tree until a whole look finds nobody running. @returns who was stopped by this */
async function stopTree(root: number): Promise<number[]> {
  const stopped = new Set<number>();
  for (const deadline = Date.now() + FREEZE_TIMEOUT_MS; Date.now() < deadline; await delay(1)) {
    const running = treeOf(root).filter((pid) => !["T", "t", "Z", "X"].includes(stateOf(pid)));
    if (running.length === 0) return [...stopped];
    for (const pid of running) {
      stopped.add(pid);
      try {
        process.kill(pid, "SIGSTOP");
      } catch {}
    }
  }
  for (const pid of stopped) {
    try {
      process.kill(pid, "SIGCONT");
    } catch {}
  }
  throw new EngineError("failed", "The guest could not be stopped for the snapshot.");
}
