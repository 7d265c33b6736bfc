/**
 * What differs in the workspace from a commit, committed or not, as git and the files say. Never writes: not to the index, which
 * the agent's own git may have in hand. Knows no session.
 */
import { lstat, readFile, readlink } from "node:fs/promises";
import { join } from "node:path";
import { type ChangedFile, diffFilesMax, type WorkspaceDiff } from "@open-inspect/protocol";
import { type FileChange, fitDiff, newFileHunks, parseChanges, parsePatch } from "../domain/diff.ts";
import { captureBytes, runCommand } from "./processes.ts";

/** More lines in a file, or in all of them, are no reading matter; asking git for them would only cost time. */
const fileLinesMax = 5_000;
const patchLinesMax = 20_000;
const patchFilesMax = 300;
const newFileMaxBytes = 1024 * 1024;

const diffFlags = [
  ...["--no-color", "--no-ext-diff", "--no-textconv", "--no-relative", "--ignore-submodules=dirty", "--submodule=short"],
  ...["--find-renames", "-l400", "--unified=3", "--src-prefix=a/", "--dst-prefix=b/"],
];

/** null when git cannot say in time. @param base a commit that is here */
export async function readWorkspaceDiff(
  workspace: string,
  base: string,
  options: { env: NodeJS.ProcessEnv; timeoutMs: number; signal: AbortSignal },
): Promise<WorkspaceDiff | null> {
  const deadline = Date.now() + options.timeoutMs;
  const env = {
    ...options.env,
    GIT_DIR: join(workspace, ".git"),
    GIT_WORK_TREE: workspace,
    // Without them git would refresh the index on the way.
    GIT_OPTIONAL_LOCKS: "0",
    LC_ALL: "C.UTF-8",
  };
  const git = async (...args: string[]): Promise<string | null> => {
    const settings = ["-c", `safe.directory=${workspace}`, "-c", "core.fsmonitor=false", "-c", "core.quotePath=false"];
    const timeoutMs = Math.max(1, deadline - Date.now());
    const run = { cwd: workspace, env, timeoutMs, signal: options.signal };
    const result = await runCommand("git", [...settings, ...args], run).catch(() => null);
    return result?.exitCode === 0 ? result.stdout : null;
  };
  const [counted, untracked] = await Promise.all([
    git("diff", "--raw", "--numstat", "-z", ...diffFlags, base, "--"),
    git("ls-files", "--others", "--exclude-standard", "-z"),
  ]);
  if (counted === null || untracked === null) return null;
  const changes = parseChanges(counted);
  const isListCut = counted.length >= captureBytes || untracked.length >= captureBytes;

  const shown = chooseReadable(changes);
  const hunks = new Map<string, string | null>();
  if (shown.length > 0) {
    const paths = shown.flatMap(({ path, from }) => [path, ...(from === undefined ? [] : [from])]);
    const specs = shown.length === changes.length ? [] : paths.map((path) => `:(literal,top)${path}`);
    const patch = await git("diff", "--patch", ...diffFlags, base, "--", ...specs);
    if (patch === null) return null;
    const sections = parsePatch(patch);
    // What was changed between the two looks does not fit: the next look will.
    const isWhole = patch.length < captureBytes && sections.length === shown.reduce((sum, { sections }) => sum + sections, 0);
    let at = 0;
    for (const file of isWhole ? shown : []) {
      const own = sections.slice(at, at + file.sections);
      at += file.sections;
      hunks.set(file.path, own.includes(null) ? null : own.join(""));
    }
  }
  const files = new Map(changes.map((change) => [change.path, toChangedFile(change, hunks.get(change.path) ?? null)]));
  const isPatchCut = changes.some(({ path, lines }) => lines !== null && !hunks.has(path));

  const paths = untracked.split("\0").filter((path) => path !== "");
  for (const path of paths.slice(0, diffFilesMax)) {
    if (Date.now() > deadline) return null;
    const made = await readNewFile(workspace, path);
    if (!made) continue;
    const known = files.get(path);
    // Taken out of git and still there.
    files.set(path, known ? { ...known, change: "modified", additions: made.additions, hunks: null } : made);
  }
  return fitDiff(base, [...files.values()], isListCut || isPatchCut || paths.length > diffFilesMax);
}

