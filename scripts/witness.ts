/**
 * An outside witness of what is inside a sandbox: asks through the vendor's SDK, not through our own parts, which commit a
 * session is on, how often setup has run there, and whether a file is there.
 */
import { ModalClient } from "modal";
import { type System } from "./system.ts";

export interface Witness {
  head(sessionId: string): Promise<string>;
  /** lines of the log that the samples' setup writes once per run; 0 when it never ran */
  setupRuns(sessionId: string): Promise<number>;
  hasFile(sessionId: string, path: string): Promise<boolean>;
  /** Runs a shell script in the session's sandbox. */
  run(sessionId: string, script: string): Promise<{ code: number; text: string }>;
}

/** The SDK reads its address and tokens from the environment when a client is made. */
export function modalClientFor(system: System): ModalClient {
  process.env.MODAL_SERVER_URL = system.modalUrl;
  return new ModalClient({ tokenId: system.credentials.modalTokenId, tokenSecret: system.credentials.modalTokenSecret });
}

const workspace = "/workspace/repo";

export function createWitness(system: System): Witness {
  const modal = modalClientFor(system);
  /** A session gets a sandbox with each start; the one before may still be ending. */
  async function newestOf(sessionId: string) {
    for await (const sandbox of modal.sandboxes.list({ tags: { session: sessionId } })) return sandbox;
    throw new Error(`session ${sessionId} has no sandbox`);
  }
  async function run(sessionId: string, script: string): Promise<{ code: number; text: string }> {
    const sandbox = await newestOf(sessionId);
    const process = await sandbox.exec(["/bin/sh", "-c", script], { timeoutMs: 20_000 });
    const [text, code] = await Promise.all([process.stdout.readText(), process.wait()]);
    return { code, text: text.trim() };
  }
  return {
    run,
    head: async (sessionId) => (await run(sessionId, `git -c safe.directory='*' -C ${workspace} rev-parse HEAD`)).text,
    setupRuns: async (sessionId) => Number((await run(sessionId, "cat /home/agent/setup-runs.log 2>/dev/null | wc -l")).text),
    hasFile: async (sessionId, path) => (await run(sessionId, `test -e ${workspace}/${path}`)).code === 0,
  };
}
