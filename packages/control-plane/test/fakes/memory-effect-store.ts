/** The effect store's contract in memory, for tests that crash and restart machines by the thousand. */
import { type EffectRow, type EffectStore } from "../../src/adapters/sqlite/effect-store.ts";

export interface MemoryEffectStore<State, Effect> extends EffectStore<State, Effect> {
  /** everything that is owed, oldest first */
  rows(): readonly EffectRow<Effect>[];
  /** What is stored becomes what another life reads of it. */
  restart(): void;
}

export function createMemoryEffectStore<State, Effect>(): MemoryEffectStore<State, Effect> {
  let state: State | null = null;
  // Never changed in place, oldest first.
  let rows: readonly EffectRow<Effect>[] = [];
  let seq = 0;
  return {
    transaction(work) {
      const before = { state, rows };
      try {
        work();
      } catch (error) {
        ({ state, rows } = before);
        throw error;
      }
    },
    loadState: () => state,
    saveState(next) {
      state = frozen(next);
    },
    owe({ key, lane, effect, dueAt }) {
      rows = [...rows.filter((row) => row.key !== key), { key, lane, effect: frozen(effect), dueAt, seq: ++seq, tries: 0 }];
    },
    forget(gone) {
      rows = rows.filter((row) => row.key !== gone.key || row.seq !== gone.seq);
    },
    postpone(later, dueAt) {
      rows = rows.map((row) => (row.key === later.key && row.seq === later.seq ? { ...row, tries: row.tries + 1, dueAt } : row));
    },
    lanes() {
      const seen = new Set<string>();
      return rows.filter((row) => !seen.has(row.lane) && seen.add(row.lane));
    },
    isOwed: (lane) => rows.some((row) => row.lane === lane),
    rows: () => rows,
    restart() {
      ({ state, rows } = frozen(JSON.parse(JSON.stringify({ state, rows }))));
    },
  };
}

/** Whoever changes what is stored is found where they do it. What is frozen already is not walked again, so most of a state costs nothing. */
function frozen<T>(value: T): T {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return value;
  Object.freeze(value);
  // No list of the parts: this runs a million times.
  for (const key in value) if (typeof value[key] === "object") frozen(value[key]);
  return value;
}
