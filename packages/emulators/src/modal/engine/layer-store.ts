/**
 * The engine's disk: layers, the filesystems made of them, directories of guests, and the trash. Knows files and records,
 * nothing of mounts or processes. Every record is written to the side and renamed, so a crash leaves the old or the new one.
 */
import { randomBytes } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as z from "zod";

const layerRecord = z.object({
  id: z.string(),
  /** `in-guest`: its files are still the upper directory of a guest that is frozen */
  state: z.discriminatedUnion("kind", [
    z.object({ kind: z.literal("stored") }),
    z.object({ kind: z.literal("in-guest"), guest: z.string() }),
  ]),
});
export type LayerRecord = z.infer<typeof layerRecord>;

const filesystemRecord = z.object({
  id: z.string(),
  /** what the chain stands on decides which parts of the host are shown beside it */
  base: z.enum(["host-toolchain", "debian"]),
  /** top first */
  layers: z.array(z.string()),
  /** false until the files were written to the disk itself; until then it holds only as long as the machine runs */
  durable: z.boolean(),
  bootId: z.string(),
});
export type FilesystemRecord = z.infer<typeof filesystemRecord>;
export type BaseKind = FilesystemRecord["base"];

const guestMeta = z.object({
  /** the launcher and PID 1 of the guest, as the host counts; a start tick tells a reused pid */
  processes: z.array(z.object({ pid: z.number(), startTick: z.string() })),
  cgroupDirs: z.array(z.string()),
});
export type GuestMeta = z.infer<typeof guestMeta>;

export interface LayerStore {
  readonly layersDir: string;
  readonly trashDir: string;
  readonly guestsDir: string;
  guestDir(guest: string): string;
  layerDir(layer: string): string;
  newLayerId(): string;
  newFilesystemId(): string;
  filesystem(id: string): FilesystemRecord | undefined;
  filesystems(): FilesystemRecord[];
  /** Snapshots, by id, that were there when the store was opened. */
  readonly inherited: ReadonlySet<string>;
  layer(id: string): LayerRecord | undefined;
  layers(): LayerRecord[];
  putFilesystem(record: FilesystemRecord): void;
  putLayer(record: LayerRecord): void;
  removeFilesystem(id: string): void;
  /** Forgets the layer and moves its files, if any, to the trash. */
  discardLayer(id: string): void;
  /** Moves a directory out of the way at once; freeing its space is for later. */
  moveToTrash(path: string): void;
  writeGuestMeta(guest: string, meta: GuestMeta): void;
  /** where the control groups of this run are made; a later run may sit elsewhere in the hierarchy */
  writeCgroupBases(dirs: string[]): void;
  cgroupBases(): string[];
  leftoverGuests(): { guest: string; meta: GuestMeta | null }[];
}

const SNAPSHOT_PREFIX = "snap_";

export const BOOT_ID = (() => {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch {
    return "unknown";
  }
})();

function writeRecord(path: string, value: unknown): void {
  writeFileSync(`${path}.new`, JSON.stringify(value));
  renameSync(`${path}.new`, path);
}

function readRecords<T>(dir: string, schema: z.ZodType<T>): T[] {
  const records: T[] = [];
  for (const name of readdirSync(dir)) {
    if (!name.endsWith(".json")) continue;
    try {
      records.push(schema.parse(JSON.parse(readFileSync(join(dir, name), "utf8"))));
    } catch {
      // A record that cannot be read names nothing; its layers are collected with the unreferenced ones.
      rmSync(join(dir, name), { force: true });
    }
  }
  return records;
}

/** Opens the store at `root`, made when missing. Does not repair: that is for whoever knows which guests are alive. */
export function openLayerStore(root: string): LayerStore {
  const layersDir = join(root, "layers");
  const snapshotsDir = join(root, "snapshots");
  const guestsDir = join(root, "sandboxes");
  const trashDir = join(root, "trash");
  for (const dir of [root, layersDir, snapshotsDir, guestsDir, trashDir]) {
    mkdirSync(dir, { recursive: true });
    chmodSync(dir, 0o711);
  }
  const filesystems = new Map(readRecords(snapshotsDir, filesystemRecord).map((record) => [record.id, record]));
  const layers = new Map(readRecords(layersDir, layerRecord).map((record) => [record.id, record]));
  let trashCount = 0;
  const inherited = new Set([...filesystems.keys()].filter((id) => id.startsWith(SNAPSHOT_PREFIX)));

  const store: LayerStore = {
    layersDir,
    trashDir,
    guestsDir,
    guestDir: (guest) => join(guestsDir, guest),
    layerDir: (layer) => join(layersDir, layer),
    newLayerId: () => randomBytes(6).toString("hex"),
    newFilesystemId: () => `${SNAPSHOT_PREFIX}${randomBytes(12).toString("hex")}`,
    filesystem: (id) => filesystems.get(id),
    filesystems: () => [...filesystems.values()],
    inherited,
    layer: (id) => layers.get(id),
    layers: () => [...layers.values()],
    putFilesystem(record) {
      writeRecord(join(snapshotsDir, `${record.id}.json`), record);
      filesystems.set(record.id, record);
    },
    putLayer(record) {
      writeRecord(join(layersDir, `${record.id}.json`), record);
      layers.set(record.id, record);
    },
    removeFilesystem(id) {
      if (filesystems.delete(id)) rmSync(join(snapshotsDir, `${id}.json`), { force: true });
    },
    discardLayer(id) {
      store.moveToTrash(join(layersDir, id));
      if (layers.delete(id)) rmSync(join(layersDir, `${id}.json`), { force: true });
    },
    moveToTrash(path) {
      if (existsSync(path)) renameSync(path, join(trashDir, `${process.pid}-${Date.now()}-${trashCount++}`));
    },
    writeGuestMeta: (guest, meta) => writeRecord(join(guestsDir, guest, "meta.json"), meta),
    writeCgroupBases: (dirs) => writeRecord(join(root, "cgroup-bases.json"), dirs),
    cgroupBases() {
      try {
        return z.array(z.string()).parse(JSON.parse(readFileSync(join(root, "cgroup-bases.json"), "utf8")));
      } catch {
        return [];
      }
    },
    leftoverGuests: () =>
      readdirSync(guestsDir).map((guest) => {
        try {
          return { guest, meta: guestMeta.parse(JSON.parse(readFileSync(join(guestsDir, guest, "meta.json"), "utf8"))) };
        } catch {
          return { guest, meta: null };
        }
      }),
  };
  return store;
}
