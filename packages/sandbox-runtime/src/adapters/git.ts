/**
 * Puts the workspace on the head that the server has for a branch, from nothing or from any state, and proves it.
 * Knows git and the credential server, nothing of phases.
 */
import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { branchSchema, repositoryPathSchema } from "@open-inspect/protocol";
import { classifyGit, explainGit, type GitOutcome, RuntimeFailure } from "../domain/failures.ts";
import { type CredentialCache, startCredentialServer } from "./credential-server.ts";
import {
  appendTracking,
  gitEnvironment,
  gitSettings,
  hidesChanges,
  isOnBranch,
  readConfig,
  readFetched,
  removeLeftovers,
  trackingConfig,
} from "./git-settings.ts";
import { type CommandResult, captureBytes, runCommand } from "./processes.ts";

/** Deep enough for log, blame and merge bases of everyday work; a full history can take minutes. */
const cloneDepth = 100;
const fetchRetryDelaysMs = [500, 2_000] as const;
const localTimeoutMs = 120_000;
const lockRetries = 10;
const lockRetryMs = 200;
/** As many as the protocol lists. */
const changedFilesMax = 5_000;

export interface Workspace {
  sha: string;
  /** the branch that `sha` is the head of; not the wished one where the server's default branch took its place */
  branch: string;
  /** HEAD before, null after a clone */
  bakedSha: string | null;
  /** what did not work but does not matter for the branch itself */
  warnings: string[];
}

/** True when there is a repository to update; false when one must be cloned. */
export function hasRepository(workspace: string): boolean {
  return existsSync(join(workspace, ".git", "HEAD"));
}

