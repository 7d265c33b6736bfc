/**
 * Runs the real git: argument arrays only, a clean environment, a deadline, the whole process group killed at its end.
 * Does not know which repositories there are.
 */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createSlots } from "./slots.ts";

/** Refs of a local source, kept beside the branches that it feeds; hidden from clients. */
export const sourceRefPrefix = "refs/source";

const gitConfig = `[safe]
	directory = *
[core]
	hooksPath = /dev/null
[gc]
	auto = 0
[maintenance]
	auto = false
[transfer]
	hideRefs = ${sourceRefPrefix}
	hideRefs = refs/pull
[receive]
	autogc = false
	fsckObjects = true
	maxInputSize = 2g
[uploadpack]
	allowFilter = true
	allowAnySHA1InWant = true
`;

const commandTimeoutMs = 60_000;
const outputMaxBytes = 64 * 1024 * 1024;
const errorMaxBytes = 16 * 1024;

interface GitResult {
  code: number;
  stdout: Buffer;
  stderr: string;
}
export interface GitOptions {
  input?: string | Uint8Array;
  env?: Record<string, string>;
  cwd?: string;
  signal?: AbortSignal;
  timeoutMs?: number;
}
export interface Git {
  /** Runs to the end whatever the exit code. Throws on a deadline, an abort, or when git cannot be started. */
  run(args: string[], options?: GitOptions): Promise<GitResult>;
  /** Runs and throws git's own message on a non-zero exit; returns standard output without the last newline. */
  text(args: string[], options?: GitOptions): Promise<string>;
  /** Starts git with open pipes; `kill` ends its whole process group. */
  stream(args: string[], env: Record<string, string>): { child: ChildProcessWithoutNullStreams; kill: () => void };
  /** Kills everything that runs and refuses to start more. */
  stop(): void;
}

export async function createGit(dataDir: string): Promise<Git> {
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const configPath = join(dataDir, "git.config");
  await writeFile(configPath, gitConfig);
  const baseEnv = {
    PATH: process.env.PATH ?? "/usr/bin:/bin",
    HOME: "/nonexistent",
    LC_ALL: "C",
    TZ: "UTC",
    GIT_CONFIG_NOSYSTEM: "1",
    // A file, because configuration given on the command line does not reach the git that a fetch starts in its source.
    GIT_CONFIG_GLOBAL: configPath,
    GIT_TERMINAL_PROMPT: "0",
    GIT_ALLOW_PROTOCOL: "file",
  };
  const slots = createSlots({ max: 8, queueMax: 2000, waitMs: 30_000 });
  const running = new Set<() => void>();
  let stopped = false;

  const stream: Git["stream"] = (args, env) => {
    if (stopped) throw new Error("The GitHub emulator is stopping.");
    const child = spawn("git", args, { env: { ...baseEnv, ...env }, detached: true, stdio: ["pipe", "pipe", "pipe"] });
    const kill = () => {
      if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
      try {
        process.kill(-child.pid, "SIGKILL");
      } catch {
        // the group is gone already
      }
    };
    running.add(kill);
    child.once("close", () => running.delete(kill));
    child.once("error", () => running.delete(kill));
    // A git that stops reading its input says why on standard error and in its exit code.
    child.stdin.on("error", () => {});
    return { child, kill };
  };

  const runNow = (args: string[], options: GitOptions) =>
    new Promise<GitResult>((resolve, reject) => {
      options.signal?.throwIfAborted();
      const where = options.cwd === undefined ? [] : ["-C", options.cwd];
      const { child, kill } = stream([...where, ...args], options.env ?? {});
      let failure: Error | null = null;
      const fail = (error: Error) => {
        failure ??= error;
        kill();
      };
      const onAbort = () => fail(new Error("The client went away."));
      options.signal?.addEventListener("abort", onAbort, { once: true });
      const deadline = setTimeout(
        () => fail(new Error(`git ${args[0] ?? ""} did not end in time.`)),
        options.timeoutMs ?? commandTimeoutMs,
      );
      const settle = (end: () => void) => {
        clearTimeout(deadline);
        options.signal?.removeEventListener("abort", onAbort);
        end();
      };
      const output: Buffer[] = [];
      let outputBytes = 0;
      let stderr = "";
      child.stdout.on("data", (chunk: Buffer) => {
        outputBytes += chunk.byteLength;
        if (outputBytes > outputMaxBytes) fail(new Error("git printed more than the emulator holds."));
        else output.push(chunk);
      });
      child.stderr.on("data", (chunk: Buffer) => {
        if (stderr.length < errorMaxBytes) stderr += chunk.toString("utf8");
      });
      child.once("error", (error) => settle(() => reject(error)));
      child.once("close", (code) =>
        settle(() => {
          if (failure) reject(failure);
          else resolve({ code: code ?? 128, stdout: Buffer.concat(output), stderr: stderr.trim() });
        }),
      );
      child.stdin.end(options.input ?? "");
    });

  const run: Git["run"] = async (args, options = {}) => {
    const release = await slots.take();
    if (release === null) throw new Error("Too many git commands at once.");
    try {
      return await runNow(args, options);
    } finally {
      release();
    }
  };

  return {
    run,
    async text(args, options) {
      const result = await run(args, options);
      if (result.code !== 0) throw new Error(result.stderr || `git ended with exit code ${result.code}.`);
      return result.stdout.toString("utf8").replace(/\n$/, "");
    },
    stream,
    stop() {
      stopped = true;
      for (const kill of running) kill();
    },
  };
}
