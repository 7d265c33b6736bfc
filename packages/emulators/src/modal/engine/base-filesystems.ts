/** The filesystems that a registry tag stands for, made when first asked for. Knows tags and builders, no guests. */
import { lchownSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { buildDebianTar, clearDebianScratch, debianFilesystemId } from "./debian-base.ts";
import { EngineError, type FilesystemId } from "./engine.ts";
import { hostToolchainKey, layOutHostToolchain } from "./host-toolchain.ts";
import { type LayerKeeper } from "./layer-keeper.ts";
import { type BaseKind, BOOT_ID, type LayerStore } from "./layer-store.ts";
import { type LayerWork } from "./layer-work.ts";
import { type UserMapping } from "./user-mapping.ts";

export interface BaseFilesystems {
  /** Rejects with EngineError("not_found") for a tag that is not known. */
  fromTag(tag: string): Promise<FilesystemId>;
  /** Gives up what is being made; whoever waits for it is told so. */
  close(): Promise<void>;
}

export interface BaseFilesystemsPorts {
  stateDir: string;
  store: LayerStore;
  work: LayerWork;
  keeper: LayerKeeper;
  mapping: UserMapping;
  log: (line: string) => void;
}

export function createBaseFilesystems(ports: BaseFilesystemsPorts): BaseFilesystems {
  const { store, work, keeper, mapping } = ports;
  const building = new Map<string, Promise<FilesystemId>>();
  const closing = new AbortController();
  clearDebianScratch(ports.stateDir);

  const chown = (path: string, uid: number, gid: number) => {
    if (mapping.mountsAsHostRoot) lchownSync(path, mapping.rootUid + uid, mapping.rootUid + gid);
  };

  const build = async (id: FilesystemId, base: BaseKind, fill: (dir: string) => Promise<void>): Promise<FilesystemId> => {
    const layer = store.newLayerId();
    const scratch = `${store.layerDir(layer)}.tmp`;
    mkdirSync(scratch);
    try {
      await fill(join(scratch, "fs"));
    } catch (error) {
      store.moveToTrash(scratch);
      keeper.collect();
      throw error;
    }
    keeper.adopt(scratch, layer);
    store.putFilesystem({ id, base, layers: [layer], durable: false, bootId: BOOT_ID });
    keeper.syncSoon();
    return id;
  };

  const once = (id: FilesystemId, make: () => Promise<FilesystemId>): Promise<FilesystemId> => {
    if (store.filesystem(id) !== undefined) return Promise.resolve(id);
    const running = building.get(id) ?? make().finally(() => building.delete(id));
    building.set(id, running);
    return running;
  };

  return {
    async fromTag(tag) {
      if (tag === "local/host-toolchain") {
        const id = `base_host-toolchain-${hostToolchainKey()}`;
        const fill = async (dir: string) => {
          mkdirSync(dir);
          layOutHostToolchain(dir, chown);
        };
        return once(id, () => build(id, "host-toolchain", fill));
      }
      const id = debianFilesystemId(tag);
      if (id === null) {
        throw new EngineError(
          "not_found",
          `There is no image ${tag} here: local/host-toolchain, debian:bookworm and debian:bookworm-slim are known.`,
        );
      }
      if (mapping.idCount === 1) {
        throw new EngineError(
          "failed",
          `${tag} has files of several users and this engine has one. Run it as root, or install uidmap and give its user ranges in /etc/subuid and /etc/subgid.`,
        );
      }
      return once(id, async () => {
        const tar = await buildDebianTar(ports.stateDir, tag, ports.log, closing.signal);
        return build(id, "debian", (dir) => work.importTar(tar, dir));
      });
    },
    async close() {
      closing.abort();
      await Promise.allSettled(building.values());
    },
  };
}
