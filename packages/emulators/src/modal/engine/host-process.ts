/** Runs programs of the host so that none outlives the engine. Knows nothing of guests or layers. */
import { type ChildProcess, type StdioOptions, spawn } from "node:child_process";
import { closeSync, openSync, readdirSync, readFileSync } from "node:fs";
import { EngineError } from "./engine.ts";

/** Programs of the host are found here whatever the caller's PATH says. */
export const HOST_ENV = {
  PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  LC_ALL: "C",
  // libmount's new interface cuts option strings at 256 bytes; chains of layers are longer.
  LIBMOUNT_FORCE_MOUNT2: "always",
};
const KEPT_ERROR_BYTES = 4096;

/** Linux's O_CLOEXEC, as /proc prints it. */
const CLOSE_ON_EXEC = 0o2000000;

/**
 * Standard streams as pipes, and nothing else: descriptors that this process was itself started with would go on to every
 * child, and so into guests. Node can replace but not close them, so they become /dev/null.
 */
export function onlyPipes(): { stdio: StdioOptions; release: () => void } {
  const nothing = openSync("/dev/null", "r");
  const stdio: ("pipe" | "ignore" | number)[] = ["pipe", "pipe", "pipe"];
  for (const name of readdirSync("/proc/self/fdinfo")) {
    const fd = Number(name);
    if (fd < 3 || fd === nothing) continue;
    try {
      const flags = /^flags:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "latin1"))?.[1] ?? "0";
      if ((Number.parseInt(flags, 8) & CLOSE_ON_EXEC) !== 0) continue;
      while (stdio.length < fd) stdio.push("ignore");
      stdio[fd] = nothing;
    } catch {
      // Closed meanwhile: the listing's own descriptor.
    }
  }
  return { stdio, release: () => closeSync(nothing) };
}

export interface RunOptions {
  timeoutMs: number;
  env?: Record<string, string>;
  cwd?: string;
  signal?: AbortSignal;
  /** between SIGTERM and SIGKILL when it has to stop early; without it SIGKILL comes at once */
  graceMs?: number;
}

/** Runs to the end; resolves with what it printed. Rejects with EngineError on a failure, at the limit and when aborted. */
export function run(argv: string[], options: RunOptions): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn("setpriv", ["--pdeathsig", "KILL", ...argv], {
      env: { ...HOST_ENV, ...options.env },
      cwd: options.cwd ?? "/",
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    let out = "";
    let err = "";
    let why: string | null = null;
    let killer: NodeJS.Timeout | undefined;
    const stop = (reason: string) => {
      why ??= reason;
      const { pid } = child;
      if (pid === undefined) return;
      if (!options.graceMs) return killGroup(pid);
      killGroup(pid, "SIGTERM");
      killer ??= setTimeout(() => killGroup(pid), options.graceMs);
    };
    const timer = setTimeout(() => stop(`took longer than ${options.timeoutMs} ms`), options.timeoutMs);
    const abort = () => stop("was aborted");
    if (options.signal?.aborted) abort();
    options.signal?.addEventListener("abort", abort, { once: true });
    child.stdout.on("data", (chunk: Buffer) => {
      out += chunk.toString();
    });
    child.stderr.on("data", (chunk: Buffer) => {
      err = (err + chunk.toString()).slice(-KEPT_ERROR_BYTES);
    });
    const end = (code: number | null, message: string) => {
      clearTimeout(timer);
      clearTimeout(killer);
      options.signal?.removeEventListener("abort", abort);
      if (code === 0 && why === null) resolve(out);
      else reject(new EngineError("failed", `${argv[0]} ${why ?? `failed (${code})`}: ${message.trim().slice(-800)}`));
    };
    child.on("error", (error) => end(-1, error.message));
    child.on("close", (code) => end(code, err));
  });
}

export function killGroup(pid: number, signal: NodeJS.Signals = "SIGKILL"): void {
  try {
    process.kill(-pid, signal);
  } catch {}
}

export function killProcess(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {}
}

/** Waits for the line that a child prints when it is ready. Rejects with what it wrote to its error output. */
export function waitForLine(child: ChildProcess, line: string, timeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let out = "";
    let err = "";
    const fail = (reason: string) => {
      cleanUp();
      reject(new EngineError("failed", `${reason}: ${(err || out).trim().slice(-800)}`));
    };
    const timer = setTimeout(() => fail(`No answer within ${timeoutMs} ms`), timeoutMs);
    const onOut = (chunk: Buffer) => {
      out += chunk.toString();
      if (!out.split("\n").includes(line)) return;
      cleanUp();
      resolve();
    };
    const onErr = (chunk: Buffer) => {
      err = (err + chunk.toString()).slice(-KEPT_ERROR_BYTES);
    };
    const onClose = (code: number | null, signal: string | null) => fail(`Ended before it was ready (${code ?? signal})`);
    const onError = (error: Error) => fail(error.message);
    const cleanUp = () => {
      clearTimeout(timer);
      child.stdout?.off("data", onOut);
      child.stderr?.off("data", onErr);
      child.off("close", onClose);
      child.off("error", onError);
      child.on("error", () => {});
      child.stdout?.resume();
    };
    child.stdout?.on("data", onOut);
    child.stderr?.on("data", onErr);
    child.on("close", onClose);
    child.on("error", onError);
  });
}

/** The kernel's start tick of a process: with the pid it names one process for ever. Null when it is gone. */
export function processStartTick(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" || fields[0] === "X" ? null : (fields[19] ?? null);
  } catch {
    return null;
  }
}

export function childrenOf(pid: number): number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1").trim().split(" ").filter(Boolean).map(Number);
  } catch {
    return [];
  }
}
