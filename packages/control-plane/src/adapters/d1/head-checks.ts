/** What the scheduler saw of each repository's head. Written by the scheduler alone. */
import { sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import { headChecks } from "./schema.ts";

export type HeadCheckRow = typeof headChecks.$inferSelect;

/** D1 takes 100 bound parameters a statement. */
const rowsPerStatement = 25;

export function createHeadChecks(d1: D1Database) {
  const db = drizzle(d1);
  return {
    async save(rows: readonly HeadCheckRow[]): Promise<void> {
      const set = { at: sql`excluded.at`, sha: sql`excluded.sha`, outcome: sql`excluded.outcome` };
      const statements = [];
      for (let index = 0; index < rows.length; index += rowsPerStatement) {
        const some = rows.slice(index, index + rowsPerStatement);
        statements.push(db.insert(headChecks).values(some).onConflictDoUpdate({ target: headChecks.scope, set }));
      }
      const [first, ...rest] = statements;
      if (first) await db.batch([first, ...rest]);
    },
  };
}
