/** What a repository sets for its sessions, in D1. Written by its PoolObject alone. No row: the defaults. */
import { type SessionSettings } from "@open-inspect/protocol";
import { eq, gt, sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import { sessionSettings } from "./schema.ts";

export function createSessionSettings(d1: D1Database) {
  const db = drizzle(d1);
  return {
    async save(scope: string, settings: SessionSettings): Promise<void> {
      const set = { settings };
      await db.insert(sessionSettings).values({ scope, settings }).onConflictDoUpdate({ target: sessionSettings.scope, set });
    },
    async find(scope: string): Promise<SessionSettings | null> {
      const [row] = await db.select().from(sessionSettings).where(eq(sessionSettings.scope, scope));
      return row?.settings ?? null;
    },
    /** Whether anybody wants sandboxes to stand ready. */
    async hasPool(scope: string): Promise<boolean> {
      const size = sql<number>`${sessionSettings.settings} ->> '$.poolSize'`;
      const [row] = await db
        .select({ size })
        .from(sessionSettings)
        .where(sql`${eq(sessionSettings.scope, scope)} and ${gt(size, 0)}`);
      return row !== undefined;
    },
  };
}
