/**
 * Commits what is not committed and pushes it to a branch of its own, with a credential that is asked for this one push. Never forces,
 * never pushes to the default branch. Knows no pull requests.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { type Person, type RuntimeEvent } from "@open-inspect/protocol";
import { type CredentialCache, startCredentialServer } from "./credential-server.ts";
import { identityOf } from "./git-identity.ts";
import { gitEnvironment, gitSettings } from "./git-settings.ts";
import { type CommandResult, runCommand } from "./processes.ts";

export type PushOutcome = Extract<RuntimeEvent, { type: "push.finished" }>["outcome"];

const localTimeoutMs = 120_000;
const pushTimeoutMs = 120_000;
const lockRetries = 20;
const lockRetryMs = 250;

/** Carries a sentence for the person. */
class PushFailed extends Error {}

/** Never rejects. Made again after a crash it does what is left to do. */
export async function pushWork(options: {
  workspace: string;
  stateDir: string;
  cloneUrl: string;
  /** the branch that the session began on, and the commit */
  base: { branch: string; sha: string };
  branch: string;
  message: string;
  author: Person | null;
  env: NodeJS.ProcessEnv;
  /** gives a credential that may write */
  credentials: CredentialCache;
  signal: AbortSignal;
}): Promise<PushOutcome> {
  const { workspace, branch, base, cloneUrl, signal } = options;
  const { name, email } = identityOf(options.author);
  const origin = "open-inspect-push:";
  const env = {
    ...gitEnvironment(workspace, options.env),
    ...{ GIT_AUTHOR_NAME: name, GIT_AUTHOR_EMAIL: email, GIT_COMMITTER_NAME: name, GIT_COMMITTER_EMAIL: email },
  };
  const server = await startCredentialServer({
    stateDir: options.stateDir,
    cloneUrl,
    cache: options.credentials,
    name: "push-credential",
  });
  const settings = gitSettings({ workspace, helper: server.helper, cloneUrl, origin }).flatMap((setting) => ["-c", setting]);
  const git = (args: readonly string[], timeoutMs = localTimeoutMs): Promise<CommandResult> =>
    runCommand("git", [...settings, ...args], { cwd: workspace, env, timeoutMs, signal });
  const lastLine = (result: CommandResult) =>
    result.timedOut ? "it took too long" : (result.lines.at(-1) ?? "git said nothing");

  /** The agent's own git may have the index for a moment. */
  const must = async (doing: string, args: readonly string[]): Promise<string> => {
    for (let attempt = 0; ; attempt++) {
      const result = await git(args);
      if (result.exitCode === 0) return result.stdout.trim();
      const isLocked = result.lines.some((line) => /\.lock'?: File exists/.test(line));
      if (!isLocked || attempt >= lockRetries || signal.aborted) throw new PushFailed(`${doing} failed: ${lastLine(result)}`);
      await sleep(lockRetryMs);
    }
  };
  const revision = async (name: string): Promise<string | null> => {
    const result = await git(["rev-parse", "--verify", "--quiet", `${name}^{commit}`]);
    return result.exitCode === 0 ? result.stdout.trim() : null;
  };

  /** What the server has: its default branch and the head of ours. */
  const askServer = async () => {
    const listed = await git(["ls-remote", "--symref", "--", origin, "HEAD", `refs/heads/${branch}`], pushTimeoutMs);
    if (listed.exitCode !== 0) throw new PushFailed(`The git server could not be asked: ${server.refusal() ?? lastLine(listed)}`);
    return {
      defaultBranch: /^ref: refs\/heads\/(\S+)\tHEAD$/m.exec(listed.stdout)?.[1] ?? null,
      head: /^([0-9a-f]{40,64})\trefs\/heads\/\S+$/m.exec(listed.stdout)?.[1] ?? null,
    };
  };

  /** Onto the branch, from the one that the session began on. Touches neither index nor files. */
  const takeBranch = async () => {
    const current = (await git(["symbolic-ref", "--quiet", "HEAD"])).stdout.trim();
    if (current !== "" && current !== `refs/heads/${base.branch}`) return;
    const local = await revision(`refs/heads/${branch}`);
    if (local !== null && (await git(["merge-base", "--is-ancestor", local, "HEAD"])).exitCode !== 0)
      throw new PushFailed(`There is another branch ${branch} in the workspace with commits that HEAD does not have`);
    await must("Making the branch", ["update-ref", `refs/heads/${branch}`, "HEAD"]);
    await must("Going to the branch", ["symbolic-ref", "HEAD", `refs/heads/${branch}`]);
  };

  const commit = async () => {
    const unmerged = await must("Looking at the workspace", ["ls-files", "--unmerged"]);
    if (unmerged !== "") throw new PushFailed("Files are in conflict: they must be resolved before they can be committed");
    await must("Adding the files", ["add", "--all"]);
    if ((await git(["diff", "--cached", "--quiet"])).exitCode === 0) return;
    await must("The commit", ["commit", "--quiet", "--no-verify", "--no-gpg-sign", "-m", options.message]);
  };

  try {
    const { defaultBranch, head } = await askServer();
    if (branch === defaultBranch) throw new PushFailed(`${branch} is the default branch: work is pushed to a branch of its own`);
    if (defaultBranch === null) throw new PushFailed("The git server does not say which branch is its default");
    const isClean = (await must("Looking at the workspace", ["status", "--porcelain", "--untracked-files=normal"])) === "";
    const known = [base.sha, `refs/remotes/origin/${base.branch}`];
    const excluded = (await Promise.all(known.map(revision))).filter((sha) => sha !== null);
    const count = async () => Number(await must("Counting commits", ["rev-list", "--count", "HEAD", "--not", ...excluded]));
    if (isClean && (await count()) === 0) return { kind: "nothing" };
    await takeBranch();
    await commit();
    const commits = await count();
    if (commits === 0) return { kind: "nothing" };
    const sha = await must("Reading HEAD", ["rev-parse", "HEAD"]);
    if (head !== sha) {
      const result = await git(["push", "--no-follow-tags", "--", origin, `${sha}:refs/heads/${branch}`], pushTimeoutMs);
      if (result.exitCode !== 0) throw new PushFailed(explainPush(branch, result, server.refusal()));
    }
    await git(["update-ref", `refs/remotes/origin/${branch}`, sha]);
    for (const [key, value] of [
      ["remote", "origin"],
      ["merge", `refs/heads/${branch}`],
    ])
      await git(["config", `branch.${branch}.${key}`, value ?? ""]);
    return { kind: "pushed", branch, sha, commits };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return { kind: "failed", message: reason.endsWith(".") ? reason : `${reason}.` };
  } finally {
    await server.close();
  }
}

function explainPush(branch: string, result: CommandResult, refusal: string | null): string {
  if (refusal !== null) return `No credential to push with: ${refusal}`;
  const text = result.lines.join("\n");
  if (/non-fast-forward|fetch first/.test(text))
    return `${branch} has commits on the server that the workspace does not have; nothing is overwritten. Let the agent pull that branch, or choose another`;
  if (/protected branch|GH006|GH013|pre-receive hook declined/.test(text)) {
    const said = result.lines.findLast((line) => line.startsWith("remote:")) ?? "it is protected";
    return `The git server declined ${branch}: ${said.replace(/^remote:\s*(error:\s*)?/, "")}`;
  }
  if (result.timedOut) return `Pushing ${branch} took longer than ${pushTimeoutMs / 1000} s. Try again`;
  return `Pushing ${branch} failed: ${result.lines.findLast((line) => !line.startsWith("hint:")) ?? "git said nothing"}`;
}
