/** The commit that a session began at, kept in its repository, so that it is there again after a snapshot. Knows no server. */
import { join } from "node:path";
import { runCommand } from "./processes.ts";

const ref = "refs/open-inspect/base";
const timeoutMs = 15_000;

interface Repository {
  workspace: string;
  env: NodeJS.ProcessEnv;
}

function git({ workspace, env }: Repository, ...args: string[]) {
  const own = { ...env, GIT_DIR: join(workspace, ".git"), GIT_WORK_TREE: workspace };
  return runCommand("git", ["-c", `safe.directory=${workspace}`, ...args], { cwd: workspace, env: own, timeoutMs });
}

/** null when there is none. */
export async function readRevision(repository: Repository, name: string): Promise<string | null> {
  const result = await git(repository, "rev-parse", "--verify", "--quiet", `${name}^{commit}`);
  return result.exitCode === 0 ? result.stdout.trim() : null;
}

/** Rejects when git cannot write it. */
export async function writeSessionBase(repository: Repository, sha: string): Promise<void> {
  const result = await git(repository, "update-ref", ref, sha);
  if (result.exitCode !== 0) throw new Error(result.lines.at(-1) ?? "git said nothing");
}

/** null in a workspace that no session began in. */
export const readSessionBase = (repository: Repository): Promise<string | null> => readRevision(repository, ref);
