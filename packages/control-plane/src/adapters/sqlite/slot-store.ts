/** The builds that run and those that wait, in the slots object's own SQLite. It decides nothing. */
import { type Waiting } from "../../domain/build-slots.ts";

export interface Slot {
  buildId: string;
  scope: string;
}

export function createSlotStore(sql: SqlStorage) {
  sql.exec(`
    CREATE TABLE IF NOT EXISTS slots (
      serial INTEGER PRIMARY KEY AUTOINCREMENT,
      build_id TEXT NOT NULL UNIQUE,
      scope TEXT NOT NULL,
      owner TEXT NOT NULL,
      rank INTEGER NOT NULL,
      not_before INTEGER NOT NULL,
      granted_at INTEGER,
      told INTEGER NOT NULL DEFAULT 0
    );
    CREATE INDEX IF NOT EXISTS slots_waiting ON slots (granted_at, owner, rank, serial);
  `);

  return {
    add({ buildId, scope, owner, rank, notBefore }: Slot & { owner: string; rank: number; notBefore: number }): void {
      sql.exec(
        `INSERT INTO slots (build_id, scope, owner, rank, not_before) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (build_id) DO UPDATE SET told = 0, rank = min(rank, excluded.rank), not_before = min(not_before, excluded.not_before)`,
        ...[buildId, scope, owner, rank, notBefore],
      );
    },
    /** False when there was none. */
    remove: (buildId: string): boolean =>
      sql.exec("DELETE FROM slots WHERE build_id = ? RETURNING 1", buildId).toArray().length > 0,
    /** Where a build stands in the line; null when it does not wait. */
    waiting(buildId: string): Waiting | null {
      const [row] = sql.exec<{ owner: string; rank: number; not_before: number; serial: number }>(
        "SELECT owner, rank, not_before, serial FROM slots WHERE build_id = ? AND granted_at IS NULL",
        buildId,
      );
      return row ? { buildId, owner: row.owner, rank: row.rank, dueAt: row.not_before, serial: row.serial } : null;
    },
    grant: (buildId: string, now: number) => void sql.exec("UPDATE slots SET granted_at = ? WHERE build_id = ?", now, buildId),
    told: (buildId: string) => void sql.exec("UPDATE slots SET told = 1 WHERE build_id = ?", buildId),
    /** Slots whose end nobody ever told. */
    expire: (before: number) => void sql.exec("DELETE FROM slots WHERE granted_at <= ?", before),
    /** Each owner's first in line among those whose time has come. */
    firsts(now: number): Waiting[] {
      return sql
        .exec<{ build_id: string; owner: string; rank: number; not_before: number; serial: number }>(
          `SELECT build_id, owner, rank, not_before, serial FROM (
             SELECT *, row_number() OVER (PARTITION BY owner ORDER BY rank, not_before, serial) AS place
             FROM slots WHERE granted_at IS NULL AND not_before <= ?
           ) WHERE place = 1`,
          now,
        )
        .toArray()
        .map(({ build_id: buildId, not_before: dueAt, ...first }) => ({ ...first, buildId, dueAt }));
    },
    running(): Map<string, number> {
      const rows = sql.exec<{ owner: string; running: number }>(
        "SELECT owner, count(*) AS running FROM slots WHERE granted_at IS NOT NULL GROUP BY owner",
      );
      return new Map(rows.toArray().map(({ owner, running }) => [owner, running]));
    },
    untold(limit: number): Slot[] {
      const rows = sql.exec<{ build_id: string; scope: string }>(
        "SELECT build_id, scope FROM slots WHERE granted_at IS NOT NULL AND told = 0 ORDER BY granted_at, serial LIMIT ?",
        limit,
      );
      return rows.toArray().map(({ build_id: buildId, scope }) => ({ buildId, scope }));
    },
    counts(): { running: number; waiting: number } {
      const [row] = sql.exec<{ running: number; waiting: number }>(
        "SELECT count(granted_at) AS running, count(*) - count(granted_at) AS waiting FROM slots",
      );
      return { running: row?.running ?? 0, waiting: row?.waiting ?? 0 };
    },
    /** When the next one that waits for its time may begin. */
    nextAt(now: number): number | null {
      const [row] = sql.exec<{ at: number | null }>(
        "SELECT min(not_before) AS at FROM slots WHERE granted_at IS NULL AND not_before > ?",
        now,
      );
      return row?.at ?? null;
    },
    oldestGrant(): number | null {
      const [row] = sql.exec<{ at: number | null }>("SELECT min(granted_at) AS at FROM slots");
      return row?.at ?? null;
    },
  };
}
