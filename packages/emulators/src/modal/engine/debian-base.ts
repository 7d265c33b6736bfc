/** Makes the root of `debian:bookworm` and `debian:bookworm-slim` as a tar, once per state directory. Knows mmdebstrap only. */
import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { EngineError } from "./engine.ts";
import { run } from "./host-process.ts";

const BUILD_TIMEOUT_MS = 600_000;
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

/** @returns the tar's path. Rejects with EngineError when mmdebstrap is missing or cannot reach a mirror. */
export async function buildDebianTar(stateDir: string, tag: string, log: (line: string) => void): Promise<string> {
  const wanted = TAGS[tag];
  if (wanted === undefined) throw new EngineError("not_found", `There is no image ${tag}.`);
  const dir = join(stateDir, "bases");
  mkdirSync(dir, { recursive: true });
  const file = join(dir, `${tag.replace(":", "-")}.tar`);
  if (existsSync(file)) return file;
  log(`building ${tag} with mmdebstrap; this is done once and takes about half a minute`);
  const scratch = `${file}.${process.pid}.new.tar`;
  try {
    await run(
      [
        "mmdebstrap",
        `--mode=${process.getuid?.() === 0 ? "root" : "unshare"}`,
        "--variant=minbase",
        `--include=${AGENT_LIBRARIES}`,
        ...(wanted.slim ? SLIM_EXCLUDED.map((path) => `--dpkgopt=path-exclude=${path}`) : []),
        wanted.suite,
        scratch,
      ],
      { timeoutMs: BUILD_TIMEOUT_MS },
    );
    renameSync(scratch, file);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new EngineError(
      "failed",
      `${tag} could not be built: install mmdebstrap and check that a Debian mirror can be reached. ${why}`,
    );
  } finally {
    rmSync(scratch, { force: true });
  }
  return file;
}
