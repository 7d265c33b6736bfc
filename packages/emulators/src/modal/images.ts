/**
 * The images that exist: looked up, named, expired, deleted. Knows nothing of how an image is built or of gRPC; filesystems
 * belong to the engine and are given back when no image needs them.
 */
import { type SandboxEngine } from "./engine/engine.ts";
import { newImageId } from "./ids.ts";
import { type ImageRecord, type StateStore } from "./state-store.ts";

export interface Images {
  /** null: never existed, deleted, expired or its filesystem is gone */
  get(id: string): ImageRecord | null;
  list(): ImageRecord[];
  findBuild(recipe: string, parentFilesystem: string): ImageRecord | null;
  /** Durable when it resolves. */
  add(image: Omit<ImageRecord, "id" | "createdAt">, id?: string): Promise<ImageRecord>;
  /** false: there is no such image */
  remove(id: string): Promise<boolean>;
  /** false: there is no such image */
  publish(name: string, id: string): Promise<boolean>;
  byName(name: string): ImageRecord | null;
  /** Frees what a run that died between a snapshot and its record has left. Once, before anything is made. */
  adopt(): Promise<void>;
  /** Removes what has expired and what has lost its filesystem. */
  sweep(): Promise<void>;
}

export function createImages(deps: { store: StateStore; engine: SandboxEngine; now: () => number }): Images {
  const { store, engine, now } = deps;
  const { state } = store;

  const isUsable = (image: ImageRecord) =>
    (image.expiresAt === null || image.expiresAt > now()) && engine.filesystemExists(image.filesystem);
  const get = (id: string) => {
    const image = state.images.find((each) => each.id === id);
    return image && isUsable(image) ? image : null;
  };

  async function drop(images: ImageRecord[]): Promise<void> {
    if (images.length === 0) return;
    const gone = new Set(images.map((image) => image.id));
    state.images = state.images.filter((image) => !gone.has(image.id));
    state.imageNames = Object.fromEntries(Object.entries(state.imageNames).filter(([, id]) => !gone.has(id)));
    const used = new Set(state.images.map((image) => image.filesystem));
    const free = new Set(images.filter((image) => image.ownsFilesystem && !used.has(image.filesystem)).map((i) => i.filesystem));
    // the record goes first: a filesystem without a record is waste, a record without a filesystem a lie
    await store.save();
    for (const filesystem of free) await engine.deleteFilesystem(filesystem);
  }

  return {
    get,
    list: () => state.images.filter(isUsable),
    findBuild: (recipe, parentFilesystem) =>
      state.images.findLast(
        ({ origin, ...image }) =>
          origin.kind === "build" &&
          origin.recipe === recipe &&
          origin.parentFilesystem === parentFilesystem &&
          isUsable({ origin, ...image }),
      ) ?? null,
    add: async (image, id = newImageId()) => {
      const record: ImageRecord = { ...image, id, createdAt: now() };
      state.images.push(record);
      await store.save();
      return record;
    },
    remove: async (id) => {
      const image = get(id);
      if (image) await drop([image]);
      return image !== null;
    },
    publish: async (name, id) => {
      if (!get(id)) return false;
      state.imageNames[name] = id;
      await store.save();
      return true;
    },
    byName: (name) => {
      const id = state.imageNames[name];
      return id === undefined ? null : get(id);
    },
    adopt: () => engine.retainOnly(state.images.map((image) => image.filesystem)),
    sweep: () => drop(state.images.filter((image) => !isUsable(image))),
  };
}
