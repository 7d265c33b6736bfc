/** The ledger of heads: who saw each first, and when the others did. The first moment of each kind is kept. */
import { desc, eq, lt } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import { type Sighting } from "../../domain/sightings.ts";
import { headSightings } from "./schema.ts";

/** how long a head is remembered */
const keepMs = 90 * 24 * 60 * 60_000;

export function createHeadSightings(d1: D1Database) {
  return {
    async save(sightings: readonly Sighting[]): Promise<void> {
      if (sightings.length === 0) return;
      const columns = ["scope", "sha", "commit", "pushedAt", "pushAt", "tickAt", "personAt", "firstBy", "firstAt"];
      const fields = columns.map((name) => `value ->> '${name}'`).join(", ");
      await d1
        .prepare(
          `INSERT INTO head_sightings (scope, sha, commit_info, pushed_at, push_at, tick_at, person_at, first_by, first_at)
           SELECT ${fields} FROM json_each(?1) WHERE true
           ON CONFLICT (scope, sha) DO UPDATE SET
             commit_info = coalesce(commit_info, excluded.commit_info),
             pushed_at = coalesce(pushed_at, excluded.pushed_at), push_at = coalesce(push_at, excluded.push_at),
             tick_at = coalesce(tick_at, excluded.tick_at), person_at = coalesce(person_at, excluded.person_at),
             first_by = iif(excluded.first_at < first_at, excluded.first_by, first_by), first_at = min(first_at, excluded.first_at)`,
        )
        .bind(JSON.stringify(sightings))
        .run();
    },
    /** Newest first. */
    list: (scope: string, limit: number): Promise<Sighting[]> =>
      drizzle(d1)
        .select()
        .from(headSightings)
        .where(eq(headSightings.scope, scope))
        .orderBy(desc(headSightings.firstAt), desc(headSightings.sha))
        .limit(limit),
    async prune(now: number): Promise<void> {
      await drizzle(d1)
        .delete(headSightings)
        .where(lt(headSightings.firstAt, now - keepMs));
    },
  };
}
