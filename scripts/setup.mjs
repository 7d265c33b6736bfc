/**
 * `npm run setup`, and the first step of every command: installs the dependencies unless what is installed is what the last install left,
 * of the same files. Plain JavaScript without dependencies: whatever Node there is runs it before anything is installed.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const modules = join(root, "node_modules");
const cache = join(modules, ".cache/open-inspect");
const stamp = join(cache, "installed.sha256");
const { packageManager } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));

if (readOr(stamp, "") !== state()) {
  // Gone before anything changes: an install that does not come to its end is no install.
  rmSync(stamp, { force: true });
  // Standard output belongs to the command that comes after.
  const done = spawnSync("npx", ["-y", packageManager, "install", "--frozen-lockfile"], { cwd: root, stdio: ["inherit", 2, 2] });
  if (done.error) console.error(`npx cannot be run: ${done.error.message}`);
  if (done.status !== 0) process.exit(done.status ?? 1);
  mkdirSync(cache, { recursive: true });
  writeFileSync(stamp, state());
}

/** What is to be installed, on what, and what is there: every package of the store and every link to one, as they were put there. */
function state() {
  const hash = createHash("sha256");
  const add = (...words) => hash.update(`${words.join(" ")}\n`);
  const workspaces = list(join(root, "packages")).map((name) => join(root, "packages", name));
  add(root, process.platform, process.arch);
  for (const name of ["pnpm-lock.yaml", "pnpm-workspace.yaml", ".npmrc", ".pnpmfile.cjs"])
    add(name, readOr(join(root, name), "none"));
  for (const folder of [root, ...workspaces]) add(folder, readOr(join(folder, "package.json"), "none"));
  // Written last by an install; a copy of the folder has another inode.
  addEntry(add, join(modules, ".modules.yaml"));
  for (const folder of [root, ...workspaces]) addLinks(add, join(folder, "node_modules"));
  const store = join(modules, ".pnpm");
  for (const name of list(store)) addLinks(add, join(store, name, "node_modules"));
  return hash.digest("hex");
}

/** The packages of a `node_modules`, and its programs. Tools keep caches in folders with a dot, which do not count. */
function addLinks(add, folder) {
  for (const name of list(folder)) {
    const path = join(folder, name);
    if (name === ".bin") add(path, ...list(path));
    else if (name.startsWith("@")) for (const inner of list(path)) addEntry(add, join(path, inner));
    else if (!name.startsWith(".")) addEntry(add, path);
  }
}

function addEntry(add, path) {
  const entry = lstatSync(path, { throwIfNoEntry: false });
  if (entry === undefined) add(path, "none");
  else if (entry.isSymbolicLink()) add(path, readlinkSync(path));
  else add(path, entry.ino, entry.mtimeMs);
}

function list(folder) {
  try {
    return readdirSync(folder).sort();
  } catch {
    return [];
  }
}

function readOr(path, fallback) {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return fallback;
  }
}
