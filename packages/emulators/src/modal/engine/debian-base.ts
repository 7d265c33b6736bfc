/** Makes the root of `debian:bookworm` and `debian:bookworm-slim` as a tar, once per state directory. Knows mmdebstrap only. */
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { EngineError } from "./engine.ts";
import { run } from "./host-process.ts";

const BUILD_TIMEOUT_MS = 600_000;
/** for mmdebstrap to remove its tree when it is told to stop */
const CLEAN_UP_MS = 3_000;
const TAGS: Record<string, { suite: string; slim: boolean }> = {
  "debian:bookworm": { suite: "bookworm", slim: false },
  "debian:bookworm-slim": { suite: "bookworm", slim: true },
};
/** The guest's agent is a Node program and Node is linked against these. */
const AGENT_LIBRARIES = "libstdc++6,libgcc-s1";
const SLIM_EXCLUDED = ["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*"];

/** Null when the tag is not one of ours. */
export function debianFilesystemId(tag: string): string | null {
  return tag in TAGS ? `base_${tag.replace(":", "-")}` : null;
}

/**
 * mmdebstrap mounts /proc, /sys and more into the tree and starts many processes; in namespaces of its own none of that is left
 * when it is killed. Without privileges it makes such namespaces itself.
 */
const OWN_NAMESPACES = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"];
const SCRATCH_PREFIX = "building-";

const basesDir = (stateDir: string) => join(stateDir, "bases");

/** Removes what builds left behind whose engine was killed. */
export function clearDebianScratch(stateDir: string): void {
  const dir = basesDir(stateDir);
  if (!existsSync(dir)) return;
  for (const name of readdirSync(dir)) {
    if (name.startsWith(SCRATCH_PREFIX)) rmSync(join(dir, name), { recursive: true, force: true });
  }
}

/** @returns the tar's path. Rejects with EngineError when mmdebstrap is missing, cannot reach a mirror, or `signal` is aborted. */
export async function buildDebianTar(
  stateDir: string,
  tag: string,
  log: (line: string) => void,
  signal: AbortSignal,
): Promise<string> {
  const wanted = TAGS[tag];
  if (wanted === undefined) throw new EngineError("not_found", `There is no image ${tag}.`);
  const dir = basesDir(stateDir);
  mkdirSync(dir, { recursive: true });
  const file = join(dir, `${tag.replace(":", "-")}.tar`);
  if (existsSync(file)) return file;
  log(`building ${tag} with mmdebstrap; this is done once and takes about half a minute`);
  const isRoot = process.getuid?.() === 0;
  const scratch = mkdtempSync(join(dir, SCRATCH_PREFIX));
  chmodSync(scratch, 0o711);
  try {
    const tar = join(scratch, "root.tar");
    await run(
      [
        ...(isRoot ? OWN_NAMESPACES : []),
        "mmdebstrap",
        `--mode=${isRoot ? "root" : "unshare"}`,
        "--variant=minbase",
        `--include=${AGENT_LIBRARIES}`,
        ...(wanted.slim ? SLIM_EXCLUDED.map((path) => `--dpkgopt=path-exclude=${path}`) : []),
        wanted.suite,
        tar,
      ],
      // Subordinate users may not be able to walk to our directory, so that unprivileged builds unpack in the usual place.
      { timeoutMs: BUILD_TIMEOUT_MS, signal, graceMs: isRoot ? 0 : CLEAN_UP_MS, ...(isRoot ? { env: { TMPDIR: scratch } } : {}) },
    );
    renameSync(tar, file);
  } catch (error) {
    if (signal.aborted) throw new EngineError("failed", `The build of ${tag} was given up because the engine is closing.`);
    const why = error instanceof Error ? error.message : String(error);
    throw new EngineError(
      "failed",
      `${tag} could not be built: install mmdebstrap and check that a Debian mirror can be reached. ${why}`,
    );
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  return file;
}
