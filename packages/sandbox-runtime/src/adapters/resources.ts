/** What the sandbox's kernel says of memory and disk. Does not know what is run, nor what too little of them leads to. */
import { readFile, statfs } from "node:fs/promises";
import { join } from "node:path";
import { type DiskSpace, type MemoryKills } from "../domain/shortage.ts";

export const cgroupRoot = "/sys/fs/cgroup";

/** This process' own group where the whole tree can be seen, else the root, which is the sandbox's group then. */
async function killFiles(root: string): Promise<string[]> {
  const groups = (await readFile("/proc/self/cgroup", "utf8").catch(() => "")).split("\n").map((line) => line.split(":"));
  const unified = groups.find(([id]) => id === "0")?.[2];
  const memory = groups.find(([, controllers = ""]) => controllers.split(",").includes("memory"))?.[2];
  return [
    ...(unified ? [join(root, unified, "memory.events")] : []),
    join(root, "memory.events"),
    ...(memory ? [join(root, "memory", memory, "memory.oom_control")] : []),
    join(root, "memory/memory.oom_control"),
  ];
}

export async function readMemoryKills(root = cgroupRoot): Promise<MemoryKills> {
  for (const file of await killFiles(root)) {
    const kills = /^oom_kill (\d+)$/m.exec(await readFile(file, "utf8").catch(() => ""))?.[1];
    if (kills !== undefined) return Number(kills);
  }
  return null;
}

export async function readDiskSpace(folder: string): Promise<DiskSpace | null> {
  const stats = await statfs(folder).catch(() => null);
  return stats && { freeBytes: stats.bavail * stats.bsize, totalBytes: stats.blocks * stats.bsize };
}
