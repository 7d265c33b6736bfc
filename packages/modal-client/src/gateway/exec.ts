/** Runs a script of `launcher.ts` in a sandbox, with an end to every wait. Knows nothing of what the scripts do. */
import { type Sandbox } from "modal";
import { withDeadline } from "./deadlines.ts";

export interface ShellCall {
  script: string;
  args: string[];
  /** one line, written without the end of input: the script must not read further */
  line?: string;
  limitMs: number;
}

const writeGraceMs = 1_000;

const commandOf = (call: ShellCall): string[] => ["/bin/sh", "-c", call.script, "openinspect", ...call.args];
/** The sandbox ends the script a second before the gateway ends its wait; Modal counts whole seconds. */
const remoteLimitMs = (limitMs: number): number => Math.max(1_000, Math.floor((limitMs - 1_000) / 1_000) * 1_000);

/** A script that has been begun and may be waiting for its line. Answers the exit code. */
export type OpenShell = (line?: string) => Promise<number>;

/** Without an end to the wait: that is for whoever calls it. The script itself ends within `limitMs` of now. */
export async function openShell(sandbox: Sandbox, call: Omit<ShellCall, "line">): Promise<OpenShell> {
  const child = await sandbox.exec(commandOf(call), {
    stdout: "ignore",
    stderr: "ignore",
    timeoutMs: remoteLimitMs(call.limitMs),
  });
  return async (line) => {
    const exit = child.wait();
    if (line === undefined) return exit;
    // A script that ends at once closes its input: its exit code then says more than the failed write.
    const written = child.stdin.writeText(`${line}\n`).catch(async (error: unknown) => {
      await new Promise((resolve) => setTimeout(resolve, writeGraceMs));
      throw error;
    });
    return Promise.race([exit, written.then(() => exit)]);
  };
}

/** Answers the exit code. */
export function runShell(sandbox: Sandbox, call: ShellCall): Promise<number> {
  const run = openShell(sandbox, call).then((finish) => finish(call.line));
  return withDeadline("a command in the sandbox", call.limitMs, run);
}

/** Answers what the script printed, as bytes. */
export function readShell(sandbox: Sandbox, call: ShellCall): Promise<Uint8Array> {
  return withDeadline(
    "a command in the sandbox",
    call.limitMs,
    sandbox
      .exec(commandOf(call), { mode: "binary", stderr: "ignore", timeoutMs: remoteLimitMs(call.limitMs) })
      .then((child) => child.stdout.readBytes()),
  );
}
