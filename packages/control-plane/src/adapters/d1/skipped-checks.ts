/** Comparisons that built nothing: one row for as long as commit, image and reason stay the same. Many rows in one statement. */
import { type SkipReason } from "@open-inspect/protocol";

export interface NewSkip {
  /** an id of a build */
  id: string;
  scope: string;
  owner: string;
  name: string;
  reason: SkipReason;
  branch: string | null;
  sha: string;
  fromSha: string | null;
}

export function createSkippedChecks(d1: D1Database) {
  return {
    /**
     * @param ids rows that came out the same once more
     * @param tickAt when the tick began: a row that it has counted is not counted again, should its message come twice
     */
    async save({ fresh, ids }: { fresh: readonly NewSkip[]; ids: readonly string[] }, tickAt: number, at: number): Promise<void> {
      const again = d1
        .prepare(
          `UPDATE skipped_checks SET count = count + 1, last_at = ?2
           WHERE id IN (SELECT value FROM json_each(?1)) AND last_at < ?3`,
        )
        .bind(JSON.stringify(ids), at, tickAt);
      const fields = ["id", "scope", "owner", "name", "reason", "branch", "sha", "fromSha"].map((name) => `value ->> '${name}'`);
      const first = d1
        .prepare(
          `INSERT INTO skipped_checks (id, scope, owner, name, reason, branch, sha, from_sha, count, first_at, last_at)
           SELECT ${fields.join(", ")}, 1, ?2, ?2 FROM json_each(?1)`,
        )
        .bind(JSON.stringify(fresh), at);
      const owed = [...(ids.length > 0 ? [again] : []), ...(fresh.length > 0 ? [first] : [])];
      if (owed.length > 0) await d1.batch(owed);
    },
  };
}
