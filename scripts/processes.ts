/**
 * Starts the system's processes and makes sure that none outlives it: each leads its own process group, dies with
 * us where the kernel offers that, and is written down so that the next start can clear what a power cut left.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { createInterface } from "node:readline";

export interface ProcessSpec {
  name: string;
  command: string[];
  cwd: string;
  env: Record<string, string>;
  /** receives every line of output that is not the ready line */
  log: (line: string) => void;
}

export interface RunningProcess {
  readonly name: string;
  readonly pid: number;
  /** The first line of standard output that `match` accepts, as what it returns. Rejects when the process ends first. */
  readyLine<T>(match: (line: string) => T | null, deadlineMs: number): Promise<T>;
  /** exit code, or null after a signal */
  readonly exited: Promise<number | null>;
  /** SIGTERM to the process, SIGKILL to the group after `graceMs` and in any case once the leader is gone. */
  stop(graceMs: number): Promise<void>;
}

/** Linux: ask the kernel for SIGTERM when this process dies, also by SIGKILL. */
const parentDeathSignal: string[] =
  process.platform === "linux" && spawnSync("setpriv", ["--pdeathsig", "TERM", "true"]).status === 0
    ? ["setpriv", "--pdeathsig", "TERM"]
    : [];

export interface ProcessKeeper {
  start(spec: ProcessSpec): RunningProcess;
  stopAll(graceMs: number): Promise<void>;
}

/** @param recordPath file that lists what runs; leftovers named in it are killed first */
export function createProcessKeeper(recordPath: string): ProcessKeeper {
  killRecorded(recordPath);
  const running = new Set<RunningProcess>();
  const record = () => {
    mkdirSync(dirname(recordPath), { recursive: true });
    const entries = [...running].map(({ name, pid }) => ({ name, pid, startedAtTicks: startTicks(pid) }));
    writeFileSync(recordPath, JSON.stringify(entries));
  };
  return {
    start(spec) {
      const [command = "", ...args] = [...parentDeathSignal, ...spec.command];
      const child = spawn(command, args, { cwd: spec.cwd, env: spec.env, detached: true, stdio: ["ignore", "pipe", "pipe"] });
      const started = follow(spec, child);
      running.add(started);
      record();
      void started.exited.then(() => {
        running.delete(started);
        record();
      });
      return started;
    },
    async stopAll(graceMs) {
      // Newest first: what came later depends on what came earlier.
      for (const one of [...running].reverse()) await one.stop(graceMs);
      rmSync(recordPath, { force: true });
    },
  };
}

function follow(spec: ProcessSpec, child: ChildProcess): RunningProcess {
  const watchers = new Set<(line: string) => boolean>();
  const recent: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    if (!stream) continue;
    createInterface({ input: stream }).on("line", (line) => {
      recent.push(line);
      if (recent.length > 30) recent.shift();
      for (const watch of watchers) if (watch(line)) return;
      spec.log(line);
    });
  }
  const pid = child.pid ?? -1;
  const exited = new Promise<number | null>((resolve) => {
    child.once("error", (error) => {
      spec.log(`cannot start: ${error.message}`);
      resolve(null);
    });
    child.once("exit", (code) => {
      killGroup(pid, "SIGKILL");
      resolve(code);
    });
  });
  return {
    name: spec.name,
    pid,
    exited,
    readyLine: (match, deadlineMs) =>
      new Promise((resolve, reject) => {
        const finish = (settle: () => void) => {
          clearTimeout(timer);
          watchers.delete(watch);
          settle();
        };
        const fail = (why: string) => finish(() => reject(new Error(`${spec.name} ${why}\n${recent.join("\n")}`)));
        const watch = (line: string) => {
          const found = match(line);
          if (found === null) return false;
          finish(() => resolve(found));
          return true;
        };
        const timer = setTimeout(() => fail(`was not ready within ${deadlineMs / 1000} s`), deadlineMs);
        watchers.add(watch);
        void exited.then((code) => fail(`ended with code ${code} before it was ready`));
      }),
    async stop(graceMs) {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill("SIGTERM");
      const timer = setTimeout(() => killGroup(pid, "SIGKILL"), graceMs);
      await exited;
      clearTimeout(timer);
    },
  };
}

function killGroup(pid: number, signal: NodeJS.Signals) {
  if (pid <= 0) return;
  try {
    process.kill(-pid, signal);
  } catch {
    // The group is gone already.
  }
}

function killRecorded(recordPath: string) {
  let entries: { pid: number; startedAtTicks: string | null }[];
  try {
    entries = JSON.parse(readFileSync(recordPath, "utf8"));
  } catch {
    return;
  }
  for (const { pid, startedAtTicks } of entries) {
    // A pid may have been given to somebody else since; its start time tells.
    if (startedAtTicks !== null && startTicks(pid) === startedAtTicks) killGroup(pid, "SIGKILL");
  }
  rmSync(recordPath, { force: true });
}

/** Field 22 of /proc/PID/stat, or null where there is none. */
function startTicks(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? null;
  } catch {
    return null;
  }
}
