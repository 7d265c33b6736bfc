/** Makes what the local Worker runs, once for each state of its sources: the bundle that a deployment would upload, and the bindings that wrangler.toml names. Does not know who runs it. */
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { cache, dashboard, digestOf, inheritedEnv, quietWrangler, wrangler } from "./prepared.ts";
import { root } from "./prerequisites.ts";

const run = promisify(execFile);
const config = join(root, "wrangler.toml");
const optionsProgram = join(import.meta.dirname, "worker-options.ts");
/** Folders of code that can be in the bundle. */
const workerSources = ["control-plane", "modal-client", "protocol"].map((name) => join(root, "packages", name, "src"));
const prefix = "worker-";
/** bundles that are kept: going back and forth between two states of the sources costs nothing */
const keptBundles = 4;

/** What `worker.ts` reads. */
export interface WorkerSettings {
  /** as `bundleWorker` makes it */
  bundle: string;
  /** folder of the dashboard that it serves; its own, as what is listed at the start is what there has to be */
  dashboard: string;
  port: number;
  /** where databases and objects are kept */
  persistTo: string;
  /** settings and secrets, over those of wrangler.toml */
  vars: Record<string, string>;
}

/** A folder with `worker.js`, its source map and `options.json`. Rejects with what wrangler says about code that cannot be bundled. */
export async function bundleWorker(): Promise<string> {
  const folder = join(
    cache,
    prefix +
      digestOf([
        ...workerSources,
        ...["control-plane", "modal-client", "protocol"].map((name) => join(root, "packages", name, "package.json")),
        ...["packages/control-plane/tsconfig.json", "tsconfig.base.json", "pnpm-lock.yaml"].map((name) => join(root, name)),
        ...[config, optionsProgram],
      ]),
  );
  if (existsSync(folder)) {
    utimesSync(folder, new Date(), new Date());
    return folder;
  }
  mkdirSync(cache, { recursive: true });
  const partial = mkdtempSync(join(cache, "partial-"));
  try {
    await bundleInto(partial, config);
    renameSync(partial, folder);
  } catch (error) {
    // Somebody else's start may have made the same one meanwhile.
    if (!existsSync(folder)) throw error;
  } finally {
    rmSync(partial, { recursive: true, force: true });
  }
  forgetOldest();
  return folder;
}

/** Writes `worker.js`, its source map and `options.json` of a configuration of wrangler's, whose main module is called worker, into a folder that is there. */
export async function bundleInto(folder: string, config: string): Promise<void> {
  const logs = join(folder, "logs");
  const settings = { cwd: root, env: { ...inheritedEnv(), ...quietWrangler(logs), NO_COLOR: "1" }, timeout: 120_000 };
  try {
    await Promise.all([
      run(process.execPath, [optionsProgram, config, join(folder, "options.json")], settings),
      run(process.execPath, [wrangler, "deploy", "--dry-run", "--outdir", folder, "--config", config], settings),
    ]);
  } catch (error) {
    throw new Error(`the Worker cannot be bundled:\n${outputOf(error)}`);
  }
  rmSync(logs, { recursive: true, force: true });
}

/** What the Worker runs, is configured by and serves. */
const watched = [...workerSources, config, join(dashboard, "index.html")];

/** Whether one of the Worker's files was written, added or removed since the last call. It looks at each: editors that put a new file in an old one's place escape a watch. */
export function watchWorkerSources(paths = watched): () => boolean {
  let before = statesOf(paths);
  return () => {
    const now = statesOf(paths);
    const isChanged = now !== before;
    before = now;
    return isChanged;
  };
}

function statesOf(paths: string[]): string {
  const within = (path: string) =>
    statSync(path, { throwIfNoEntry: false })?.isDirectory()
      ? readdirSync(path, { recursive: true, encoding: "utf8" }).map((name) => join(path, name))
      : [path];
  return paths
    .flatMap(within)
    .filter((path) => /\.(ts|toml|html)$/.test(path))
    .map((path) => {
      const stat = statSync(path, { throwIfNoEntry: false });
      return `${path} ${stat?.ino} ${stat?.mtimeMs} ${stat?.size}`;
    })
    .join("\n");
}

function outputOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { stdout = "", stderr = "" } = error as Error & { stdout?: string; stderr?: string };
  return `${stdout}${stderr}`.trim() || error.message;
}

function forgetOldest() {
  const bundles = readdirSync(cache)
    .filter((name) => name.startsWith(prefix))
    .map((name) => ({ path: join(cache, name), usedAt: statSync(join(cache, name), { throwIfNoEntry: false })?.mtimeMs ?? 0 }))
    .sort((one, other) => other.usedAt - one.usedAt);
  for (const { path } of bundles.slice(keptBundles)) rmSync(path, { recursive: true, force: true });
}
