/** What is made once and used again: the dashboard's build and the Worker's database. Does not know how the system is started. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { root } from "./prerequisites.ts";

export const wrangler = join(root, "node_modules/wrangler/wrangler-dist/cli.js");
export const cache = join(root, "node_modules/.cache/open-inspect");

/** What a part needs of our environment. Nothing else is passed on: no stray token reaches a part or a sandbox. */
export function inheritedEnv(): Record<string, string> {
  const names = [
    "PATH",
    "HOME",
    "LANG",
    "TMPDIR",
    "USER",
    "NODE_EXTRA_CA_CERTS",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "GIT_SSL_CAINFO",
  ];
  const inherited = names.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]]));
  // Parts are compiled once, not at every start.
  return { ...Object.fromEntries(inherited), NODE_COMPILE_CACHE: join(cache, "compiled") };
}

/** No telemetry, update check or look-up: the local Worker talks to loopback only. */
export function quietWrangler(dataDir: string): Record<string, string> {
  return {
    WRANGLER_SEND_METRICS: "false",
    CLOUDFLARE_CF_FETCH_ENABLED: "false",
    WRANGLER_HIDE_BANNER: "true",
    // The local trace collector slows sockets by an order of magnitude.
    X_LOCAL_OBSERVABILITY: "false",
    WRANGLER_LOG_PATH: join(dataDir, "logs"),
    WRANGLER_REGISTRY_PATH: join(dataDir, "registry"),
    CI: "true",
  };
}

const migrations = join(root, "packages/control-plane/migrations");
const stampOf = (dataDir: string) => join(dataDir, "worker", "migrations.applied");

/** The migrations that there are, as the stamp of a database to which they were applied. */
function migrationNames(folder: string): string {
  return readdirSync(folder)
    .filter((name) => name.endsWith(".sql"))
    .sort()
    .join("\n");
}

/** Whether the database of a data folder lacks a migration. */
export function migrationsPending(dataDir: string, folder = migrations): boolean {
  const stamp = stampOf(dataDir);
  return !existsSync(stamp) || readFileSync(stamp, "utf8") !== migrationNames(folder);
}

/** Brings the Worker's database up to date; the Worker must not be running. A new data folder gets a copy of one made before. */
export function applyMigrations(dataDir: string) {
  if (!migrationsPending(dataDir)) return;
  const worker = join(dataDir, "worker");
  const made = join(cache, `database-${digestOf([migrations, join(root, "wrangler.toml"), join(root, "pnpm-lock.yaml")])}`);
  const fresh = !existsSync(worker);
  if (fresh && existsSync(made)) {
    const partial = `${worker}.partial`;
    rmSync(partial, { recursive: true, force: true });
    cpSync(made, partial, { recursive: true });
    renameSync(partial, worker);
    return;
  }
  const done = spawnSync(
    process.execPath,
    [wrangler, "d1", "migrations", "apply", "DB", "--local", "--config", join(root, "wrangler.toml"), "--persist-to", worker],
    { env: { ...inheritedEnv(), ...quietWrangler(dataDir) }, encoding: "utf8", timeout: 60_000 },
  );
  if (done.status !== 0) throw new Error(`the database migrations failed:\n${done.stdout}\n${done.stderr}`);
  writeFileSync(stampOf(dataDir), migrationNames(migrations));
  if (fresh) keepCopy(worker, made);
}

/** Older copies go; a copy appears whole or not at all. */
function keepCopy(from: string, to: string) {
  mkdirSync(cache, { recursive: true });
  for (const name of readdirSync(cache))
    if (name.startsWith("database-")) rmSync(join(cache, name), { recursive: true, force: true });
  const partial = mkdtempSync(join(cache, "partial-"));
  cpSync(from, partial, { recursive: true });
  try {
    renameSync(partial, to);
  } catch {
    // Somebody else's start has just made the same copy.
    rmSync(partial, { recursive: true, force: true });
  }
}

/** Where the dashboard's build is. */
export const dashboard = join(root, "packages/web/dist");

/** Builds the dashboard unless the last build was made of the same sources. */
export function buildDashboard(say: (line: string) => void) {
  const web = join(root, "packages/web");
  const digest = digestOf([
    join(web, "src"),
    join(web, "public"),
    join(web, "index.html"),
    join(web, "vite.config.ts"),
    join(web, "package.json"),
    join(root, "packages/protocol/src"),
    join(root, "pnpm-lock.yaml"),
  ]);
  const stamp = join(cache, "dashboard.sha256");
  if (existsSync(join(dashboard, "index.html")) && existsSync(stamp) && readFileSync(stamp, "utf8") === digest) return;
  say("Building the dashboard");
  const done = spawnSync(process.execPath, [join(root, "node_modules/vite/bin/vite.js"), "build", "--logLevel", "warn"], {
    cwd: web,
    env: { ...inheritedEnv(), NODE_ENV: "production" },
    encoding: "utf8",
    timeout: 120_000,
  });
  if (done.status !== 0) throw new Error(`the dashboard does not build:\n${done.stdout}\n${done.stderr}`);
  mkdirSync(cache, { recursive: true });
  writeFileSync(stamp, digest);
}

export function digestOf(paths: string[]): string {
  const hash = createHash("sha256");
  const visit = (path: string) => {
    if (!existsSync(path)) return;
    if (statSync(path).isDirectory()) for (const name of readdirSync(path).sort()) visit(join(path, name));
    else hash.update(path).update(readFileSync(path));
  };
  for (const path of paths) visit(path);
  return hash.digest("hex");
}