/** The files whose hunks are worth having, in git's order. */
function chooseReadable(changes: readonly FileChange[]): FileChange[] {
  let lines = 0;
  const chosen: FileChange[] = [];
  for (const change of changes) {
    const size = change.lines ? change.lines.additions + change.lines.deletions : 0;
    if (!change.lines || size > fileLinesMax || lines + size > patchLinesMax || chosen.length >= patchFilesMax) continue;
    lines += size;
    chosen.push(change);
  }
  return chosen;
}

function toChangedFile({ path, from, change, lines }: FileChange, hunks: string | null): ChangedFile {
  const { additions, deletions } = lines ?? { additions: 0, deletions: 0 };
  return { path, ...(from === undefined ? {} : { from }), change, additions, deletions, hunks };
}

/** null for what is gone again. A folder with a repository of its own has no lines. */
async function readNewFile(workspace: string, path: string): Promise<ChangedFile | null> {
  const file = join(workspace, path);
  const about = await lstat(file).catch(() => null);
  if (!about) return null;
  const added = { path, change: "added", deletions: 0 } as const;
  const isReadable = about.isSymbolicLink() || (about.isFile() && about.size <= newFileMaxBytes);
  if (!isReadable) return { ...added, additions: 0, hunks: null };
  const text = await (about.isSymbolicLink() ? readlink(file) : readFile(file, "utf8")).catch(() => null);
  return text === null ? null : { ...added, ...newFileHunks(text) };
}

const debounceMs = 500;
const readTimeoutMs = 10_000;
/** The share of time that looking may take in a workspace where it is slow. */
const restFactor = 10;

/** Looks when something may have changed, not too often, and tells what is new. */
export function createDiffWatch(options: {
  workspace: string;
  env: NodeJS.ProcessEnv;
  signal: AbortSignal;
  onDiff: (diff: WorkspaceDiff) => void;
  log: (line: string) => void;
}) {
  const { signal } = options;
  let base: string | null = null;
  let told = "";
  let timer: NodeJS.Timeout | undefined;
  let dueAt = Number.POSITIVE_INFINITY;
  let restUntil = 0;
  let isLooking = false;

  const look = async () => {
    timer = undefined;
    dueAt = Number.POSITIVE_INFINITY;
    if (base === null || signal.aborted) return;
    isLooking = true;
    const from = base;
    const startedAt = Date.now();
    const { workspace, env } = options;
    const diff = await readWorkspaceDiff(workspace, from, { env, timeoutMs: readTimeoutMs, signal }).catch(() => null);
    const now = Date.now();
    restUntil = now + (now - startedAt) * restFactor;
    isLooking = false;
    const mark = diff ? JSON.stringify(diff) : told;
    if (!diff) options.log(`git: the workspace could not be compared in ${now - startedAt} ms`);
    else if (from === base && mark !== told && !signal.aborted) {
      told = mark;
      options.onDiff(diff);
    }
    if (dueAt !== Number.POSITIVE_INFINITY) schedule(dueAt);
  };
  const schedule = (at: number) => {
    dueAt = Math.min(dueAt, at);
    if (isLooking || signal.aborted) return;
    clearTimeout(timer);
    timer = setTimeout(() => void look(), Math.max(0, dueAt - Date.now()));
  };
  signal.addEventListener("abort", () => clearTimeout(timer), { once: true });

  return {
    /** From now on against this commit. */
    begin(sha: string): void {
      base = sha;
      told = "";
      schedule(Date.now());
    },
    /** `tool`: something may have changed. `finished`: nothing more will change for now, so that this look counts. */
    touch(why: "tool" | "finished"): void {
      schedule(why === "finished" ? Date.now() : Math.max(Date.now() + debounceMs, restUntil));
    },
  };
}
