/**
 * The loop of both objects: load → step → commit state and owed effects in one SQLite transaction → perform what is owed.
 * Every effect is performed at least once; its outcome comes back as an input. A crash anywhere loses nothing: the
 * object's next life performs again whatever is still owed, and its alarm brings that life about. It knows neither builds nor sessions.
 */

import { type EffectRow, type EffectStore } from "../adapters/sqlite/effect-store.ts";
import { jitterMs } from "../domain/build-slots.ts";
import { deadlines } from "../domain/deadlines.ts";
import { type Log } from "../domain/ports.ts";

/** How long an effect may take, and how often and when it is tried again. `tries: null` for ever. */
export interface EffectPolicy {
  tries: number | null;
  firstPauseMs: number;
  maxPauseMs: number;
  /** an attempt that has not ended by then was lost with the process that made it */
  limitMs: number;
}

/** How an attempt ended. `retry` is for what may pass by itself; when no try is left, `input` says what it came to. */
export type Performed<Input> = { done: Input | null } | { retry: Input | null; cause: string };

export interface RunnerParts<State, Input, Effect> {
  step(state: State, input: Input, now: number): { state: State; effects: Effect[] };
  initial: State;
  store: EffectStore<State, Effect>;
  /** effects of one lane are performed one after the other, a newer one with the same key replaces the one before it */
  address(effect: Effect): { key: string; lane: string; delayMs: number };
  policy(effect: Effect): EffectPolicy;
  isWanted(state: State, effect: Effect): boolean;
  perform(effect: Effect, state: State): Promise<Performed<Input>>;
  /** effects that every commit owes besides those of the step: rows to write, pushes to send */
  derive(before: State, after: State, now: number): Effect[];
  /** within the transaction: what else is stored with the state */
  onCommit?(before: State, after: State, now: number): void;
  afterCommit?(before: State, after: State): void;
  nextWakeAt(state: State): number | null;
  clock(state: State): Input;
  setAlarm(at: number | null): void;
  background(work: Promise<unknown>): void;
  now(): number;
  log: Log;
}

export interface Runner<State, Input> {
  state(): State;
  /** Decides and commits; what is owed starts before this returns. */
  dispatch(input: Input): State;
  /** For the constructor's end: performs what another life of the object left owed and due. */
  resume(): void;
  /** The alarm: tells the machine the time and performs what is due. */
  wake(): void;
  /** Sets the alarm anew after something other than a step moved a deadline. */
  schedule(): void;
  /** Resolves when the lane owes nothing more, or after `limitMs`. */
  settled(lane: string, limitMs: number): Promise<void>;
}

const afterBugMs = 60_000;

export function createRunner<State, Input, Effect>(parts: RunnerParts<State, Input, Effect>): Runner<State, Input> {
  const { store, log } = parts;
  let cached: State | undefined;
  /** lanes with an attempt under way, and when it counts as lost */
  const busy = new Map<string, number>();
  const waiters = new Set<{ lane: string; resolve: () => void }>();

  const state = (): State => {
    cached ??= store.loadState() ?? parts.initial;
    return cached;
  };

  function commit(input: Input, settle: () => void): State {
    const now = parts.now();
    const before = state();
    const { state: after, effects } = parts.step(before, input, now);
    const owed = [...effects, ...parts.derive(before, after, now)];
    store.transaction(() => {
      settle();
      if (after !== before) store.saveState(after);
      for (const effect of owed) {
        const { key, lane, delayMs } = parts.address(effect);
        store.owe({ key, lane, effect, dueAt: now + delayMs });
      }
      parts.onCommit?.(before, after, now);
    });
    cached = after;
    parts.afterCommit?.(before, after);
    return after;
  }

  function schedule(): void {
    const wakeAt = parts.nextWakeAt(state());
    // An attempt under way is looked at again soon, not at its limit: a process that is killed in it leaves this alarm behind.
    const lookAgainAt = parts.now() + deadlines.lookAgainMs;
    const times = store.lanes().map((row) => Math.max(row.dueAt, Math.min(busy.get(row.lane) ?? 0, lookAgainAt)));
    if (wakeAt !== null) times.push(wakeAt);
    parts.setAlarm(times.length === 0 ? null : Math.min(...times));
  }

  function drain(): void {
    const now = parts.now();
    for (const row of store.lanes()) {
      const lostAt = busy.get(row.lane);
      if (row.dueAt > now || (lostAt !== undefined && lostAt > now)) continue;
      busy.set(row.lane, now + parts.policy(row.effect).limitMs);
      parts.background(run(row));
    }
    schedule();
    for (const waiter of [...waiters]) if (!store.isOwed(waiter.lane)) waiter.resolve();
  }

  async function run(row: EffectRow<Effect>): Promise<void> {
    const { effect, lane } = row;
    const policy = parts.policy(effect);
    const outcome = parts.isWanted(state(), effect)
      ? await parts.perform(effect, state()).catch((error: unknown): Performed<Input> => {
          log.error("effect.threw", { key: row.key, error });
          return { retry: null, cause: "internal" };
        })
      : { done: null };
    busy.delete(lane);
    const forget = () => store.forget(row);
    if ("done" in outcome) {
      settle(outcome.done, forget);
    } else if (policy.tries !== null && row.tries + 1 >= policy.tries) {
      log.warn("effect.given_up", { key: row.key, tries: row.tries + 1, cause: outcome.cause });
      settle(outcome.retry, forget);
    } else {
      const fullMs = Math.min(policy.maxPauseMs, policy.firstPauseMs * 2 ** Math.min(row.tries, 20));
      // Objects that failed together do not come back together: keys that name a sandbox are another share of the pause each.
      const pauseMs = fullMs - jitterMs(`${row.key}:${row.tries}`, fullMs / 4);
      log.info("effect.retry", { key: row.key, tries: row.tries + 1, pauseMs, cause: outcome.cause });
      store.postpone(row, parts.now() + pauseMs);
    }
    drain();
  }

  function settle(input: Input | null, forget: () => void): void {
    if (input === null) store.transaction(forget);
    else commit(input, forget);
  }

  /** An alarm or constructor that throws is given up by the platform after a few tries; what is owed must outlive a bug of ours. */
  function outliveBug(event: string, work: () => void): void {
    try {
      work();
    } catch (error) {
      log.error(event, { error });
      parts.setAlarm(parts.now() + afterBugMs);
    }
  }

  return {
    state,
    dispatch(input) {
      const after = commit(input, () => {});
      drain();
      return after;
    },
    resume() {
      outliveBug("resume.threw", () => {
        // Most lives owe nothing: they only read one empty table.
        if (store.lanes().length > 0) drain();
      });
    },
    wake() {
      outliveBug("wake.threw", () => {
        commit(parts.clock(state()), () => {});
        drain();
      });
    },
    schedule,
    async settled(lane, limitMs) {
      if (!store.isOwed(lane)) return;
      const { promise, resolve } = Promise.withResolvers<void>();
      const waiter = { lane, resolve };
      waiters.add(waiter);
      const timer = setTimeout(resolve, limitMs);
      await promise;
      clearTimeout(timer);
      waiters.delete(waiter);
    },
  };
}

/** A write of ours that failed is tried again: D1 and the feed are ours to wait for. */
export async function untilWritten(work: () => Promise<void>): Promise<Performed<never>> {
  try {
    await work();
    return { done: null };
  } catch (error) {
    return { retry: null, cause: error instanceof Error ? error.message : String(error) };
  }
}
