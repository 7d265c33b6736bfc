/** The effect store's contract in memory, for tests that crash and restart machines by the thousand. */
import { type EffectRow, type EffectStore } from "../../src/adapters/sqlite/effect-store.ts";

export interface MemoryEffectStore<State, Effect> extends EffectStore<State, Effect> {
  rows(): EffectRow<Effect>[];
}

export function createMemoryEffectStore<State, Effect>(): MemoryEffectStore<State, Effect> {
  let state: string | null = null;
  let rows: EffectRow<Effect>[] = [];
  let seq = 0;
  const copy = <T>(value: T): T => structuredClone(value);
  return {
    transaction(work) {
      const before = { state, rows: copy(rows) };
      try {
        work();
      } catch (error) {
        ({ state, rows } = before);
        throw error;
      }
    },
    loadState: () => (state === null ? null : JSON.parse(state)),
    saveState(next) {
      state = JSON.stringify(next);
    },
    owe({ key, lane, effect, dueAt }) {
      rows = rows.filter((row) => row.key !== key);
      rows.push({ key, lane, effect: copy(effect), dueAt, seq: ++seq, tries: 0 });
    },
    forget(gone) {
      rows = rows.filter((row) => row.key !== gone.key || row.seq !== gone.seq);
    },
    postpone(later, dueAt) {
      rows = rows.map((row) => (row.key === later.key && row.seq === later.seq ? { ...row, tries: row.tries + 1, dueAt } : row));
    },
    lanes: () => copy(rows.filter((row) => !rows.some((other) => other.lane === row.lane && other.seq < row.seq))),
    isOwed: (lane) => rows.some((row) => row.lane === lane),
    rows: () => copy(rows),
  };
}
