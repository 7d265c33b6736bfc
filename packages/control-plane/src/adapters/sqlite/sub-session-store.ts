/** The sessions that were begun below a root, in the root's SQLite. They are counted here, so that two at once cannot pass one limit. */
export interface SubSessionStore {
  list(): { id: string; admittedAt: number }[];
  /** Once for each id. */
  add(id: string, at: number): void;
  /** It did not begin after all. */
  remove(id: string): void;
}

export function createSubSessionStore(sql: SqlStorage): SubSessionStore {
  sql.exec("CREATE TABLE IF NOT EXISTS sub_sessions (id TEXT PRIMARY KEY, admitted_at INTEGER NOT NULL)");
  return {
    list: () =>
      sql
        .exec<{ id: string; admitted_at: number }>("SELECT * FROM sub_sessions")
        .toArray()
        .map(({ id, admitted_at: admittedAt }) => ({ id, admittedAt })),
    add: (id, at) => void sql.exec("INSERT OR IGNORE INTO sub_sessions (id, admitted_at) VALUES (?, ?)", id, at),
    remove: (id) => void sql.exec("DELETE FROM sub_sessions WHERE id = ?", id),
  };
}
