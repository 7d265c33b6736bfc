/** Finds the programs that the local system needs, installs Debian's packages where it may, and says what is missing where it may not. */
import { spawnSync } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, dirname, join } from "node:path";

export const root = dirname(import.meta.dirname);

/** Program → the Debian package that brings it. */
const packages = {
  git: "git",
  bwrap: "bubblewrap",
  tini: "tini",
  rg: "ripgrep",
  chromium: "chromium",
  mmdebstrap: "mmdebstrap",
} as const;
export type Program = keyof typeof packages;

/** Absolute path of a program, or null. */
export function findProgram(name: string, path = process.env.PATH ?? ""): string | null {
  for (const folder of path.split(delimiter)) {
    if (folder === "") continue;
    const program = join(folder, name);
    try {
      accessSync(program, constants.X_OK);
      return program;
    } catch {
      // Look on.
    }
  }
  return null;
}

/**
 * Makes sure that programs are there. As root on Debian missing ones are installed; otherwise those in `required` throw with
 * the command to type, and the rest are returned as missing.
 * @param who whose rights and PATH count
 */
export function ensurePrograms(
  wanted: Program[],
  required: Program[],
  say: (line: string) => void,
  who: { uid: number | undefined; path: string } = { uid: process.getuid?.(), path: process.env.PATH ?? "" },
): Program[] {
  const missing = () => wanted.filter((name) => findProgram(name, who.path) === null);
  const absent = missing();
  if (absent.length > 0 && who.uid === 0 && findProgram("apt-get", who.path) !== null) {
    const names = absent.map((name) => packages[name]);
    say(`Installing ${names.join(", ")} (Debian packages)`);
    const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
    for (const args of [
      ["update", "-qq"],
      ["install", "-y", "-qq", "--no-install-recommends", ...names],
    ]) {
      const done = spawnSync("apt-get", args, { env, encoding: "utf8", timeout: 300_000 });
      if (done.status !== 0) say(`apt-get ${args[0]} failed: ${done.stderr.trim().split("\n").at(-1) ?? ""}`);
    }
  }
  const still = missing();
  const blocking = still.filter((name) => required.includes(name));
  if (blocking.length > 0) {
    const names = blocking.map((name) => packages[name]);
    throw new Error(`Missing: ${blocking.join(", ")}. Install with: sudo apt-get install -y ${names.join(" ")}`);
  }
  return still;
}

/** Fails with a sentence when this Node cannot run the system. */
export function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  if (major < 22 || (major === 22 && minor < 18)) {
    throw new Error(
      `Node ${process.versions.node} is too old: 22.18 or newer is needed where the bundled Node is not available.`,
    );
  }
}
