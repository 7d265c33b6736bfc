/** What the scheduler saw of each repository's head. Written by the scheduler alone, many rows in one statement. */
import { type HeadCheckOutcome } from "@open-inspect/protocol";

export interface HeadCheckRow {
  scope: string;
  at: number;
  sha: string | null;
  outcome: HeadCheckOutcome;
}

const merge = "ON CONFLICT (scope) DO UPDATE SET at = excluded.at, sha = excluded.sha, outcome = excluded.outcome";

export function createHeadChecks(d1: D1Database) {
  return {
    async save(rows: readonly HeadCheckRow[]): Promise<void> {
      if (rows.length === 0) return;
      const fields = "value ->> 'scope', value ->> 'at', value ->> 'sha', value ->> 'outcome'";
      // SQLite reads ON after FROM as part of a join unless there is a WHERE between.
      await d1
        .prepare(`INSERT INTO head_checks (scope, at, sha, outcome) SELECT ${fields} FROM json_each(?1) WHERE true ${merge}`)
        .bind(JSON.stringify(rows))
        .run();
    },
    /** Every enabled repository of the installation behind that scope: its head could not be read. */
    async saveUnavailable(installationId: number, after: string, at: number): Promise<void> {
      await d1
        .prepare(
          `INSERT INTO head_checks (scope, at, sha, outcome)
           SELECT r.scope, ?3, NULL, 'unavailable' FROM repositories r JOIN image_scopes s ON s.scope = r.scope
           WHERE r.installation_id = ?1 AND r.scope > ?2 AND r.gone_at IS NULL AND s.enabled = 1 ${merge}`,
        )
        .bind(installationId, after, at)
        .run();
    },
  };
}
