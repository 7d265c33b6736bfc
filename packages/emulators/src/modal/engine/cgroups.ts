/** Control groups for guests, v1 and v2, found by trying. Knows limits and directories, nothing of guests. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { killProcess } from "./host-process.ts";

export interface CgroupLimits {
  memoryBytes: number | null;
  /** cores */
  cpu: number | null;
  pids: number;
}

export interface GuestCgroup {
  /** a process that writes its pid into each of them is in, and so are its children */
  joinFiles: string[];
  dirs: string[];
  limit(limits: CgroupLimits): void;
  /** null where the kernel offers no freezer that a kill can cross */
  freezer: { freeze(): Promise<void>; thaw(): void } | null;
  killAll(): void;
  isEmpty(): boolean;
  /** whether the limit of memory has killed something in here */
  ranOutOfMemory(): boolean;
  remove(): Promise<void>;
  /** For a process on its way out: kills and removes at once, as far as that goes. */
  removeNow(): void;
}

export interface Cgroups {
  /** for people: which limits are in force */
  detail: string;
  limits: { memory: boolean; pids: boolean; cpu: boolean };
  /** without limits */
  create(name: string): GuestCgroup;
  /** Removes groups of an earlier engine, and what still runs in them. */
  removeLeftovers(namePrefix: string, dirs: string[], bases: string[]): Promise<void>;
  /** where the groups are made */
  baseDirs: string[];
}

type Controller = "memory" | "pids" | "cpu";
interface Place {
  version: 1 | 2;
  dir: string;
}
interface Places {
  memory: Place | null;
  pids: Place | null;
  cpu: Place | null;
  unified: string | null;
}

const CPU_PERIOD_US = 100_000;
const FREEZE_TIMEOUT_MS = 2000;
const REMOVE_TIMEOUT_MS = 2000;
const LAST_MINUTE_MS = 250;

const read = (path: string): string => {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return "";
  }
};
const tryWrite = (path: string, value: string): boolean => {
  try {
    writeFileSync(path, value);
    return true;
  } catch {
    return false;
  }
};

/** The directory of our own group, in the hierarchy that carries `controller` ("" = the unified one). */
function ownGroup(self: string, controller: Controller | ""): string | null {
  const own = read(join(self, "cgroup"))
    .split("\n")
    .map((line) => line.split(":"))
    .find(([, names]) => (controller === "" ? names === "" : names?.split(",").includes(controller)));
  if (own === undefined) return null;
  const path = own.slice(2).join(":");
  for (const line of read(join(self, "mountinfo")).split("\n")) {
    const [left, right] = line.split(" - ");
    const [type, , options] = right?.split(" ") ?? [];
    const [, , , root, mountPoint] = left?.split(" ") ?? [];
    if (root === undefined || mountPoint === undefined) continue;
    const matches = controller === "" ? type === "cgroup2" : type === "cgroup" && options?.split(",").includes(controller);
    if (!matches) continue;
    // In a container the path may be told from the host's point of view.
    const inside = root !== "/" && path.startsWith(root) ? path.slice(root.length) : path;
    for (const candidate of [join(mountPoint, inside), mountPoint]) if (existsSync(candidate)) return candidate;
  }
  return null;
}

function canMakeGroups(dir: string): boolean {
  const probe = join(dir, `open-inspect-probe-${process.pid}`);
  try {
    mkdirSync(probe);
    rmdirSync(probe);
    return true;
  } catch {
    return false;
  }
}

/**
 * Of the groups at or above ours the one whose children get the most of `wanted`, the nearest of equals. A group with processes of
 * its own cannot hand any out, and the one above it often hands out less than the next.
 */
function unifiedPlace(start: string, wanted: Controller[]): { dir: string; controllers: Controller[] } | null {
  let best: { dir: string; controllers: Controller[] } | null = null;
  for (let dir = start; existsSync(join(dir, "cgroup.procs")); dir = dirname(dir)) {
    if (!canMakeGroups(dir)) continue;
    const offered = read(join(dir, "cgroup.controllers")).split(" ");
    const control = join(dir, "cgroup.subtree_control");
    const isOn = (name: Controller) => read(control).split(" ").includes(name);
    const asked = wanted.filter((name) => offered.includes(name));
    for (const name of asked) if (!isOn(name)) tryWrite(control, `+${name}`);
    const controllers = asked.filter(isOn);
    if (best === null || controllers.length > best.controllers.length) best = { dir, controllers };
    if (controllers.length === wanted.length) break;
  }
  return best;
}

function findPlaces(self: string): Places {
  const places: Places = { memory: null, pids: null, cpu: null, unified: null };
  for (const name of ["memory", "pids", "cpu"] as const) {
    const dir = ownGroup(self, name);
    if (dir !== null && canMakeGroups(dir)) places[name] = { version: 1, dir };
  }
  const unified = ownGroup(self, "");
  const wanted = (["memory", "pids", "cpu"] as const).filter((name) => places[name] === null);
  const found = unified === null ? null : unifiedPlace(unified, wanted);
  if (found !== null) {
    places.unified = found.dir;
    for (const name of found.controllers) places[name] = { version: 2, dir: found.dir };
  }
  return places;
}

