/** Reads commits, comparisons and changed files out of a bare repository. Does not know HTTP or who may read. */
import { type Git, type GitOptions } from "./git.ts";
import { type Refs } from "./repositories.ts";

export interface Signature {
  name: string;
  email: string;
  /** ISO 8601 in UTC, without fractions */
  date: string;
}
export interface Commit {
  sha: string;
  tree: string;
  parents: string[];
  author: Signature;
  committer: Signature;
  message: string;
}
export interface FileChange {
  filename: string;
  previous: string | null;
  status: "added" | "removed" | "modified" | "renamed" | "changed";
  /** blob after the change, before it for a removed file */
  blob: string;
  additions: number;
  deletions: number;
}

export const isoSeconds = (atMs: number) => new Date(atMs).toISOString().replace(/\.\d{3}Z$/, "Z");
const emptyTree = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
const fields = ["%H", "%T", "%P", "%an", "%ae", "%at", "%cn", "%ce", "%ct", "%B"];
const format = `--format=tformat:${fields.join("%x00")}`;
/** Whatever a client may name a commit by: no revision syntax, nothing that looks like an option. */
const namePattern = /^(?!-)(?!.*\.\.)[^\s~^:?*[\\@{}\u0000-\u001f\u007f]{1,255}$/;

/** Whose address it is, by the form that GitHub gives to people who hide theirs: `ID+login@users.noreply…`; null for any other. */
export const loginOfEmail = (email: string): string | null => /^(?:\d+\+)?([^@+]+)@users\.noreply\./.exec(email)?.[1] ?? null;

/** @param range arguments for `git log` that this emulator made itself, from full commit ids */
export async function readCommits(git: Git, gitDir: string, range: string[], options?: GitOptions): Promise<Commit[]> {
  const text = await git.text([`--git-dir=${gitDir}`, "log", "-z", "--no-decorate", format, ...range], options);
  const values = text.split("\0");
  const commits: Commit[] = [];
  for (let at = 0; at + fields.length <= values.length; at += fields.length) {
    const [sha = "", tree = "", parents = "", an = "", ae = "", atime, cn = "", ce = "", ctime, body = ""] = values.slice(at);
    commits.push({
      sha,
      tree,
      parents: parents === "" ? [] : parents.split(" "),
      author: { name: an, email: ae, date: isoSeconds(Number(atime) * 1000) },
      committer: { name: cn, email: ce, date: isoSeconds(Number(ctime) * 1000) },
      message: body.replace(/\n+$/, ""),
    });
  }
  return commits;
}

/** The commit that a branch, tag, full ref or (short) id stands for; null when there is none. */
export async function resolveCommit(
  git: Git,
  gitDir: string,
  refs: Refs,
  name: string,
  options?: GitOptions,
): Promise<string | null> {
  if (!namePattern.test(name)) return null;
  for (const candidate of [`refs/heads/${name}`, `refs/${name}`, name, `refs/tags/${name}`]) {
    const ref = refs.get(candidate);
    if (ref === undefined) continue;
    return ref.type === "commit" ? ref.sha : verify(git, gitDir, ref.sha, options);
  }
  return /^[0-9a-f]{4,40}$/i.test(name) ? verify(git, gitDir, name, options) : null;
}

async function verify(git: Git, gitDir: string, name: string, options?: GitOptions): Promise<string | null> {
  const result = await git.run(
    [`--git-dir=${gitDir}`, "rev-parse", "--verify", "--quiet", "--end-of-options", `${name}^{commit}`],
    options,
  );
  return result.code === 0 ? result.stdout.toString("utf8").trim() : null;
}

export async function countCommits(git: Git, gitDir: string, range: string[], options?: GitOptions): Promise<number> {
  return Number(await git.text([`--git-dir=${gitDir}`, "rev-list", "--count", ...range], options));
}

/** How many commits each of the two has that the other has not. */
export async function countApart(
  git: Git,
  gitDir: string,
  base: string,
  head: string,
  options?: GitOptions,
): Promise<{ ahead: number; behind: number }> {
  const text = await git.text([`--git-dir=${gitDir}`, "rev-list", "--count", "--left-right", `${base}...${head}`], options);
  const [behind, ahead] = text.split("\t").map(Number);
  return { ahead: ahead ?? 0, behind: behind ?? 0 };
}

/** The best common ancestor; null when the histories have nothing in common. */
export async function mergeBase(git: Git, gitDir: string, a: string, b: string, options?: GitOptions): Promise<string | null> {
  const result = await git.run([`--git-dir=${gitDir}`, "merge-base", a, b], options);
  return result.code === 0 ? result.stdout.toString("utf8").trim() : null;
}

const statuses: Record<string, FileChange["status"]> = { A: "added", D: "removed", M: "modified", R: "renamed", T: "changed" };

/** Files that differ between two commits, with line counts. `from: null`: against nothing. */
export async function diffFiles(
  git: Git,
  gitDir: string,
  from: string | null,
  to: string,
  options?: GitOptions,
): Promise<FileChange[]> {
  const args = [`--git-dir=${gitDir}`, "diff-tree", "-z", "-r", "-M", "--abbrev=40", from ?? emptyTree, to];
  const records = (await git.text([...args, "--raw", "--numstat"], options)).split("\0");
  // First what happened to each file, `:…` and one path, or two for a rename; then the line counts.
  let countsAt = 0;
  while (records[countsAt]?.startsWith(":")) countsAt += / [RC]\d*$/.test(records[countsAt] ?? "") ? 3 : 2;
  const [raw, counts] = [records.slice(0, countsAt), records.slice(countsAt)];
  const lines = new Map<string, { additions: number; deletions: number }>();
  for (let at = 0; at < counts.length; at++) {
    const [additions, deletions, path] = (counts[at] ?? "").split("\t");
    if (additions === undefined || deletions === undefined || path === undefined) continue;
    // A rename leaves the path empty and puts the old and the new one behind it.
    if (path === "") at += 2;
    const filename = path || (counts[at] ?? "");
    // Binary files count as "-".
    lines.set(filename, { additions: Number(additions) || 0, deletions: Number(deletions) || 0 });
  }
  const files: FileChange[] = [];
  for (let at = 0; at < raw.length; ) {
    const [, , before = "", after = "", letter = ""] = (raw[at++] ?? "").split(" ");
    const status = statuses[letter.charAt(0)];
    if (status === undefined) continue;
    const previous = status === "renamed" ? (raw[at++] ?? null) : null;
    const filename = raw[at++] ?? "";
    const { additions, deletions } = lines.get(filename) ?? { additions: 0, deletions: 0 };
    files.push({ filename, previous, status, blob: status === "removed" ? before : after, additions, deletions });
  }
  return files;
}

/** Names of the files that each commit added, removed and modified; merges name none. */
export async function changedNames(git: Git, gitDir: string, shas: string[]) {
  const args = [`--git-dir=${gitDir}`, "diff-tree", "--stdin", "-z", "-r", "--root", "--name-status", "--no-renames"];
  const tokens = (await git.text(args, { input: shas.map((sha) => `${sha}\n`).join("") })).split("\0");
  const found = new Map(shas.map((sha) => [sha, { added: [] as string[], removed: [] as string[], modified: [] as string[] }]));
  let current = found.get("");
  for (let at = 0; at < tokens.length; at++) {
    const token = tokens[at] ?? "";
    if (found.has(token)) current = found.get(token);
    else if (/^[A-Z]\d*$/.test(token)) {
      const path = tokens[++at] ?? "";
      if (token === "A") current?.added.push(path);
      else if (token === "D") current?.removed.push(path);
      else current?.modified.push(path);
    }
  }
  return found;
}
