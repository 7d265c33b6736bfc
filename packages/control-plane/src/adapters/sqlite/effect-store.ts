/** An object's state and what it owes, in its own SQLite. It knows neither what the state means nor how effects are performed. */

export interface EffectRow<Effect> {
  key: string;
  lane: string;
  /** rises with every `owe`: a row that was replaced while it was performed is not forgotten by the older one's end */
  seq: number;
  effect: Effect;
  tries: number;
  dueAt: number;
}

export interface EffectStore<State, Effect> {
  transaction(work: () => void): void;
  loadState(): State | null;
  saveState(state: State): void;
  owe(row: { key: string; lane: string; effect: Effect; dueAt: number }): void;
  forget(row: { key: string; seq: number }): void;
  postpone(row: { key: string; seq: number }, dueAt: number): void;
  /** the oldest owed effect of each lane */
  lanes(): EffectRow<Effect>[];
  isOwed(lane: string): boolean;
}

/** @param parse turns stored JSON back; the object is the only writer of its rows, so the shape is its own */
export function createEffectStore<State, Effect>(
  storage: DurableObjectStorage,
  parse: { state(json: string): State; effect(json: string): Effect },
): EffectStore<State, Effect> {
  const { sql } = storage;
  sql.exec(`
    CREATE TABLE IF NOT EXISTS state (id INTEGER PRIMARY KEY CHECK (id = 1), json TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS effects (
      seq INTEGER PRIMARY KEY AUTOINCREMENT,
      key TEXT NOT NULL UNIQUE,
      lane TEXT NOT NULL,
      json TEXT NOT NULL,
      tries INTEGER NOT NULL DEFAULT 0,
      due_at INTEGER NOT NULL
    );
  `);

  return {
    transaction: (work) => storage.transactionSync(work),
    loadState() {
      const [row] = sql.exec<{ json: string }>("SELECT json FROM state").toArray();
      return row ? parse.state(row.json) : null;
    },
    saveState(state) {
      sql.exec("INSERT OR REPLACE INTO state (id, json) VALUES (1, ?)", JSON.stringify(state));
    },
    owe({ key, lane, effect, dueAt }) {
      const json = JSON.stringify(effect);
      sql.exec("INSERT OR REPLACE INTO effects (key, lane, json, tries, due_at) VALUES (?, ?, ?, 0, ?)", key, lane, json, dueAt);
    },
    forget: ({ key, seq }) => void sql.exec("DELETE FROM effects WHERE key = ? AND seq = ?", key, seq),
    postpone({ key, seq }, dueAt) {
      sql.exec("UPDATE effects SET tries = tries + 1, due_at = ? WHERE key = ? AND seq = ?", dueAt, key, seq);
    },
    lanes() {
      const rows = sql
        .exec<{ seq: number; key: string; lane: string; json: string; tries: number; due_at: number }>(
          "SELECT e.* FROM effects e JOIN (SELECT lane, min(seq) AS seq FROM effects GROUP BY lane) h ON h.seq = e.seq ORDER BY e.seq",
        )
        .toArray();
      return rows.map((row) => ({
        key: row.key,
        lane: row.lane,
        seq: row.seq,
        effect: parse.effect(row.json),
        tries: row.tries,
        dueAt: row.due_at,
      }));
    },
    isOwed: (lane) => sql.exec("SELECT 1 FROM effects WHERE lane = ? LIMIT 1", lane).toArray().length > 0,
  };
}
