/**
 * The slow work on layers: copying, merging, importing, deleting and syncing, done with the guest's users so that modes, owners and
 * attributes come out as they went in. Knows directories and the mapping, nothing of guests or records.
 */
import { chownSync, existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { overlayOptions } from "./guest-launch.ts";
import { run } from "./host-process.ts";
import { type NamespaceHolder, type UserMapping } from "./user-mapping.ts";

const COPY_TIMEOUT_MS = 600_000;
const DELETE_TIMEOUT_MS = 600_000;
const SYNC_TIMEOUT_MS = 120_000;

/** What a builder of images copies from its host and a guest must not know. */
const NEUTRAL_ETC =
  "status=$?; : > etc/resolv.conf; echo sandbox > etc/hostname; echo 127.0.0.1 localhost > etc/hosts; exit $status";

export interface LayerWork {
  /** Copies a directory with everything overlayfs keeps in it. `to` must not exist. */
  copyTree(from: string, to: string, signal?: AbortSignal): Promise<void>;
  /** Writes what a chain shows (top first, relative to layersDir) as one plain tree. `to` must not exist. */
  mergeChain(layersDir: string, lowerDirs: string[], to: string): Promise<void>;
  importTar(tarFile: string, to: string): Promise<void>;
  emptyTrash(trashDir: string): Promise<void>;
  sync(dir: string): Promise<void>;
  close(): Promise<void>;
}

export async function openLayerWork(mapping: UserMapping): Promise<LayerWork> {
  // Real root may touch everything; the others own most files only inside their user namespace.
  const holder: NamespaceHolder | null = mapping.mountsAsHostRoot ? null : await mapping.openHolder();
  const inside = (argv: string[]) =>
    holder === null ? argv : [...mapping.enter(holder.pid), "setpriv", "--pdeathsig", "KILL", ...argv];
  let emptying: Promise<void> | null = null;

  return {
    async copyTree(from, to, signal) {
      await run(inside(["cp", "-a", from, to]), { timeoutMs: COPY_TIMEOUT_MS, ...(signal === undefined ? {} : { signal }) });
    },
    async mergeChain(layersDir, lowerDirs, to) {
      const empty = join(to, "..", "view");
      mkdirSync(empty, { recursive: true });
      const options = overlayOptions(mapping, lowerDirs, null);
      const script = 'cd "$1" && mount -i -t overlay overlay -o "$2" "$3" && cp -a "$3" "$4"';
      const argv = ["unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh", layersDir, options, empty, to];
      await run(inside(argv), { timeoutMs: COPY_TIMEOUT_MS });
    },
    async importTar(tarFile, to) {
      mkdirSync(to);
      if (mapping.mountsAsHostRoot) chownSync(to, mapping.rootUid, mapping.rootUid);
      // Real root has to shift the ids, so it goes through a user namespace as well. Devices cannot be made in there; the
      // launcher shows its own.
      const shifted = holder ?? (await mapping.openHolder());
      const owners = mapping.idCount > 1 ? "--same-owner" : "--no-same-owner";
      const unpack = `chmod 755 . && tar -x --numeric-owner ${owners} -p --xattrs --xattrs-include="*" --exclude="./dev/*" -f -; ${NEUTRAL_ETC}`;
      try {
        const argv = [...mapping.enter(shifted.pid), "sh", "-c", unpack];
        await run(["sh", "-c", 'file="$1"; dir="$2"; shift 2; cd "$dir" && exec "$@" < "$file"', "sh", tarFile, to, ...argv], {
          timeoutMs: COPY_TIMEOUT_MS,
        });
      } finally {
        if (holder === null) await shifted.release();
      }
    },
    emptyTrash(trashDir) {
      emptying ??= (async () => {
        while (existsSync(trashDir)) {
          const names = readdirSync(trashDir);
          if (names.length === 0) return;
          await run(inside(["rm", "-rf", "--", ...names.map((name) => join(trashDir, name))]), { timeoutMs: DELETE_TIMEOUT_MS });
        }
      })().finally(() => {
        emptying = null;
      });
      return emptying;
    },
    async sync(dir) {
      await run(["sync", "-f", dir], { timeoutMs: SYNC_TIMEOUT_MS });
    },
    close: async () => holder?.release(),
  };
}
