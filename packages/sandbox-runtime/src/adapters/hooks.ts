/** Runs a script of the repository and streams what it prints. Does not know what its outcome means for the phase. */
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { accessSync, constants, statSync } from "node:fs";
import { join } from "node:path";
import { StringDecoder } from "node:string_decoder";
import { createLastLines } from "../domain/text.ts";
import { endProcesses, findBelonging, killGroup, type ProcessEntry } from "./processes.ts";

export type HookState = "absent" | "not_executable" | "ready";

/** Looks at a hook without running it. */
export function inspectHook(workspace: string, path: string): HookState {
  const file = join(workspace, path);
  try {
    if (!statSync(file).isFile()) return "absent";
  } catch {
    return "absent";
  }
  try {
    accessSync(file, constants.X_OK);
    return "ready";
  } catch {
    return "not_executable";
  }
}

export interface HookRun {
  exitCode: number | null;
  signal: NodeJS.Signals | null;
  timedOut: boolean;
  /** last lines, ANSI removed */
  lines: string[];
  /** processes that it left behind. @param orphans see `findBelonging` */
  leftovers(orphans: boolean): ProcessEntry[];
}

const pipesGraceMs = 300;
const stopGraceMs = 2_000;
const markerName = "OPEN_INSPECT_HOOK";

/**
 * The hook is over when its own process ends, whatever it leaves behind with open pipes.
 * Rejects when it cannot be started. @param timeoutMs null: no limit
 */
export function runHook(options: {
  workspace: string;
  path: string;
  env: NodeJS.ProcessEnv;
  timeoutMs: number | null;
  signal: AbortSignal;
  /** processes of ours that never belong to the hook */
  except: readonly number[];
  onOutput: (stream: "stdout" | "stderr", text: string) => void;
}): Promise<HookRun> {
  return new Promise((resolve, reject) => {
    const marker = randomUUID();
    const child = spawn(join(options.workspace, options.path), [], {
      cwd: options.workspace,
      env: { ...options.env, [markerName]: marker },
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
    });
    const session = child.pid ?? null;
    const leftovers = (orphans: boolean) =>
      findBelonging({ session, assignment: `${markerName}=${marker}`, orphans, except: options.except });
    const lines = createLastLines();
    let timedOut = false;
    const read = (stream: "stdout" | "stderr") => {
      const decoder = new StringDecoder("utf8");
      const take = (text: string) => {
        if (text === "") return;
        lines.push(text);
        options.onOutput(stream, text);
      };
      child[stream].on("data", (chunk: Buffer) => take(decoder.write(chunk)));
      child[stream].on("end", () => take(decoder.end()));
      child[stream].on("error", () => undefined);
    };
    read("stdout");
    read("stderr");
    const stop = () => {
      killGroup(child.pid, "SIGTERM");
      void endProcesses(() => leftovers(false), stopGraceMs);
    };
    const timer =
      options.timeoutMs === null
        ? undefined
        : setTimeout(() => {
            timedOut = true;
            stop();
          }, options.timeoutMs);
    options.signal.addEventListener("abort", stop, { once: true });
    const settle = () => {
      clearTimeout(timer);
      options.signal.removeEventListener("abort", stop);
    };
    child.once("error", (error) => {
      settle();
      reject(error);
    });
    child.once("exit", (exitCode, signal) => {
      // A daemon can hold the pipes open for ever. They stay open and are read on: closing them would end the daemon
      // with SIGPIPE at its next line.
      const over = () => {
        clearTimeout(grace);
        settle();
        resolve({ exitCode, signal, timedOut, lines: lines.lines(), leftovers });
      };
      const grace = setTimeout(over, pipesGraceMs);
      child.once("close", over);
    });
  });
}
