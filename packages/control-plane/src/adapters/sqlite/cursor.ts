/**
 * A number that rises with every change of a session, also in the object's next lives. It is stored ahead of its use, once for many
 * changes, so a new life begins above whatever the last one gave out.
 */

export interface Cursor {
  next(): number;
  /** the last one given out in this or an earlier life */
  now(): number;
}

const reserved = 1_000;

export function createCursor(sql: SqlStorage): Cursor {
  sql.exec("CREATE TABLE IF NOT EXISTS session_cursor (id INTEGER PRIMARY KEY CHECK (id = 1), limit_at INTEGER NOT NULL)");
  const [row] = sql.exec<{ limit_at: number }>("SELECT limit_at FROM session_cursor").toArray();
  let limit = row?.limit_at ?? 0;
  let current = limit;
  return {
    next() {
      current += 1;
      if (current > limit) {
        limit = current + reserved;
        sql.exec("INSERT OR REPLACE INTO session_cursor (id, limit_at) VALUES (1, ?)", limit);
      }
      return current;
    },
    now: () => current,
  };
}
