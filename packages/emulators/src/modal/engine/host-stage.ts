/**
 * A mount namespace in which files of the host stand at paths that a guest's launcher may walk. Real root only: its own
 * directories are often closed to the users behind a guest. Nothing is ever mounted in the host's namespace, and the
 * namespace goes with its one process, which goes with the engine.
 */
import { spawn } from "node:child_process";
import { existsSync, lstatSync } from "node:fs";
import { EngineError } from "./engine.ts";
import { HOST_ENV, waitForLine } from "./host-process.ts";

const STAGE_TIMEOUT_MS = 10_000;
const CANDIDATES = ["/mnt", "/media", "/srv", "/opt", "/boot"];

export interface HostStage {
  /** the process whose mount namespace it is; null = the host's own namespace serves */
  pid: number | null;
  /** where the launcher finds a file or directory of the host */
  visible(path: string): string;
  /** the same for a directory of a guest, also one that is made later */
  guestDir(dir: string): string;
  close(): Promise<void>;
}

/** For users whose own files are open to their guests. */
export function noStage(): HostStage {
  return { pid: null, visible: (path) => path, guestDir: (dir) => dir, async close() {} };
}

const quote = (word: string) => `'${word.replaceAll("'", "'\\''")}'`;

/** @param paths absolute, existing; @param guestsDir holds one directory per guest */
export async function openHostStage(paths: string[], guestsDir: string): Promise<HostStage> {
  const unique = [...new Set(paths)];
  const dir = CANDIDATES.find(
    (place) => existsSync(place) && ![...unique, guestsDir].some((path) => path === place || path.startsWith(`${place}/`)),
  );
  if (dir === undefined) throw new EngineError("failed", `None of ${CANDIDATES.join(", ")} is free to stage files in.`);
  const staged = new Map(unique.map((path, index) => [path, `${dir}/s${index}`]));
  const lines = [
    `mount -t tmpfs -o mode=711 stage ${dir}`,
    `mkdir ${dir}/guests`,
    `mount --bind ${quote(guestsDir)} ${dir}/guests`,
  ];
  for (const [path, at] of staged) {
    lines.push(lstatSync(path).isDirectory() ? `mkdir ${at}` : `: > ${at}`, `mount --rbind ${quote(path)} ${at}`);
  }
  const script = `set -e\n${lines.join("\n")}\necho ready\nread -r _`;
  const child = spawn("setpriv", ["--pdeathsig", "KILL", "unshare", "-m", "--propagation", "private", "sh", "-c", script], {
    env: HOST_ENV,
    cwd: "/",
  });
  const closed = new Promise<void>((resolve) => child.once("close", () => resolve()));
  await waitForLine(child, "ready", STAGE_TIMEOUT_MS);
  child.stdin.on("error", () => {});
  return {
    guestDir: (path) => `${dir}/guests${path.slice(guestsDir.length)}`,
    pid: child.pid ?? null,
    visible: (path) => staged.get(path) ?? path,
    close() {
      child.stdin.end();
      return closed;
    },
  };
}
