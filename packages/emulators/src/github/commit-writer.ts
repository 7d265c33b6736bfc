/** Writes a commit into a bare repository with `git fast-import`, without a work tree. Does not announce it. */
import { type Git } from "./git.ts";
import { type Repository } from "./repositories.ts";

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
  ports: { git: Git; gitDir: string; defaultBranch: string; now: () => number; author: { name: string; email: string } },
  commit: NewCommit,
): Promise<string> {
  const { git, gitDir } = ports;
  for (const path of Object.keys(commit.files)) requirePath(path);
  const at = `--git-dir=${gitDir}`;
  const ref = `refs/heads/${commit.branch}`;
  const wanted = [ref, `refs/heads/${ports.defaultBranch}`];
  const found = await git.text([at, "for-each-ref", "--format=%(objectname) %(refname)", ...wanted]);
  const tips = new Map(found.split("\n").map((line) => [line.slice(41), line.slice(0, 40)]));
  // A new branch of a repository that has commits begins where the default branch is.
  const parent = wanted.map((name) => tips.get(name)).find((sha) => sha !== undefined) ?? null;
  const seconds = Math.floor(ports.now() / 1000);
  const plain = (text: string) => text.replace(/[<>\n]/g, "");
  const who = `${plain(ports.author.name)} <${plain(ports.author.email)}> ${seconds} +0000`;
  const changes = Object.entries(commit.files).map(([path, content]) => {
    const quoted = `"${path.replace(/["\\]/g, "\\$&")}"`;
    if (content === null) return `D ${quoted}\n`;
    return `M ${path.endsWith(".sh") ? "100755" : "100644"} inline ${quoted}\n${data(content)}`;
  });
  const from = parent === null ? "" : `from ${parent}\n`;
  const input = `commit ${ref}\nmark :1\nauthor ${who}\ncommitter ${who}\n${data(commit.message)}${from}${changes.join("")}\nget-mark :1\ndone\n`;
  // One git for the whole commit. It refuses when the branch has meanwhile what this commit has not.
  return git.text([at, "fast-import", "--quiet", "--done"], { input });
}

const data = (text: string) => `data ${Buffer.byteLength(text)}\n${text}\n`;
