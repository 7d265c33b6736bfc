/**
 * Turns the upper directory of a frozen guest into a layer: by copying it and letting the guest go on, or, when the guest
 * is killed first, by renaming it. Knows one snapshot of one guest; records and ids are the store's.
 */
import { mkdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type LayerStore } from "./layer-store.ts";
import { type LayerWork } from "./layer-work.ts";

/** A caller that snapshots in order to kill does so at once; copying before that would be for nothing. */
const KILL_EXPECTED_MS = 60;

export interface FrozenSnapshot {
  readonly layer: string;
  /** the files are in the layer's own directory, or the snapshot was dropped */
  readonly settled: Promise<void>;
  /** Somebody waits: do not wait for a kill. */
  hurry(): void;
  /** Every process of the guest is gone: its directory may be taken. */
  takeUpper(): Promise<void>;
  /** Nobody wants the layer any more. The guest goes on. */
  drop(): Promise<void>;
}

export interface FrozenSnapshotPorts {
  store: LayerStore;
  work: LayerWork;
  guestDir: string;
  layer: string;
  thaw(): void;
  /** The copy failed (a full disk): only the guest's own directory has the files that were promised. */
  giveUpGuest(error: unknown): void;
}

export function beginFrozenSnapshot(ports: FrozenSnapshotPorts): FrozenSnapshot {
  const { store, work, guestDir, layer } = ports;
  const waiting = new AbortController();
  const copying = new AbortController();
  const settled = Promise.withResolvers<void>();
  const target = store.layerDir(layer);
  const scratch = `${target}.tmp`;
  let outcome: "open" | "copied" | "taken" | "dropped" = "open";

  const copied = (async () => {
    await delay(KILL_EXPECTED_MS, undefined, { signal: waiting.signal }).catch(() => {});
    if (outcome !== "open") return;
    try {
      mkdirSync(scratch);
      await work.copyTree(join(guestDir, "delta", "fs"), join(scratch, "fs"), copying.signal);
      if (outcome !== "open") return;
      renameSync(scratch, target);
      store.putLayer({ id: layer, state: { kind: "stored" } });
      outcome = "copied";
      // Only now: from here on the guest's own directory is no longer the snapshot.
      ports.thaw();
      settled.resolve();
    } catch (error) {
      if (outcome === "open") ports.giveUpGuest(error);
    }
  })();

  const stop = async () => {
    waiting.abort();
    copying.abort();
    await copied;
    store.moveToTrash(scratch);
  };

  return {
    layer,
    settled: settled.promise,
    hurry: () => waiting.abort(),
    async takeUpper() {
      if (outcome !== "open") return;
      outcome = "taken";
      renameSync(join(guestDir, "delta"), target);
      store.putLayer({ id: layer, state: { kind: "stored" } });
      await stop();
      settled.resolve();
    },
    async drop() {
      if (outcome !== "open") return;
      outcome = "dropped";
      await stop();
      store.discardLayer(layer);
      ports.thaw();
      settled.resolve();
    },
  };
}
