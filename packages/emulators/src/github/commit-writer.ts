/** Writes a commit into a bare repository with git's plumbing, without a work tree. Does not announce it. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isoSeconds } from "./commits.ts";
import { type Git } from "./git.ts";
import { type Repository } from "./repositories.ts";
import { seedIdentity } from "./seeds.ts";

export interface NewCommit {
  branch: string;
  message: string;
  /** content by path; null removes the file. A path ending in `.sh` becomes executable. */
  files: Record<string, string | null>;
}
export type WriteCommit = (repository: Repository, commit: NewCommit) => Promise<string>;

/** Git's own rules for a path in a tree, checked before git sees it. */
function requirePath(path: string): void {
  const bad = path.split("/").some((part) => part === "" || part === "." || part === ".." || part.toLowerCase() === ".git");
  if (bad || /[\u0000\n]/.test(path)) throw new Error(`${JSON.stringify(path)} cannot be a file of a repository.`);
}

/** Adds a commit on top of `branch` (which it may begin) and moves the branch; throws when the branch moved meanwhile. Returns its id. */
export async function writeCommit(
  ports: { git: Git; gitDir: string; now: () => number; author: { name: string; email: string } },
  commit: NewCommit,
): Promise<string> {
  const { git, gitDir } = ports;
  for (const path of Object.keys(commit.files)) requirePath(path);
  const at = `--git-dir=${gitDir}`;
  const ref = `refs/heads/${commit.branch}`;
  const tip = await git.run([at, "rev-parse", "--verify", "--quiet", "--end-of-options", `${ref}^{commit}`]);
  let parent = tip.code === 0 ? tip.stdout.toString("utf8").trim() : null;
  const current = parent;
  if (parent === null) {
    // A new branch of a repository that has commits begins where the default branch is.
    const head = await git.run([at, "rev-parse", "--verify", "--quiet", "HEAD^{commit}"]);
    parent = head.code === 0 ? head.stdout.toString("utf8").trim() : null;
  }
  const scratch = await mkdtemp(join(tmpdir(), "github-commit-"));
  try {
    const env = { GIT_INDEX_FILE: join(scratch, "index") };
    if (parent !== null) await git.text([at, "read-tree", parent], { env });
    const entries: string[] = [];
    for (const [path, content] of Object.entries(commit.files)) {
      if (content === null) {
        entries.push(`0 ${"0".repeat(40)}\t${path}`);
        continue;
      }
      const blob = await git.text([at, "hash-object", "-w", "--stdin"], { input: content });
      entries.push(`${path.endsWith(".sh") ? "100755" : "100644"} ${blob}\t${path}`);
    }
    await git.text([at, "update-index", "-z", "--index-info"], { env, input: entries.map((entry) => `${entry}\0`).join("") });
    const tree = await git.text([at, "write-tree"], { env });
    const args = [at, "commit-tree", tree, ...(parent === null ? [] : ["-p", parent]), "-F", "-"];
    const identity = seedIdentity(isoSeconds(ports.now()), ports.author.name, ports.author.email);
    const sha = await git.text(args, { input: commit.message, env: identity });
    await git.text([at, "update-ref", ref, sha, current ?? "0".repeat(40)]);
    return sha;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}
