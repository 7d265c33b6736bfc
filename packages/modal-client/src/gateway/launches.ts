/**
 * Starts of the runtime in new sandboxes: a launcher is sent ahead while the answer to `create` is on its way, and waits there for the
 * config, which spares `start` the way to the sandbox. Knows the launcher's script, not what its exit code says.
 */
import { type Sandbox } from "modal";
import { withDeadline } from "./deadlines.ts";
import { type OpenShell, openShell, runShell } from "./exec.ts";
import { createHandles } from "./handles.ts";
import { launchScript } from "./launcher.ts";

const remembered = 500;
/** `timeout` of the shell; from 128 on: a signal ended it */
const firstCodeOfOthers = 124;

export interface Launches {
  /** For a sandbox that was just made. One may fail, or end unused: a launcher does nothing before it has read its line. */
  sendAhead(sandbox: Sandbox): void;
  /** Answers the launcher's exit code. */
  launch(sandboxId: string, line: string): Promise<number>;
  forget(sandboxId: string): void;
  close(): void;
}

/** @param options.limitMs for one launch; a launcher that was sent ahead lives no longer */
export function createLaunches(options: { handle: (sandboxId: string) => Promise<Sandbox>; limitMs: number }): Launches {
  const { limitMs } = options;
  const ahead = createHandles<{ shell: Promise<OpenShell | null>; at: number }>(remembered);
  const callFor = (sandboxId: string) => ({ script: launchScript, args: [sandboxId], limitMs });

  async function launch(sandboxId: string, line: string): Promise<number> {
    const sent = ahead.get(sandboxId);
    ahead.delete(sandboxId);
    const isFresh = sent !== undefined && performance.now() - sent.at < limitMs / 2;
    const finish = isFresh ? await sent.shell : null;
    const code = finish === null ? null : await finish(line).catch(() => null);
    if (code !== null && code < firstCodeOfOthers) return code;
    // Whatever became of that one: of two that read their line the second finds that the runtime has been started.
    return runShell(await options.handle(sandboxId), { ...callFor(sandboxId), line });
  }

  return {
    sendAhead(sandbox) {
      const shell = openShell(sandbox, callFor(sandbox.sandboxId)).catch(() => null);
      ahead.set(sandbox.sandboxId, { shell, at: performance.now() });
    },
    launch: (sandboxId, line) => withDeadline("the start of the runtime", limitMs, launch(sandboxId, line)),
    forget: ahead.delete,
    close: ahead.clear,
  };
}