async function removeDir(dir: string): Promise<void> {
  for (const deadline = Date.now() + REMOVE_TIMEOUT_MS; ; await delay(5)) {
    try {
      rmdirSync(dir);
      return;
    } catch (error) {
      if (!existsSync(dir)) return;
      if (Date.now() > deadline) throw error;
    }
  }
}

function killMembers(dir: string): void {
  if (tryWrite(join(dir, "cgroup.kill"), "1")) return;
  for (const pid of read(join(dir, "cgroup.procs")).split("\n").filter(Boolean)) killProcess(Number(pid));
}

/**
 * Null when this user can make no groups at all.
 * @param self what /proc tells of this process
 */
export function detectCgroups(self = "/proc/self"): Cgroups | null {
  const places = findPlaces(self);
  const baseDirs = [...new Set([places.memory?.dir, places.pids?.dir, places.cpu?.dir, places.unified])].filter(
    (dir): dir is string => typeof dir === "string",
  );
  if (baseDirs.length === 0) return null;

  const apply = (controller: Controller, name: string, v1: Record<string, string>, v2: Record<string, string>): void => {
    const place = places[controller];
    if (place === null) return;
    const values = place.version === 1 ? v1 : v2;
    for (const [file, value] of Object.entries(values)) tryWrite(join(place.dir, name, file), value);
  };

  return {
    baseDirs,
    detail: (["memory", "pids", "cpu"] as const)
      .map((name) => `${name}: ${places[name] === null ? "none" : `cgroup v${places[name].version}`}`)
      .concat(`freezer: ${places.unified === null ? "signals" : "cgroup v2"}`)
      .join(", "),
    limits: { memory: places.memory !== null, pids: places.pids !== null, cpu: places.cpu !== null },
    create(name) {
      const dirs = baseDirs.map((dir) => join(dir, name));
      for (const dir of dirs) mkdirSync(dir, { recursive: true });
      const unified = places.unified === null ? null : join(places.unified, name);
      const memory = places.memory === null ? null : join(places.memory.dir, name);
      const oomFile = places.memory?.version === 1 ? "memory.oom_control" : "memory.events";
      return {
        limit(limits) {
          apply("pids", name, { "pids.max": String(limits.pids) }, { "pids.max": String(limits.pids) });
          if (limits.memoryBytes !== null) {
            const bytes = String(limits.memoryBytes);
            apply(
              "memory",
              name,
              { "memory.limit_in_bytes": bytes, "memory.memsw.limit_in_bytes": bytes },
              { "memory.max": bytes, "memory.swap.max": "0", "memory.oom.group": "1" },
            );
          }
          if (limits.cpu !== null) {
            const quota = String(Math.max(1000, Math.round(limits.cpu * CPU_PERIOD_US)));
            apply(
              "cpu",
              name,
              { "cpu.cfs_period_us": String(CPU_PERIOD_US), "cpu.cfs_quota_us": quota },
              { "cpu.max": `${quota} ${CPU_PERIOD_US}` },
            );
          }
        },
        joinFiles: dirs.map((dir) => join(dir, "cgroup.procs")),
        dirs,
        freezer:
          unified === null || !existsSync(join(unified, "cgroup.freeze"))
            ? null
            : {
                async freeze() {
                  writeFileSync(join(unified, "cgroup.freeze"), "1");
                  for (const deadline = Date.now() + FREEZE_TIMEOUT_MS; Date.now() < deadline; await delay(1)) {
                    const events = read(join(unified, "cgroup.events"));
                    // Killed meanwhile: nothing is left to freeze.
                    if (/^frozen 1$/m.test(events) || /^populated 0$/m.test(events)) return;
                  }
                  tryWrite(join(unified, "cgroup.freeze"), "0");
                  throw new Error("The guest could not be frozen.");
                },
                thaw: () => void tryWrite(join(unified, "cgroup.freeze"), "0"),
              },
        killAll: () => dirs.forEach(killMembers),
        isEmpty: () => dirs.every((dir) => read(join(dir, "cgroup.procs")) === ""),
        ranOutOfMemory: () => memory !== null && Number(/^oom_kill (\d+)$/m.exec(read(join(memory, oomFile)))?.[1] ?? 0) > 0,
        async remove() {
          await Promise.all(dirs.map(removeDir));
        },
        removeNow() {
          const tick = new Int32Array(new SharedArrayBuffer(4));
          for (const deadline = Date.now() + LAST_MINUTE_MS; Date.now() < deadline; Atomics.wait(tick, 0, 0, 2)) {
            const left = dirs.filter((dir) => existsSync(dir));
            if (left.length === 0) return;
            for (const dir of left) {
              killMembers(dir);
              try {
                rmdirSync(dir);
              } catch {}
            }
          }
        },
      };
    },
    async removeLeftovers(namePrefix, recorded, bases) {
      const places = [...new Set([...baseDirs, ...bases])].filter((dir) => existsSync(dir));
      const found = places.flatMap((dir) =>
        readdirSync(dir)
          .filter((name) => name.startsWith(namePrefix))
          .map((name) => join(dir, name)),
      );
      const dirs = [...new Set([...found, ...recorded])].filter((dir) => existsSync(dir));
      dirs.forEach(killMembers);
      await Promise.all(dirs.map((dir) => removeDir(dir).catch(() => {})));
    },
  };
}
