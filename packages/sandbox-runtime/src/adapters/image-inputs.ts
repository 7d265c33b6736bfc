/** Reads from the workspace what an image depends on besides the commit. Does not know what a difference leads to. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { lstat, readFile } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import {
  hookPaths,
  imageFilePath,
  inputFilesMax,
  type RepositoryImageFile,
  repositoryImageFileSchema,
  type WorkspaceInputs,
} from "@open-inspect/protocol";
import { explainImageFile, RuntimeFailure } from "../domain/failures.ts";
import { type CommandResult, runCommand } from "./processes.ts";

/** Lockfiles of npm, pnpm, yarn, bun, pip, pipenv, uv, poetry, cargo, go, bundler and composer, in any folder. */
const lockfiles = [
  "package-lock.json",
  "npm-shrinkwrap.json",
  "pnpm-lock.yaml",
  "yarn.lock",
  "bun.lock",
  "bun.lockb",
  "requirements*.txt",
  "Pipfile.lock",
  "uv.lock",
  "poetry.lock",
  "Cargo.lock",
  "go.sum",
  "Gemfile.lock",
  "composer.lock",
].map((name) => `**/${name}`);

const listTimeoutMs = 30_000;
const imageFileMaxBytes = 64 * 1024;

export interface ImageInputs {
  inputs: WorkspaceInputs;
  file: RepositoryImageFile;
}

/** @throws RuntimeFailure when `.openinspect/image.json` is none */
export async function readImageInputs(workspace: string, env: NodeJS.ProcessEnv): Promise<ImageInputs> {
  const file = await readImageFile(workspace);
  const { listed, omitted, omittedDigest } = await listTracked(workspace, file.inputs ?? lockfiles, env);
  const [setup, refresh, ...digests] = await Promise.all(
    [hookPaths.setup, hookPaths.refresh, ...listed].map((path) => digestOf(join(workspace, path))),
  );
  const files = listed.flatMap((path, index) => {
    const digest = digests[index];
    return digest ? [{ path, digest }] : [];
  });
  const rest = omittedDigest === null ? {} : { omittedDigest };
  return { inputs: { setup: setup ?? null, refresh: refresh ?? null, files, omittedFiles: omitted, ...rest }, file };
}

/**
 * The inputs that differ between two commits, `.openinspect/setup.sh` among them. Never rejects: where git or the repository's list
 * cannot be read nothing is known to have changed.
 */
export async function listChangedInputs(
  workspace: string,
  { from, to }: { from: string; to: string },
  env: NodeJS.ProcessEnv,
): Promise<string[]> {
  const file = await readImageFile(workspace).catch((): RepositoryImageFile => ({}));
  const specs = [...toPathspecs(file.inputs ?? lockfiles), `:(literal)${hookPaths.setup}`];
  const args = ["-c", `safe.directory=${workspace}`, "diff-tree", "-r", "--name-only", "--no-renames", "-z"];
  const options = { cwd: workspace, env, timeoutMs: listTimeoutMs };
  const result = await runCommand("git", [...args, from, to, "--", ...specs], options).catch(() => null);
  return result?.exitCode === 0 ? result.stdout.split("\0").filter((path) => path !== "") : [];
}

/** Of what git takes for special only the stars and the question mark are: folders of web frameworks are named `[id]`. */
const toPathspecs = (globs: readonly string[]): string[] => globs.map((glob) => `:(glob)${glob.replace(/[[\]\\]/g, "\\$&")}`);

async function readImageFile(workspace: string): Promise<RepositoryImageFile> {
  const path = join(workspace, imageFilePath);
  const about = await lstat(path).catch(() => null);
  if (!about?.isFile()) return {};
  if (about.size > imageFileMaxBytes)
    throw new RuntimeFailure(explainImageFile([`it is larger than ${imageFileMaxBytes} bytes`]));
  let json: unknown;
  try {
    json = JSON.parse(await readFile(path, "utf8"));
  } catch (error) {
    throw new RuntimeFailure(explainImageFile([error instanceof Error ? error.message : String(error)]));
  }
  const parsed = repositoryImageFileSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  const faults = parsed.error.issues.map((issue) => `${issue.path.join(".") || "the file"}: ${issue.message}`);
  throw new RuntimeFailure(explainImageFile(faults.slice(0, 20)));
}

interface Tracked {
  /** the first paths, sorted */
  listed: string[];
  /** how many more there are, and the digest of their paths and contents; null where there are none */
  omitted: number;
  omittedDigest: string | null;
}

/**
 * Files that git knows: what setup made is no input. Git lists them in the order of their paths with the digests of their contents, so
 * that those which are too many to be listed here cost no memory and no reading.
 */
async function listTracked(workspace: string, globs: readonly string[], env: NodeJS.ProcessEnv): Promise<Tracked> {
  if (globs.length === 0) return { listed: [], omitted: 0, omittedDigest: null };
  const specs = toPathspecs(globs);
  const args = ["-c", `safe.directory=${workspace}`, "-c", "core.fsmonitor=false", "ls-files", "--stage", "-z", "--", ...specs];
  const listed: string[] = [];
  const rest = createHash("sha256");
  let omitted = 0;
  let unread = "";
  const onStdout = (text: string) => {
    const records = (unread + text).split("\0");
    unread = records.pop() ?? "";
    for (const record of records) {
      const path = record.slice(record.indexOf("\t") + 1);
      if (listed.length < inputFilesMax) {
        listed.push(path);
        continue;
      }
      rest.update(`${record}\0`);
      omitted++;
    }
  };
  const options = { cwd: workspace, env, timeoutMs: listTimeoutMs, onStdout };
  const result: CommandResult = await runCommand("git", args, options);
  if (result.exitCode !== 0)
    throw new RuntimeFailure(explainImageFile(["git cannot list the files of `inputs`:", ...result.lines]));
  return { listed: listed.sort(), omitted, omittedDigest: omitted === 0 ? null : rest.digest("hex") };
}

/** SHA-256 of a file's contents; null for what is no file. */
async function digestOf(path: string): Promise<string | null> {
  if (!(await lstat(path).catch(() => null))?.isFile()) return null;
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  return hash.digest("hex");
}

const measureTimeoutMs = 20_000;

/** Bytes on disk of the folders, null when that cannot be said in time. */
export async function measureBytes(folders: readonly string[], env: NodeJS.ProcessEnv): Promise<number | null> {
  const args = ["--summarize", "--total", "--one-file-system", "--block-size=1", "--", ...folders];
  const options = { cwd: "/", env: { ...env, LC_ALL: "C" }, timeoutMs: measureTimeoutMs };
  const result = await runCommand("du", args, options).catch(() => null);
  const total = /^(\d+)\ttotal$/m.exec(result?.stdout ?? "")?.[1];
  return total === undefined ? null : Number(total);
}
