/** What is said of a session as a whole and replaced each time: one row per key, with the cursor of its last change. It knows JSON, not what it says. */
export interface FactStore {
  /** null: never said */
  read(key: string): string | null;
  /** @param json serialised, as it is told; the same as last time changes nothing and asks for no cursor. @returns its cursor when it is new */
  put(key: string, json: string, nextCursor: () => number): number | null;
  /** what changed after `since` */
  changed(since: number): { key: string; json: string }[];
}

export function createFactStore(sql: SqlStorage): FactStore {
  sql.exec("CREATE TABLE IF NOT EXISTS session_facts (key TEXT PRIMARY KEY, cursor INTEGER NOT NULL, json TEXT NOT NULL)");
  return {
    read(key) {
      const [row] = sql.exec<{ json: string }>("SELECT json FROM session_facts WHERE key = ?", key).toArray();
      return row?.json ?? null;
    },
    put(key, json, nextCursor) {
      const [old] = sql.exec<{ same: number }>("SELECT json = ? AS same FROM session_facts WHERE key = ?", json, key).toArray();
      if (old?.same === 1) return null;
      const cursor = nextCursor();
      sql.exec("INSERT OR REPLACE INTO session_facts (key, cursor, json) VALUES (?, ?, ?)", key, cursor, json);
      return cursor;
    },
    changed: (since) =>
      sql.exec<{ key: string; json: string }>("SELECT key, json FROM session_facts WHERE cursor > ?", since).toArray(),
  };
}
