/** How far one commit of the workspace is from another, by git. Knows no server and no phases. */
import { join } from "node:path";
import { runCommand } from "./processes.ts";

/** Also for a history of many thousand commits on a slow disk. */
const distanceTimeoutMs = 20_000;

export interface Distance {
  commits: number;
  /** when the oldest of them was made; null for none */
  oldestAt: number | null;
}

/** The commits that `to` has and `from` has not; null when git cannot say. */
export async function measureDistance(
  workspace: string,
  { from, to }: { from: string; to: string },
  context: { env: NodeJS.ProcessEnv; signal: AbortSignal },
): Promise<Distance | null> {
  if (from === to) return { commits: 0, oldestAt: null };
  // Setup may have changed the repository's own settings: these beat them.
  const env = { ...context.env, GIT_DIR: join(workspace, ".git"), GIT_WORK_TREE: workspace };
  const args = ["-c", `safe.directory=${workspace}`, "rev-list", "--timestamp", `${from}..${to}`, "--"];
  const options = { cwd: workspace, env, timeoutMs: distanceTimeoutMs, signal: context.signal };
  const result = await runCommand("git", args, options).catch(() => null);
  if (result?.exitCode !== 0) return null;
  // Without the last piece: it is empty, or cut off where the output was too long.
  const lines = result.stdout.split("\n").slice(0, -1);
  let oldest = Number.POSITIVE_INFINITY;
  for (const line of lines) oldest = Math.min(oldest, Number.parseInt(line, 10));
  return { commits: lines.length, oldestAt: Number.isFinite(oldest) ? oldest * 1000 : null };
}
