/** Empties what a test left in objects, in the database and in the world outside, before the next one. Knows nothing of what they hold. */
import { applyD1Migrations, reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { BuildSlotsObject, FeedObject, ImageObject, PoolObject, SessionObject } from "../../src/worker.ts";
import { rememberResolvedPaths } from "./main-module.ts";

// This module is loaded once for all files; the file with the hooks is loaded anew for each.
rememberResolvedPaths();

/** objects that had a life since they were emptied, each with what keeps it still */
const lived = new Map<string, () => Promise<void>>();

/**
 * Keeps an object that is about to be emptied from storing what it remembers once more, when an answer comes that it still waits for, and
 * from an alarm that would begin a life with the old rows.
 */
async function still(stub: DurableObjectStub): Promise<void> {
  await runInDurableObject(stub, async (_, { storage }) => {
    await storage.deleteAlarm();
    Object.defineProperties(storage, { transactionSync: { value: () => {} }, setAlarm: { value: async () => {} } });
  });
}

/** Puts one more class between an object's and the runtime's: every life passes through its constructor. */
function noteLives<T extends Rpc.DurableObjectBranded>(
  objectClass: abstract new (ctx: DurableObjectState, env: never) => T,
  namespace: DurableObjectNamespace<T>,
): void {
  const base: new (ctx: DurableObjectState, env: never) => object = Object.getPrototypeOf(objectClass);
  const noting = class extends base {
    constructor(ctx: DurableObjectState, bindings: never) {
      super(ctx, bindings);
      const id = ctx.id.toString();
      lived.set(id, () => still(namespace.get(namespace.idFromString(id))));
    }
  };
  Object.setPrototypeOf(objectClass, noting);
}
noteLives(ImageObject, env.IMAGES);
noteLives(SessionObject, env.SESSIONS);
noteLives(FeedObject, env.FEED);
noteLives(BuildSlotsObject, env.BUILD_SLOTS);
noteLives(PoolObject, env.POOLS);

/**
 * `reset` empties what is in memory. An object that its test killed, or that nobody asked for ten seconds, would keep its rows and
 * its alarm and meet the next test with them: it is woken first. So is the database, which is such an object, too.
 */
export async function cleanStorage(): Promise<void> {
  for (let round = 0; round < 10; round++) {
    await Promise.all([env.DB.prepare("SELECT 1").run(), ...[...lived.values()].map((keepStill) => keepStill())]);
    lived.clear();
    await reset();
    const isNew = await createTables();
    await fetch("http://world.test/reset");
    // Emptied one after the other: what one that still lives asked for meanwhile may have come back with its rows.
    if (isNew && lived.size === 0) return;
  }
  throw new Error(`what was emptied is asked for again and again: ${[...lived.keys()].join(", ")}`);
}

/** what the migrations come to, as one text */
let tables: string | null = null;

/**
 * Whether there were none. Thirteen migrations are many statements, and most of them change what an earlier one made: once is enough to
 * know the outcome.
 */
async function createTables(): Promise<boolean> {
  if (tables !== null) {
    return env.DB.prepare(tables)
      .run()
      .then(() => true)
      .catch((error: Error) => {
        if (error.message.includes("already exists")) return false;
        throw error;
      });
  }
  await applyD1Migrations(env.DB, env.TEST_MIGRATIONS);
  const { results } = await env.DB.prepare(
    "SELECT sql FROM sqlite_schema WHERE sql NOT NULL AND name NOT GLOB 'sqlite_*' AND name NOT GLOB '_cf_*' ORDER BY type <> 'table', rowid",
  ).all<{ sql: string }>();
  tables = results.map(({ sql }) => sql).join(";\n");
  return true;
}
