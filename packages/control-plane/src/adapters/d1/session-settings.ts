/** What a repository sets for its sessions, in D1. Written by its PoolObject alone. No row: the defaults. */
import { type SessionSettings } from "@open-inspect/protocol";
import { and, eq, gt, sql } from "drizzle-orm";
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
    /** Those of which somebody wants sandboxes to stand ready. */
    async withPool(scopes: readonly string[]): Promise<string[]> {
      const size = sql<number>`${sessionSettings.settings} ->> '$.poolSize'`;
      const isAmong = sql`${sessionSettings.scope} in (select value from json_each(${JSON.stringify(scopes)}))`;
      const rows = await db
        .select({ scope: sessionSettings.scope })
        .from(sessionSettings)
        .where(and(isAmong, gt(size, 0)));
      return rows.map(({ scope }) => scope);
    },
  };
}
