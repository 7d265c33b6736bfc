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

/** oxlint keeps nothing between runs: what it found in order is known by the content of all that it reads. */
async function onceForTheseSources(name: string, look: () => Promise<void>) {
  const { stdout } = await run(
    "git",
    ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.ts", "*.tsx", "*.json"],
    {
      cwd: root,
      maxBuffer: 32 * 1024 * 1024,
    },
  );
  const files = [...stdout.split("\0").filter((path) => path !== ""), "pnpm-lock.yaml"].map((path) => join(root, path));
  const stamp = join(cache, `${name}.sha256`);
  const digest = digestOf([...new Set(files)].sort());
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === digest) return;
  await look();
  mkdirSync(cache, { recursive: true });
  writeFileSync(stamp, digest);
}

const checks: [string, () => Promise<void>][] = [
  ["format and lint (biome)", () => tool("biome", "ci", "--colors=off", "--error-on-warnings", ".")],
  ...projects.map((path): [string, () => Promise<void>] => [
    `types of ${path} (tsc)`,
    () => tool("tsc", "-p", path, "--incremental", "--tsBuildInfoFile", join(cache, `tsc-${basename(path)}.json`)),
  ]),
  [
    "promises (oxlint, type-aware)",
    () => onceForTheseSources("promises", () => tool("oxlint", ...promiseRules, "packages", "scripts")),
  ],
  [
    "floors",
    async () => {
      const breaches = findFloorBreaches(await trackedSources());
      if (breaches.length > 0) throw new Error(breaches.join("\n"));
    },
  ],
  ["dead code (knip)", () => tool("knip", "--no-progress")],
];

/** Runs all checks, two at a time, and returns how many passed and failed. */
export async function runChecks(): Promise<{ passed: number; failed: number }> {
  const totals = { passed: 0, failed: 0 };
  const queue = [...checks];
  const worker = async () => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const [name, check] = next;
      const startedAt = performance.now();
      try {
        await check();
        totals.passed++;
        console.log(`✓ ${name} ${((performance.now() - startedAt) / 1000).toFixed(1)} s`);
      } catch (error) {
        totals.failed++;
        console.log(`✗ ${name}\n${outputOf(error)}`);
      }
    }
  };
  await Promise.all([worker(), worker()]);
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
