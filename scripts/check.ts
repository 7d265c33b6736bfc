/** `npm run check`: format and lint, types, promises, floors, dead code. Exits 1 when one fails; prints each with its time. */
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { findFloorBreaches } from "./floors.ts";
import { cache, digestOf } from "./prepared.ts";
import { root } from "./prerequisites.ts";

const run = promisify(execFile);
const bin = (name: string) => join(root, "node_modules/.bin", name);
const projects = [
  "scripts",
  ...["protocol", "control-plane", "modal-client", "sandbox-runtime", "emulators", "web"].map((name) => `packages/${name}`),
];

async function trackedSources() {
  const { stdout } = await run(
    "git",
    [
      "ls-files",
      "--cached",
      "--others",
      "--exclude-standard",
      "packages/*/src/**/*.ts",
      "packages/*/src/**/*.tsx",
      "packages/*/src/*.ts",
    ],
    { cwd: root },
  );
  return [...new Set(stdout.split("\n"))]
    .filter((path) => path !== "")
    .map((path) => ({ path, text: readFileSync(join(root, path), "utf8") }));
}

async function tool(name: string, ...args: string[]) {
  await run(bin(name), args, {
    cwd: root,
    env: { ...process.env, NO_COLOR: "1", FORCE_COLOR: "0" },
    timeout: 300_000,
    maxBuffer: 32 * 1024 * 1024,
  });
}

const promiseRules = [
  ...["--type-aware", "-A", "all"],
  ...["-D", "typescript/no-floating-promises", "-D", "typescript/await-thenable"],
];

/** Everything that a check can read, by its content: the repository's files, and the dependencies by their lockfile. */
async function digestOfSources(): Promise<string> {
  const { stdout } = await run("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], {
    cwd: root,
    maxBuffer: 32 * 1024 * 1024,
  });
  const files = stdout.split("\0").filter((path) => path !== "");
  return digestOf([...new Set(files)].sort().map((path) => join(root, path)));
}

/**
 * Remembers which checks the sources passed, so that nothing is looked at twice.
 * @param digest of the sources as they are now
 */
export function createMemory(folder: string, digest: string) {
  const passed: string[] = [];
  const stampOf = (name: string) => join(folder, name.replaceAll(/\W+/g, "-"));
  return {
    /** Resolves with whether it looked; rejects as the look does. */
    async once(name: string, look: () => Promise<void>): Promise<boolean> {
      const stamp = stampOf(name);
      if (existsSync(stamp) && readFileSync(stamp, "utf8") === digest) return false;
      await look();
      passed.push(name);
      return true;
    },
    /** @param now digest of the sources after all looks: what was edited meanwhile may have passed as something else */
    keep(now: string) {
      if (now !== digest) return;
      mkdirSync(folder, { recursive: true });
      for (const name of passed) writeFileSync(stampOf(name), digest);
    },
  };
}

const checks: [string, () => Promise<void>][] = [
  ["format and lint (biome)", () => tool("biome", "ci", "--colors=off", "--error-on-warnings", ".")],
  ...projects.map((path): [string, () => Promise<void>] => [
    `types of ${path} (tsc)`,
    () => tool("tsc", "-p", path, "--incremental", "--tsBuildInfoFile", join(cache, `tsc-${basename(path)}.json`)),
  ]),
  ["promises (oxlint, type-aware)", () => tool("oxlint", ...promiseRules, "packages", "scripts")],
  [
    "floors",
    async () => {
      const breaches = findFloorBreaches(await trackedSources());
      if (breaches.length > 0) throw new Error(breaches.join("\n"));
    },
  ],
  ["dead code (knip)", () => tool("knip", "--no-progress")],
];

/** Runs all checks that these sources have not passed before, two at a time, and returns how many passed and failed. */
export async function runChecks(): Promise<{ passed: number; failed: number }> {
  const totals = { passed: 0, failed: 0 };
  const queue = [...checks];
  const memory = createMemory(join(cache, "passed"), await digestOfSources());
  const worker = async () => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const [name, check] = next;
      const startedAt = performance.now();
      try {
        const hasLooked = await memory.once(name, check);
        totals.passed++;
        const tookMs = performance.now() - startedAt;
        console.log(`✓ ${name} ${hasLooked ? `${(tookMs / 1000).toFixed(1)} s` : "passed before, nothing has changed since"}`);
      } catch (error) {
        totals.failed++;
        console.log(`✗ ${name}\n${outputOf(error)}`);
      }
    }
  };
  await Promise.all([worker(), worker()]);
  memory.keep(await digestOfSources());
  return totals;
}

/** the most lines that a failed check prints */
const shownLines = 60;

function outputOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const streams = error as Error & { stdout?: string; stderr?: string };
  const lines = (`${streams.stdout ?? ""}${streams.stderr ?? ""}`.trim() || error.message).split("\n");
  return lines.length <= shownLines
    ? lines.join("\n")
    : [...lines.slice(0, shownLines), `… ${lines.length - shownLines} more lines`].join("\n");
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const { failed } = await runChecks();
  process.exitCode = failed === 0 ? 0 : 1;
}
