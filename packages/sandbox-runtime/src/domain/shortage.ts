/** Whether what failed had run out of memory or disk, from what was measured and printed. Pure. */

/** `detail` is half a sentence for a person. */
export interface Shortage {
  kind: "memory" | "disk";
  detail: string;
}

/** Kills by the kernel for want of memory since the sandbox began; null where the sandbox does not say. */
export type MemoryKills = number | null;

export interface DiskSpace {
  freeBytes: number;
  totalBytes: number;
}

const mebibyte = 1024 * 1024;
/** Below either of them nothing can be relied on to be written. */
const fullBelow = { bytes: 16 * mebibyte, share: 0.01 };

/** inotify reports its limit under the same name: no disk is full then. */
const isWatcherLimit = (line: string) => /watch/i.test(line);

export function saysDiskFull(lines: readonly string[]): boolean {
  return lines.some((line) => /no space left on device|\bENOSPC\b|disk quota exceeded/i.test(line) && !isWatcherLimit(line));
}

/** @param lines the last lines that were printed */
export function findShortage(found: {
  killsBefore: MemoryKills;
  killsAfter: MemoryKills;
  disk: DiskSpace | null;
  lines: readonly string[];
}): Shortage | null {
  const { killsBefore, killsAfter, disk, lines } = found;
  if (killsBefore !== null && killsAfter !== null && killsAfter > killsBefore)
    return { kind: "memory", detail: "the sandbox's memory ran out and the kernel killed a process" };
  const left = disk ? `${Math.floor(disk.freeBytes / mebibyte)} of ${Math.floor(disk.totalBytes / mebibyte)} MiB are free` : null;
  if (saysDiskFull(lines))
    return { kind: "disk", detail: left ? `no space was left on the disk (${left})` : "no space was left on the disk" };
  const isFull =
    disk !== null &&
    disk.totalBytes > 0 &&
    (disk.freeBytes < fullBelow.bytes || disk.freeBytes < disk.totalBytes * fullBelow.share);
  return isFull ? { kind: "disk", detail: `the disk is full (${left})` } : null;
}
