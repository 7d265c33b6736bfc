/** Keeps what survives a restart in one JSON file, written atomically. Knows nothing of gRPC, guests or builds. */
import { randomBytes } from "node:crypto";
import { mkdir, open, readFile, rename } from "node:fs/promises";
import { dirname, join } from "node:path";
import { z } from "zod";

const appSchema = z.object({ id: z.string(), name: z.string(), environment: z.string() });

const imageSchema = z.object({
  id: z.string(),
  filesystem: z.string(),
  /** false: the filesystem is a registry tag's, which the engine keeps by itself */
  ownsFilesystem: z.boolean(),
  env: z.record(z.string(), z.string()),
  workdir: z.string().nullable(),
  /** `build`: by this recipe on this parent filesystem, found again by both. `snapshot`: of a sandbox. */
  origin: z.discriminatedUnion("kind", [
    z.object({ kind: z.literal("build"), recipe: z.string(), parentFilesystem: z.string() }),
    z.object({ kind: z.literal("snapshot"), sandboxId: z.string() }),
  ]),
  createdAt: z.number(),
  /** null: kept until deleted */
  expiresAt: z.number().nullable(),
});
export type ImageRecord = z.infer<typeof imageSchema>;

const stateSchema = z.object({
  version: z.literal(1),
  /** keys the digests of recipes, which cover secrets, and the tokens */
  salt: z.string(),
  apps: z.array(appSchema),
  images: z.array(imageSchema),
  /** `environment/name:tag` → image id */
  imageNames: z.record(z.string(), z.string()),
});
type PersistedState = z.infer<typeof stateSchema>;

export interface StateStore {
  /** Changed in place, then `save()`. */
  readonly state: PersistedState;
  /** Durable when it resolves. Calls while a write runs share the next one. */
  save(): Promise<void>;
}

async function writeAtomically(file: string, text: string): Promise<void> {
  const temporary = `${file}.next`;
  const handle = await open(temporary, "w", 0o600);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(temporary, file);
  const folder = await open(dirname(file), "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

async function read(file: string): Promise<PersistedState> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") {
      return { version: 1, salt: randomBytes(16).toString("hex"), apps: [], images: [], imageNames: {} };
    }
    throw cause;
  }
  try {
    return stateSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new Error(`${file} is not a state of the Modal emulator. Move it away to start empty.`, { cause });
  }
}

export async function openStateStore(stateDir: string): Promise<StateStore> {
  await mkdir(stateDir, { recursive: true, mode: 0o700 });
  const file = join(stateDir, "modal-state.json");
  const state = await read(file);
  let running: Promise<void> = Promise.resolve();
  let queued: Promise<void> | null = null;
  return {
    state,
    save: () => {
      queued ??= running.then(
        () => start(),
        () => start(),
      );
      return queued;
    },
  };

  function start(): Promise<void> {
    queued = null;
    running = writeAtomically(file, JSON.stringify(state));
    return running;
  }
}
