/** Finds processes by a mark in the environment they were started with, which their children inherit. Knows /proc and ps only. */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { EngineError } from "./engine.ts";
import { killProcess } from "./host-process.ts";

const PS_OUTPUT_BYTES = 64 * 1024 * 1024;

/** @param value the mark's value; one that ends in `#` stands for every value that begins so */
export function markedProcesses(name: string, value: string): number[] {
  const wanted = `${name}=${value}`;
  const open = value.endsWith("#");
  const pids: number[] = [];
  if (process.platform !== "linux") {
    const listing = execFileSync("ps", ["-axEwwo", "pid=,command="], { encoding: "utf8", maxBuffer: PS_OUTPUT_BYTES });
    for (const line of listing.split("\n")) {
      const at = line.indexOf(wanted);
      if (at >= 0 && (open || /^(\s|$)/.test(line.slice(at + wanted.length)))) pids.push(Number.parseInt(line, 10));
    }
    return pids.filter((pid) => pid !== process.pid);
  }
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry) || Number(entry) === process.pid) continue;
    try {
      const environment = readFileSync(`/proc/${entry}/environ`, "latin1").split("\0");
      if (environment.some((variable) => (open ? variable.startsWith(wanted) : variable === wanted))) pids.push(Number(entry));
    } catch {
      // Gone, or another user's.
    }
  }
  return pids;
}

/** Kills until a whole look finds none: a process may start another while it is looked for. */
export async function killMarked(name: string, value: string, timeoutMs: number): Promise<void> {
  for (const deadline = Date.now() + timeoutMs; ; await delay(3)) {
    const pids = markedProcesses(name, value);
    if (pids.length === 0) return;
    if (Date.now() > deadline) throw new EngineError("failed", `Processes of the guest cannot be killed: ${pids.join(", ")}.`);
    pids.forEach(killProcess);
  }
}