/** Throws RuntimeFailure with a clone_… or sync_… cause. Ignored files such as `node_modules` stay as they are. */
export async function bringToHead(options: {
  phase: "clone" | "sync";
  workspace: string;
  stateDir: string;
  cloneUrl: string;
  branch: string;
  /** when the server does not have the branch, its default branch takes its place */
  followDefault?: boolean;
  timeoutMs: number;
  env: NodeJS.ProcessEnv;
  credentials: CredentialCache;
  signal: AbortSignal;
  log: (line: string) => void;
  /**
   * Before the workspace is moved from one commit to another: the files that this touches; null: any. Whatever is written to others
   * from now on stays.
   */
  onChanged?: (files: string[] | null) => void;
  /** only learns what the server has: nothing of the workspace changes, and HEAD stays what it is */
  fetchOnly?: boolean;
  /** waits between the tries of a fetch */
  retryDelaysMs?: readonly number[];
}): Promise<Workspace> {
  const { phase, workspace, cloneUrl, signal } = options;
  let { branch } = options;
  const gitDir = join(workspace, ".git");
  // A name that no `url.….insteadOf` of setup's can know, so that ours alone decides which server is asked.
  const origin = `origin-${randomUUID()}:`;
  /** git refused for a reason that is in the repository here, as far as one can tell */
  let isBroken = false;
  const deadline = Date.now() + options.timeoutMs;
  const server = await startCredentialServer({ stateDir: options.stateDir, cloneUrl, cache: options.credentials });
  const env = gitEnvironment(workspace, options.env);
  const settings = gitSettings({ workspace, helper: server.helper, cloneUrl, origin }).flatMap((setting) => ["-c", setting]);
  const git = (args: readonly string[], timeoutMs = localTimeoutMs): Promise<CommandResult> =>
    runCommand("git", [...settings, ...args], { cwd: workspace, env, timeoutMs: Math.max(1, timeoutMs), signal });

  const fail = async (result: CommandResult): Promise<never> => {
    const outcome: GitOutcome = { ...result, timeoutMs: options.timeoutMs };
    let heads: number | null = null;
    const kind = classifyGit(outcome);
    isBroken = kind === "other";
    if (kind === "no_ref") {
      const listed = await git(["ls-remote", "--heads", "--", origin], deadline - Date.now());
      if (listed.exitCode === 0) heads = listed.stdout.split("\n").filter((line) => line !== "").length;
    }
    const isOutside = kind === "network" || kind === "timeout";
    throw new RuntimeFailure(explainGit({ phase, cloneUrl, branch, outcome, refusal: server.refusal(), heads }), isOutside);
  };
  const must = async (args: readonly string[]): Promise<string> => {
    const result = await git(args, Math.min(localTimeoutMs, deadline - Date.now()));
    return result.exitCode === 0 ? result.stdout.trim() : fail(result);
  };
  const revision = async (name: string): Promise<string | null> => {
    const result = await git(["rev-parse", "--verify", "--quiet", `${name}^{commit}`]);
    return result.exitCode === 0 ? result.stdout.trim() : null;
  };

  /** What HEAD means on the server; null when it does not say. */
  const defaultBranch = async (): Promise<string | null> => {
    const listed = await git(["ls-remote", "--symref", "--", origin, "HEAD"], deadline - Date.now());
    const name = /^ref: refs\/heads\/(\S+)\tHEAD$/m.exec(listed.stdout)?.[1];
    return branchSchema.safeParse(name).data ?? null;
  };

  const fetchHead = async (isNew: boolean): Promise<string> => {
    const depth = isNew ? ["--depth", String(cloneDepth)] : [];
    let mayFollow = options.followDefault ?? false;
    for (let attempt = 0; ; attempt++) {
      const refspec = `+refs/heads/${branch}:refs/remotes/origin/${branch}`;
      const result = await git(["fetch", "--no-recurse-submodules", ...depth, "--", origin, refspec], deadline - Date.now());
      if (result.exitCode === 0) return (await readFetched(gitDir)) ?? must(["rev-parse", "--verify", "FETCH_HEAD^{commit}"]);
      const kind = classifyGit({ ...result, timeoutMs: options.timeoutMs });
      const other = kind === "no_ref" && mayFollow ? await defaultBranch() : null;
      mayFollow = false;
      if (other !== null && other !== branch) {
        options.log(`The server has no branch ${branch} any more, going on with its default branch ${other}`);
        branch = other;
        attempt--;
        continue;
      }
      const delayMs = (options.retryDelaysMs ?? fetchRetryDelaysMs)[attempt];
      // A fresh installation token can be refused for a moment until GitHub knows it everywhere.
      const mayRetry = kind === "network" || (kind === "auth" && server.refusal() === null);
      if (!mayRetry || delayMs === undefined || Date.now() + delayMs > deadline || signal.aborted) return fail(result);
      options.log(`git fetch failed (${result.lines.at(-1) ?? kind}), trying again`);
      await sleep(delayMs);
    }
  };

  /** An index that a crash cut off is rebuilt from the commit. */
  const resetHard = async (sha: string) => {
    for (let attempt = 0; ; attempt++) {
      const result = await git(["reset", "--hard", "--quiet", sha], deadline - Date.now());
      if (result.exitCode === 0) return;
      const reason = result.lines.at(-1) ?? "no output";
      // Somebody else's git, such as the agent's, has it for a moment.
      const isLocked = result.lines.some((line) => line.includes("index.lock"));
      if (isLocked && attempt < lockRetries) await sleep(lockRetryMs);
      else {
        options.log(`git reset failed (${reason}), rebuilding the index`);
        await rm(join(gitDir, "index"), { force: true });
        return void (await must(["reset", "--hard", "--quiet", sha]));
      }
    }
  };
  const takeBranch = async () => {
    if (!(await isOnBranch(gitDir, branch))) await must(["symbolic-ref", "HEAD", `refs/heads/${branch}`]);
  };
  const reset = async (sha: string) => {
    await takeBranch();
    await resetHard(sha);
  };

  /** The files that differ between two commits; null for too many, or names that the protocol has no place for. */
  const listChanged = async (from: string, to: string): Promise<string[] | null> => {
    if (from === to) return [];
    const listed = await git(["diff-tree", "-r", "--name-only", "--no-renames", "-z", from, to]);
    if (listed.exitCode !== 0 || listed.stdout.length >= captureBytes) return null;
    const files = listed.stdout.split("\0").filter((path) => path !== "");
    const isTellable = files.length <= changedFilesMax && files.every((path) => repositoryPathSchema.safeParse(path).success);
    return isTellable ? files : null;
  };

  /** From one commit to another by touching only what differs. False, and nothing was done, when something is in the way. */
  const move = async (from: string, to: string): Promise<boolean> => {
    const merge = ["read-tree", "-m", "-u"];
    // Submodules are checked out whole afterwards.
    if (existsSync(join(workspace, ".gitmodules"))) return false;
    const files = await listChanged(from, to);
    if (files === null || files.includes(".gitmodules")) return false;
    const isFree = async () => (await git([...merge, "--dry-run", from, to])).exitCode === 0;
    if (from !== to && !(await isFree())) {
      // A file that was written again with the same content only looks changed.
      await git(["update-index", "-q", "--refresh"]);
      if (!(await isFree())) return false;
    }
    options.onChanged?.(files);
    if (from !== to && (await git([...merge, from, to], deadline - Date.now())).exitCode !== 0) return false;
    await must(["update-ref", `refs/heads/${branch}`, to]);
    await takeBranch();
    return true;
  };

  const track = async (settings: readonly [key: string, value: string][]) => {
    for (const [key, value] of settings) await must(["config", key, value]);
  };

  const update = async (): Promise<{ sha: string; bakedSha: string | null }> => {
    await removeLeftovers(gitDir);
    /** The workspace as its commit has it, which compares every file: done while the server answers. */
    const restore = async () => {
      const [bakedSha, isHiding, config] = await Promise.all([revision("HEAD"), hidesChanges(git), readConfig(git)]);
      if (isHiding) await rm(join(gitDir, "index"), { force: true });
      if (config.hasWorkTree) await must(["config", "--unset-all", "core.worktree"]);
      if (bakedSha !== null) await resetHard(bakedSha);
      await must(["clean", "-ffd", "--quiet"]);
      return { bakedSha, config };
    };
    const [fetched, restored] = await Promise.allSettled([fetchHead(false), restore()]);
    if (fetched.status === "rejected") throw fetched.reason;
    if (restored.status === "rejected") throw restored.reason;
    const sha = fetched.value;
    const { bakedSha, config } = restored.value;
    if (bakedSha === null || !(await move(bakedSha, sha))) {
      options.onChanged?.(null);
      await reset(sha);
      await must(["clean", "-ffd", "--quiet"]);
    }
    await track(trackingConfig(cloneUrl, branch).filter((setting) => !config.has(setting)));
    return { sha, bakedSha };
  };

  /** A new repository under whatever files are there: what git ignores stays, such as what setup made. */
  const make = async () => {
    await must(["init", "--quiet", `--initial-branch=${branch}`]);
    const sha = await fetchHead(true);
    await reset(sha);
    if (phase === "sync") await must(["clean", "-ffd", "--quiet"]);
    const settings = trackingConfig(cloneUrl, branch);
    if (!(await appendTracking(gitDir, settings))) await track(settings);
    return { sha, bakedSha: null };
  };

  const settle = async () => {
    if (phase === "clone") return make();
    if (options.fetchOnly) {
      const [, head] = await Promise.all([fetchHead(false), revision("HEAD")]);
      return { sha: head ?? "", bakedSha: head };
    }
    try {
      return await update();
    } catch (error) {
      if (!(error instanceof RuntimeFailure) || !isBroken || signal.aborted || Date.now() > deadline) throw error;
      options.log(`The repository here cannot be used (${error.failure.lines.at(-1) ?? "no output"}), making it anew`);
      await rm(gitDir, { recursive: true, force: true });
      return make();
    }
  };

  try {
    await mkdir(workspace, { recursive: true });
    const { sha, bakedSha } = await settle();
    const warnings: string[] = [];
    if (existsSync(join(workspace, ".gitmodules")) && !options.fetchOnly) {
      const modules = await git(
        ["submodule", "update", "--init", "--recursive", "--force", "--depth", "1"],
        deadline - Date.now(),
      );
      // The token reads one repository: a private submodule is out of its reach for ever, so it must not block the rest.
      if (modules.exitCode !== 0) warnings.push(`submodules were not updated: ${modules.lines.at(-1) ?? "git said nothing"}`);
    }
    const head = await revision("HEAD");
    if (head !== sha) {
      const lines = [`HEAD is ${head ?? "nothing"}, the server has ${sha}`];
      throw new RuntimeFailure({
        code: phase === "clone" ? "clone_failed" : "sync_failed",
        message: `The workspace is not on the head of ${branch}.`,
        hint: "Try again; if it happens again start from a fresh clone.",
        phase,
        lines,
        exitCode: null,
      });
    }
    return { sha, branch, bakedSha, warnings };
  } finally {
    await server.close();
  }
}
