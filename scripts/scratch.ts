/** Where tests put their temporary files: in memory where there is plenty of it, as databases and trees of files that live for seconds cost a disk much. */
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statfsSync } from "node:fs";
import { freemem, release, tmpdir } from "node:os";
import { join } from "node:path";

const memoryFolder = "/dev/shm";
const gibibyte = 1024 ** 3;
/** What the tests hold at their peak is a fraction of it; the rest is for what they run. */
const neededBytes = 6 * gibibyte;

/** A new folder for everything that a run of tests leaves, and what removes it. */
export function createScratch(): { folder: string; remove: () => void } {
  const base = isMemoryFit() ? memoryFolder : tmpdir();
  const prefix = "oi-tests-";
  for (const name of readdirSync(base)) if (name.startsWith(prefix)) removeAbandoned(join(base, name));
  const folder = mkdtempSync(join(base, `${prefix}${process.pid}-`));
  // As /tmp is: some tests run as another user.
  chmodSync(folder, 0o1777);
  const remove = () => removeAll(folder);
  process.once("exit", remove);
  return { folder, remove };
}

/** Room, programs may run there, and the kernel stacks sandboxes' file systems on it. */
function isMemoryFit(): boolean {
  try {
    const mount = readFileSync("/proc/self/mounts", "utf8")
      .split("\n")
      .map((line) => line.split(" "))
      .findLast(([, at]) => at === memoryFolder);
    const [, , type, options = ""] = mount ?? [];
    const { bavail, bsize } = statfsSync(memoryFolder);
    // An overlay without privileges needs extended attributes of users, which tmpfs has since then.
    const [major = 0, minor = 0] = release().split(".").map(Number);
    const hasAttributes = major > 6 || (major === 6 && minor >= 6);
    const mayWrite = !/(^|,)(noexec|nodev|ro)(,|$)/.test(options);
    return type === "tmpfs" && mayWrite && hasAttributes && Math.min(bavail * bsize, availableBytes()) >= neededBytes;
  } catch {
    return false;
  }
}

function availableBytes(): number {
  const kibibytes = /^MemAvailable:\s+(\d+)/m.exec(readFileSync("/proc/meminfo", "utf8"))?.[1];
  return kibibytes === undefined ? freemem() : Number(kibibytes) * 1024;
}

/** Of a run that was killed. */
function removeAbandoned(folder: string): void {
  const pid = Number(/-(\d+)-[^-]*$/.exec(folder)?.[1]);
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ESRCH") removeAll(folder);
  }
}

function removeAll(folder: string): void {
  try {
    rmSync(folder, { recursive: true, force: true });
  } catch {
    // Files of a sandbox's own users, which only a system that was killed leaves behind.
  }
}
