/** Fills a bare repository from a local git repository or a plain directory. Does not know accounts or HTTP. */
import { mkdir, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, isAbsolute, join } from "node:path";
import { branchSchema } from "@open-inspect/protocol";
import { type Git, sourceRefPrefix } from "./git.ts";

const importTimeoutMs = 300_000;

/** Everything that enters the id of a commit made here. */
export const seedIdentity = (at: string, name = "Open-Inspect", email = "samples@open-inspect.invalid") => ({
  GIT_AUTHOR_NAME: name,
  GIT_AUTHOR_EMAIL: email,
  GIT_AUTHOR_DATE: at,
  GIT_COMMITTER_NAME: name,
  GIT_COMMITTER_EMAIL: email,
  GIT_COMMITTER_DATE: at,
});
const seedDate = "2026-01-01T00:00:00Z";

const bareConfig = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n";

/** Begins an empty bare repository, as `git init` would, over whatever an earlier attempt left at that place. */
export async function createEmpty({ gitDir, branch }: { gitDir: string; branch: string }): Promise<void> {
  await rm(gitDir, { recursive: true, force: true });
  await mkdir(dirname(gitDir), { recursive: true, mode: 0o700 });
  for (const name of ["objects/info", "objects/pack", "refs/heads", "refs/tags"])
    await mkdir(join(gitDir, name), { recursive: true });
  await writeFile(join(gitDir, "config"), bareConfig);
  // Last: with it the directory is a repository.
  await writeFile(join(gitDir, "HEAD"), `ref: refs/heads/${branch}\n`);
}

async function requireDirectory(path: string): Promise<void> {
  if (!isAbsolute(path)) throw new Error(`${path} must be an absolute path.`);
  const found = await stat(path).catch(() => null);
  if (!found?.isDirectory()) throw new Error(`${path} is not a directory.`);
}

/** Makes the first commit of `branch` from a directory; what its .gitignore names is left out. The same content gives the same id. */
export async function importTree(options: { git: Git; gitDir: string; directory: string; branch: string }): Promise<string> {
  const { git, gitDir } = options;
  await requireDirectory(options.directory);
  const scratch = await mkdtemp(join(tmpdir(), "github-import-"));
  try {
    const env = { GIT_DIR: gitDir, GIT_INDEX_FILE: join(scratch, "index"), GIT_WORK_TREE: options.directory };
    const timeoutMs = importTimeoutMs;
    await git.text(["add", "--all", "."], { env, cwd: options.directory, timeoutMs });
    const tree = await git.text(["write-tree"], { env, timeoutMs });
    const sha = await git.text(["commit-tree", tree, "-m", "Initial commit"], {
      env: { GIT_DIR: gitDir, ...seedIdentity(seedDate) },
    });
    await git.text([`--git-dir=${gitDir}`, "update-ref", `refs/heads/${options.branch}`, sha]);
    return sha;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/**
 * Takes over branches and tags of a local git repository. A branch that was also pushed to here moves only when that loses
 * nothing; otherwise it stays and the log says so. Returns the source's current branch, null when it has none.
 */
export async function fetchSource(options: {
  git: Git;
  gitDir: string;
  path: string;
  log: (line: string) => void;
}): Promise<string | null> {
  const { git, gitDir, path, log } = options;
  await requireDirectory(path);
  const at = `--git-dir=${gitDir}`;
  const root = await git.run(["rev-parse", "--absolute-git-dir"], { cwd: path });
  if (root.code !== 0) throw new Error(`${path} is not a git repository.`);
  const source = root.stdout.toString("utf8").trim();

  const heads = async (prefix: string) => {
    const text = await git.text([at, "for-each-ref", "--format=%(objectname) %(refname)", prefix]);
    const lines = text === "" ? [] : text.split("\n");
    return new Map(lines.map((line) => [line.slice(41 + prefix.length + 1), line.slice(0, 40)]));
  };
  const seen = await heads(`${sourceRefPrefix}/heads`);
  const fetch = [at, "fetch", "--quiet", "--no-write-fetch-head", "--no-tags", "--update-shallow"];
  const timeoutMs = importTimeoutMs;
  await git.text([...fetch, "--prune", source, `+refs/heads/*:${sourceRefPrefix}/heads/*`], { timeoutMs });
  await git.text([...fetch, source, "+refs/tags/*:refs/tags/*"], { timeoutMs });
  const now = await heads(`${sourceRefPrefix}/heads`);
  const here = await heads("refs/heads");
  for (const [branch, sha] of now) {
    const current = here.get(branch);
    if (current === sha || (current !== undefined && seen.get(branch) === sha)) continue;
    const safe =
      current === undefined ||
      current === seen.get(branch) ||
      (await git.run([at, "merge-base", "--is-ancestor", current, sha])).code === 0;
    if (safe) await git.text([at, "update-ref", `refs/heads/${branch}`, sha]);
    else log(`${path}: branch ${branch} has commits here that the source has not; it stays where it is`);
  }
  for (const [branch, sha] of seen) {
    if (!now.has(branch) && here.get(branch) === sha) await git.text([at, "update-ref", "-d", `refs/heads/${branch}`, sha]);
  }
  const head = await git.run(["symbolic-ref", "--quiet", "--short", "HEAD"], { cwd: path });
  const branch = head.stdout.toString("utf8").trim();
  return head.code === 0 && branchSchema.safeParse(branch).success ? branch : ([...now.keys()][0] ?? null);
}
