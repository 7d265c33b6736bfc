/** How our git works in a workspace that anybody may have changed: what it is told, and what must not be left there. Knows no phases. */
import { appendFile, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { type CommandResult } from "./processes.ts";

/** For git of ours in a workspace whose settings anybody may have changed. */
export function gitEnvironment(workspace: string, env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return {
    ...env,
    GIT_TERMINAL_PROMPT: "0",
    GIT_ASKPASS: "",
    SSH_ASKPASS: "",
    GIT_ALLOW_PROTOCOL: "http:https",
    // Beats `core.worktree` and `core.bare`, which setup may have changed.
    GIT_DIR: join(workspace, ".git"),
    GIT_WORK_TREE: workspace,
    LC_ALL: "C.UTF-8",
  };
}

/** Settings of the command line beat those of the system, the home and the repository, which setup may have changed. */
export function gitSettings({
  workspace,
  helper,
  cloneUrl,
  origin,
}: Record<"workspace" | "helper" | "cloneUrl" | "origin", string>) {
  const { protocol, host } = new URL(cloneUrl);
  return [
    `url.${cloneUrl}.insteadOf=${origin}`,
    "credential.helper=",
    `credential.helper=${helper}`,
    "core.askPass=",
    `safe.directory=${workspace}`,
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "advice.detachedHead=false",
    "checkout.workers=0",
    "http.lowSpeedLimit=100",
    "http.lowSpeedTime=60",
    // Submodules are often written with ssh URLs; there is no ssh key here.
    `url.${protocol}//${host}/.insteadOf=git@${host}:`,
    `url.${protocol}//${host}/.insteadOf=ssh://git@${host}/`,
  ];
}

/** What makes `git pull` and `git push` of a person or an agent mean this branch of this server. */
export function trackingConfig(cloneUrl: string, branch: string): [key: string, value: string][] {
  return [
    ["core.bare", "false"],
    ["remote.origin.url", cloneUrl],
    ["remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*"],
    [`branch.${branch}.remote`, "origin"],
    [`branch.${branch}.merge`, `refs/heads/${branch}`],
  ];
}

/**
 * Writes `trackingConfig` into a repository that was just made, where a run of git for each setting would take longer than all else
 * but the fetch. False, and nothing was done, when a template of the machine has put settings of its own there.
 */
export async function appendTracking(gitDir: string, settings: readonly [key: string, value: string][]): Promise<boolean> {
  const file = join(gitDir, "config");
  const text = await readFile(file, "utf8");
  if (/^\s*\[\s*(remote|branch|include)/im.test(text) || !/^\tbare = false$/m.test(text)) return false;
  const quote = (value: string) => `"${value.replace(/["\\]/g, "\\$&")}"`;
  const lines = settings.flatMap(([key, value]) => {
    const [, section = "", name = "", variable = ""] = /^(remote|branch)\.(.+)\.(\w+)$/.exec(key) ?? [];
    return section === "" ? [] : [`[${section} ${quote(name)}]\n\t${variable} = ${quote(value)}\n`];
  });
  await appendFile(file, lines.join(""));
  return true;
}

/** What the last fetch of one branch brought; null where that is not plain to see. */
export async function readFetched(gitDir: string): Promise<string | null> {
  const text = await readFile(join(gitDir, "FETCH_HEAD"), "utf8").catch(() => "");
  return /^([0-9a-f]{40}|[0-9a-f]{64})\t[^\n]*\n$/.exec(text)?.[1] ?? null;
}

/** Whether HEAD is this branch. False also where that is not plain to see. */
export const isOnBranch = async (gitDir: string, branch: string): Promise<boolean> =>
  (await readFile(join(gitDir, "HEAD"), "utf8").catch(() => "")) === `ref: refs/heads/${branch}\n`;

/** The repository's own settings, as far as we care. */
export async function readConfig(git: (args: readonly string[]) => Promise<CommandResult>) {
  const listed = (await git(["config", "--local", "--list"])).stdout.split("\n");
  const lines = new Set(listed);
  return {
    has: ([key, value]: [key: string, value: string]) => lines.has(`${key}=${value}`),
    hasWorkTree: listed.some((line) => line.startsWith("core.worktree=")),
  };
}

/** Files flagged assume-unchanged or skip-worktree would keep their local content through a hard reset. */
export async function hidesChanges(git: (args: readonly string[]) => Promise<CommandResult>): Promise<boolean> {
  const listed = await git(["ls-files", "-v"]);
  return listed.exitCode === 0 && /^[a-zS] /m.test(listed.stdout);
}

/** An image can hold the locks and half-done operations of whatever was running when it was taken. */
export async function removeLeftovers(gitDir: string): Promise<void> {
  const operations = ["rebase-merge", "rebase-apply", "MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "BISECT_LOG", "sequencer"];
  await Promise.all(operations.map((name) => rm(join(gitDir, name), { recursive: true, force: true })));
  await removeLocks(gitDir);
}

/** To be called only while no git runs. */
export async function removeLocks(gitDir: string): Promise<void> {
  const entries = await readdir(gitDir, { recursive: true, withFileTypes: true });
  const locks = entries.filter((entry) => entry.isFile() && entry.name.endsWith(".lock"));
  await Promise.all(locks.map((entry) => rm(join(entry.parentPath, entry.name), { force: true })));
}
