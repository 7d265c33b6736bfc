/**
 * Brings a state directory that a killed engine left behind into order: dead guests go, snapshots that were promised stay.
 * Knows records and processes by pid, starts nothing.
 */
import { existsSync, readdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type Cgroups } from "./cgroups.ts";
import { killProcess, processStartTick } from "./host-process.ts";
import { BOOT_ID, type LayerStore } from "./layer-store.ts";

const GONE_TIMEOUT_MS = 5000;

export async function recoverStore(ports: {
  store: LayerStore;
  cgroups: Cgroups | null;
  cgroupPrefix: string;
  log: (line: string) => void;
}): Promise<void> {
  const { store, cgroups, log } = ports;
  const guests = store.leftoverGuests();
  const processes = guests.flatMap(({ meta }) => meta?.processes ?? []);
  const alive = () => processes.filter(({ pid, startTick }) => processStartTick(pid) === startTick);
  for (const deadline = Date.now() + GONE_TIMEOUT_MS; alive().length > 0 && Date.now() < deadline; await delay(5)) {
    for (const { pid } of alive()) killProcess(pid);
  }
  await cgroups?.removeLeftovers(
    ports.cgroupPrefix,
    guests.flatMap(({ meta }) => meta?.cgroupDirs ?? []),
    store.cgroupBases(),
  );

  for (const layer of store.layers()) {
    if (layer.state.kind === "stored") {
      if (!existsSync(store.layerDir(layer.id))) store.discardLayer(layer.id);
      continue;
    }
    // Its guest was frozen when the engine died, and died frozen: the directory is exactly what was promised.
    const upper = join(store.guestDir(layer.state.guest), "delta");
    if (!existsSync(store.layerDir(layer.id)) && existsSync(upper)) renameSync(upper, store.layerDir(layer.id));
    if (existsSync(store.layerDir(layer.id))) store.putLayer({ id: layer.id, state: { kind: "stored" } });
    else store.discardLayer(layer.id);
  }
  for (const filesystem of store.filesystems()) {
    const lost = filesystem.layers.some((layer) => store.layer(layer) === undefined);
    // Written, but perhaps not to the disk, before the machine itself went down.
    const doubtful = !filesystem.durable && filesystem.bootId !== BOOT_ID;
    if (!lost && !doubtful) continue;
    log(
      `filesystem ${filesystem.id} is dropped: ${lost ? "a layer is missing" : "it was not on the disk yet when the machine stopped"}`,
    );
    store.removeFilesystem(filesystem.id);
  }
  for (const name of readdirSync(store.layersDir)) {
    if (!name.endsWith(".json") && store.layer(name) === undefined) store.moveToTrash(join(store.layersDir, name));
  }
  for (const { guest } of guests) store.moveToTrash(store.guestDir(guest));
}
