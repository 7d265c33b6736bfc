/** Running commands with a deadline and finding and ending what belongs to one of them. Knows /proc, not what the commands are for. */
import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { createLastLines } from "../domain/text.ts";

export interface CommandResult {
  /** null when a signal ended it */
  exitCode: number | null;
  signal: NodeJS.Signals | null;
  timedOut: boolean;
  /** at most `captureBytes`; empty where the caller takes it as it comes */
  stdout: string;
  /** last lines of both streams */
  lines: string[];
}

export const captureBytes = 4 * 1024 * 1024;
const pipesGraceMs = 300;

/** Runs a command in its own process group. Rejects only when it cannot be started. */
export function runCommand(
  file: string,
  args: readonly string[],
  options: {
    cwd: string;
    env: NodeJS.ProcessEnv;
    timeoutMs: number;
    signal?: AbortSignal;
    /** takes standard output as it comes */
    onStdout?: (text: string) => void;
  },
): Promise<CommandResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { cwd: options.cwd, env: options.env, detached: true, stdio: ["ignore", "pipe", "pipe"] });
    const lines = createLastLines();
    let stdout = "";
    let timedOut = false;
    const end = () => killGroup(child.pid, "SIGKILL");
    const timer = setTimeout(() => {
      timedOut = true;
      end();
    }, options.timeoutMs);
    options.signal?.addEventListener("abort", end, { once: true });
    if (options.signal?.aborted) end();
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      if (options.onStdout) options.onStdout(text);
      else if (stdout.length < captureBytes) stdout += text;
      lines.push(text);
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => lines.push(text));
    const settle = (finish: () => void) => {
      clearTimeout(timer);
      options.signal?.removeEventListener("abort", end);
      finish();
    };
    child.once("error", (error) => settle(() => reject(error)));
    child.once("exit", (exitCode, signal) => {
      const done = () => settle(() => resolve({ exitCode, signal, timedOut, stdout, lines: lines.lines() }));
      const grace = setTimeout(() => {
        child.stdout.destroy();
        child.stderr.destroy();
      }, pipesGraceMs);
      child.once("close", () => {
        clearTimeout(grace);
        done();
      });
    });
  });
}

/** Signals a process group; one that is gone is no error. */
export function killGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid === undefined || pid <= 1) return;
  try {
    process.kill(-pid, signal);
  } catch {
    // gone already
  }
}

/** One process as /proc shows it. `startTime` (clock ticks since boot) tells a reused pid from the same process. */
export interface ProcessEntry {
  pid: number;
  parent: number;
  session: number;
  startTime: string;
  name: string;
}

function readEntry(pid: number): ProcessEntry | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The name is in parentheses and may itself hold spaces and parentheses.
    const nameEnd = stat.lastIndexOf(")");
    const fields = stat.slice(nameEnd + 2).split(" ");
    if (fields[0] === "Z" || fields[0] === "X") return null;
    return {
      pid,
      parent: Number(fields[1]),
      session: Number(fields[3]),
      startTime: fields[19] ?? "",
      name: stat.slice(stat.indexOf("(") + 1, nameEnd),
    };
  } catch {
    return null;
  }
}

/** Every living process of this pid namespace. */
export function listProcesses(): ProcessEntry[] {
  const entries: ProcessEntry[] = [];
  for (const name of readdirSync("/proc")) {
    const pid = Number(name);
    const entry = Number.isInteger(pid) ? readEntry(pid) : null;
    if (entry) entries.push(entry);
  }
  return entries;
}

function hasEnvironment(pid: number, assignment: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/environ`, "utf8").split("\0").includes(assignment);
  } catch {
    return false;
  }
}

/**
 * Everything that belongs to a command we started: its session, whatever carries the environment variable that we
 * gave it, and the descendants of both. With `orphans`, when our parent is tini, the reaper of this runtime alone, what
 * hid from both is found as tini's other children; right only while nothing else of ours runs.
 * Never contains ourselves, our ancestors or what is listed in `except` (with its descendants).
 */
export function findBelonging(owner: {
  session: number | null;
  assignment: string;
  orphans: boolean;
  except: readonly number[];
}): ProcessEntry[] {
  const all = listProcesses();
  const byPid = new Map(all.map((entry) => [entry.pid, entry]));
  const safe = new Set<number>();
  for (let at = byPid.get(process.pid); at; at = byPid.get(at.parent)) safe.add(at.pid);
  const except = new Set(owner.except);
  const reaper = owner.orphans && byPid.get(process.ppid)?.name === "tini" ? process.ppid : null;
  const verdicts = new Map<number, boolean>();
  const belongs = (entry: ProcessEntry, depth: number): boolean => {
    const known = verdicts.get(entry.pid);
    if (known !== undefined) return known;
    let verdict = false;
    if (!safe.has(entry.pid) && !except.has(entry.pid) && depth < 1000) {
      const parent = byPid.get(entry.parent);
      verdict =
        (owner.session !== null && entry.session === owner.session) ||
        hasEnvironment(entry.pid, owner.assignment) ||
        (reaper !== null && entry.parent === reaper) ||
        (parent !== undefined && !safe.has(parent.pid) && belongs(parent, depth + 1));
      if (verdict && parent && isUnder(parent, except, byPid)) verdict = false;
    }
    verdicts.set(entry.pid, verdict);
    return verdict;
  };
  return all.filter((entry) => belongs(entry, 0));
}

function isUnder(entry: ProcessEntry, roots: ReadonlySet<number>, byPid: ReadonlyMap<number, ProcessEntry>): boolean {
  for (let at: ProcessEntry | undefined = entry, depth = 0; at && depth < 1000; at = byPid.get(at.parent), depth++) {
    if (roots.has(at.pid)) return true;
  }
  return false;
}

function signalEntry(entry: ProcessEntry, signal: NodeJS.Signals): void {
  if (readEntry(entry.pid)?.startTime !== entry.startTime) return;
  try {
    process.kill(entry.pid, signal);
  } catch {
    // gone in between
  }
}

const killRounds = 20;
const killRoundMs = 50;

/**
 * Ends what `find` finds: SIGTERM, `graceMs` to comply, then SIGKILL until nothing is left.
 * @returns names of what was ended, and how many survived everything
 */
export async function endProcesses(find: () => ProcessEntry[], graceMs: number): Promise<{ ended: string[]; survivors: number }> {
  let found = find();
  const ended = found.map((entry) => entry.name);
  for (const entry of found) signalEntry(entry, "SIGTERM");
  for (const deadline = Date.now() + graceMs; found.length > 0 && Date.now() < deadline; found = find()) await sleep(25);
  for (let round = 0; found.length > 0 && round < killRounds; round++) {
    for (const entry of found) signalEntry(entry, "SIGKILL");
    await sleep(killRoundMs);
    found = find();
  }
  return { ended, survivors: found.length };
}
