/**
 * Keeps the layers of a running engine: waits for them, merges long chains, writes them through to the disk and frees
 * what nothing refers to. All of it in the background; knows records and the slow work, no guests.
 */
import { mkdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { EngineError } from "./engine.ts";
import { type FrozenSnapshot } from "./frozen-snapshot.ts";
import { type LayerStore } from "./layer-store.ts";
import { type LayerWork } from "./layer-work.ts";

const CLOSE_TIMEOUT_MS = 5000;

export interface LayerKeeper {
  /** Gives a finished directory its place as a layer. */
  adopt(scratch: string, layer: string): void;
  /** The top layer of this filesystem has its files: merge and sync may begin. */
  settled(filesystem: string): void;
  /** Rejects with EngineError("exhausted") at the limit. */
  whenStored(chain: string[], timeoutMs: number): Promise<void>;
  syncSoon(): void;
  /** Moves layers that nothing refers to into the trash, and empties it. */
  collect(): void;
  /** Lets guests go on whose snapshot was deleted before its files were copied. */
  dropUnwantedSnapshots(): Promise<void>;
  /** Waits for what runs, not for ever. */
  close(): Promise<void>;
}

export interface LayerKeeperPorts {
  store: LayerStore;
  work: LayerWork;
  maxLayers: number;
  /** layers of guests that run or start */
  pinned(): string[];
  snapshotOf(layer: string): FrozenSnapshot | null;
  log: (line: string) => void;
}

export function createLayerKeeper(ports: LayerKeeperPorts): LayerKeeper {
  const { store, work, log } = ports;
  const merging = new Set<string>();
  let queue: Promise<void> = Promise.resolve();
  let syncing: Promise<void> | null = null;
  let syncAgain = false;
  let emptying: Promise<void> = Promise.resolve();
  let closed = false;

  const background = (what: string, task: () => Promise<void>): Promise<void> =>
    task().catch((error: unknown) => log(`${what} failed: ${error instanceof Error ? error.message : String(error)}`));

  const stored = (chain: string[]) => chain.every((layer) => store.layer(layer)?.state.kind === "stored");

  const wanted = () => new Set([...store.filesystems().flatMap(({ layers }) => layers), ...ports.pinned(), ...merging]);

  const merge = async (id: string) => {
    const record = store.filesystem(id);
    if (closed || record === undefined || record.layers.length <= ports.maxLayers || !stored(record.layers)) return;
    const layer = store.newLayerId();
    const scratch = `${store.layerDir(layer)}.tmp`;
    for (const each of record.layers) merging.add(each);
    try {
      mkdirSync(scratch);
      await work.mergeChain(
        store.layersDir,
        record.layers.map((each) => `${each}/fs`),
        join(scratch, "fs"),
      );
      if (store.filesystem(id) === undefined) return;
      keeper.adopt(scratch, layer);
      store.putFilesystem({ ...record, layers: [layer], durable: false });
      log(`filesystem ${id}: ${record.layers.length} layers merged into one`);
    } finally {
      merging.clear();
      store.moveToTrash(scratch);
      keeper.collect();
      keeper.syncSoon();
    }
  };

  const sync = async () => {
    do {
      syncAgain = false;
      const owed = store.filesystems().filter((record) => !record.durable && stored(record.layers));
      if (owed.length === 0) return;
      await work.sync(store.layersDir);
      for (const before of owed) {
        const record = store.filesystem(before.id);
        if (record !== undefined && record.layers === before.layers) store.putFilesystem({ ...record, durable: true });
      }
    } while (syncAgain);
  };

  const keeper: LayerKeeper = {
    adopt(scratch, layer) {
      renameSync(scratch, store.layerDir(layer));
      store.putLayer({ id: layer, state: { kind: "stored" } });
    },
    settled(filesystem) {
      keeper.syncSoon();
      queue = queue.then(() => background("merging layers", () => merge(filesystem)));
    },
    async whenStored(chain, timeoutMs) {
      const open = chain.map(ports.snapshotOf).filter((snapshot) => snapshot !== null);
      if (open.length === 0) return;
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new EngineError("exhausted", "The snapshot's files are still being copied.")), timeoutMs);
      });
      for (const snapshot of open) snapshot.hurry();
      await Promise.race([Promise.all(open.map(({ settled }) => settled)), late]).finally(() => clearTimeout(timer));
      if (!stored(chain)) throw new EngineError("not_found", "The snapshot was deleted before its files were copied.");
    },
    syncSoon() {
      syncAgain = true;
      syncing ??= background("syncing layers", sync).finally(() => {
        syncing = null;
      });
    },
    collect() {
      const keep = wanted();
      for (const { id, state } of store.layers()) if (state.kind === "stored" && !keep.has(id)) store.discardLayer(id);
      emptying = emptying.then(() => background("emptying the trash", () => work.emptyTrash(store.trashDir)));
    },
    async dropUnwantedSnapshots() {
      const keep = new Set(store.filesystems().flatMap(({ layers }) => layers));
      for (const { id, state } of store.layers()) {
        if (state.kind === "in-guest" && !keep.has(id)) await ports.snapshotOf(id)?.drop();
      }
    },
    async close() {
      closed = true;
      await queue;
      keeper.collect();
      // What is left in the trash is emptied at the next start.
      await Promise.race([Promise.all([emptying, syncing]), delay(CLOSE_TIMEOUT_MS, undefined, { ref: false })]);
    },
  };
  return keeper;
}
