/**
 * A repository's warm pool: how many sandboxes stand ready from its active image, which one is given away, which are replaced.
 * `step(state, input, now) → { state, effects }`. Pure: it knows members by their session's id and nothing of how they are started or ended.
 */
import { type ColdReasonCode, defaultSessionSettings, type SessionSettings } from "@open-inspect/protocol";
import { deadlines, limits } from "./deadlines.ts";
import { type LocalHour } from "./local-hour.ts";
import { isOpen, type PoolMember, type PoolSource, type PoolState } from "./warm-pool-state.ts";

export type PoolInput =
  | { type: "settings"; scope: string; settings: SessionSettings; hour: LocalHour }
  /** the active image may be another one: look */
  | { type: "source.changed"; scope: string }
  /** what a look found; `ask`: which one */
  | { type: "source"; ask: number; source: PoolSource | { cold: ColdReasonCode } | null }
  /** a session takes the member that `nextMember` names */
  | { type: "take"; id: string }
  | { type: "member.ready"; id: string }
  /** it belongs to a session, or to somebody who types */
  | { type: "member.claimed"; id: string }
  /** it could not be asked for, or the answer was lost */
  | { type: "member.create_failed"; id: string; problem: string }
  /** it ended by itself. `problem`: why, null when it was asked to */
  | { type: "member.ended"; id: string; problem: string | null }
  /** it is over, whatever it was */
  | { type: "member.stopped"; id: string }
  | { type: "clock"; hour: LocalHour };

export type PoolEffect =
  | { type: "member.create"; id: string; source: PoolSource; endsAt: number }
  /** ends it unless somebody has it */
  | { type: "member.stop"; id: string }
  | { type: "source.read"; scope: string; ask: number }
  | { type: "settings.record"; scope: string; settings: SessionSettings };

export interface PoolStep {
  state: PoolState;
  effects: PoolEffect[];
}

export const emptyPool: PoolState = {
  scope: "",
  settings: defaultSessionSettings,
  hour: { hour: 0, endsAt: 0 },
  ask: 0,
  source: null,
  cold: null,
  members: [],
  failures: 0,
  retryAt: 0,
  problem: null,
};

/** How many may stand ready now. */
export const targetOf = (state: PoolState): number => (state.source && isOpen(state) ? state.settings.poolSize : 0);

/** The member that a session gets: a ready one before one that starts, the oldest first; null when there is none for the branch. */
export function nextMember({ members, source }: PoolState, branch: string): string | null {
  if (source?.branch !== branch) return null;
  const free = members.filter((one) => one.at === "ready" || one.at === "starting");
  return (free.find((one) => one.at === "ready") ?? free[0])?.id ?? null;
}

export const isFilling = ({ failures }: PoolState): boolean => failures < limits.poolFillTries;

export function nextPoolWakeAt(state: PoolState): number | null {
  const times = state.members.flatMap((one) => {
    if (one.at === "ending") return [];
    return one.at === "taken" ? [one.until] : [one.since + deadlines.poolMemberMs];
  });
  if (state.settings.poolSize > 0) {
    times.push(state.hour.endsAt);
    if (standing(state).length < targetOf(state) && isFilling(state) && state.failures > 0) times.push(state.retryAt);
  }
  return times.length === 0 ? null : Math.min(...times);
}

export function isPoolEffectWanted(state: PoolState, effect: PoolEffect): boolean {
  switch (effect.type) {
    case "member.create":
      return state.members.some((one) => one.id === effect.id && one.at === "starting");
    case "source.read":
      return effect.ask === state.ask;
    case "member.stop":
    case "settings.record":
      return true;
  }
}

/** @param newMember makes the id of a session */
export function stepPool(state: PoolState, input: PoolInput, now: number, newMember: () => string): PoolStep {
  const { state: next, effects } = apply(state, input, now);
  const settled = fill(drain(next, now), now, newMember);
  return { state: settled.state, effects: [...effects, ...settled.effects] };
}

function apply(state: PoolState, input: PoolInput, now: number): PoolStep {
  const stay = (next: PoolState = state, effects: PoolEffect[] = []): PoolStep => ({ state: next, effects });
  switch (input.type) {
    case "settings": {
      const { scope, settings, hour } = input;
      const next = { ...state, scope, settings, hour, ...unharmed };
      return look(next, [{ type: "settings.record", scope, settings }]);
    }
    case "source.changed":
      return state.settings.poolSize > 0 ? look({ ...state, scope: input.scope }) : stay();
    case "source": {
      if (input.ask !== state.ask) return stay();
      const source = input.source && !("cold" in input.source) ? input.source : null;
      const cold = input.source && "cold" in input.source ? input.source.cold : null;
      const isSame = source?.image.id === state.source?.image.id;
      return stay({ ...state, source, cold, ...(isSame ? {} : unharmed) });
    }
    case "take":
      return stay(
        change(state, input.id, (one) =>
          isFree(one) ? { id: one.id, imageId: one.imageId, at: "taken", until: now + deadlines.poolTakenMs } : one,
        ),
      );
    case "member.ready":
      if (!state.members.some((one) => one.id === input.id && one.at === "starting")) return stay();
      return stay({ ...change(state, input.id, (one) => (one.at === "starting" ? { ...one, at: "ready" } : one)), ...unharmed });
    case "member.claimed":
    case "member.stopped":
      return stay(without(state, input.id));
    case "member.create_failed": {
      const isAwaited = state.members.some((one) => one.id === input.id && one.at === "starting");
      if (!isAwaited) return stay();
      const ending = change(state, input.id, ({ id, imageId }) => ({ id, imageId, at: "ending" }));
      return stay(harmed(ending, input.problem, now), [{ type: "member.stop", id: input.id }]);
    }
    case "member.ended": {
      const member = state.members.find((one) => one.id === input.id);
      if (!member) return stay();
      const rest = without(state, member.id);
      return stay(isFree(member) && input.problem !== null ? harmed(rest, input.problem, now) : rest);
    }
    case "clock":
      // What is known of the image is read again with each hour: whoever should have told may have been down for long.
      return input.hour.endsAt > state.hour.endsAt && state.settings.poolSize > 0
        ? look({ ...state, hour: input.hour })
        : stay({ ...state, hour: input.hour });
  }
}

const unharmed = { failures: 0, retryAt: 0, problem: null } as const;

function harmed(state: PoolState, problem: string, now: number): PoolState {
  const pauseMs = Math.min(deadlines.poolRetryMaxMs, deadlines.poolRetryFirstMs * 2 ** Math.min(state.failures, 20));
  return { ...state, failures: state.failures + 1, retryAt: now + pauseMs, problem };
}

function look(state: PoolState, effects: PoolEffect[] = []): PoolStep {
  const ask = state.ask + 1;
  const isWanted = state.settings.poolSize > 0;
  // Without a pool nothing of the image is to be known.
  const next = { ...state, ask, ...(isWanted ? {} : { source: null, cold: null }) };
  return { state: next, effects: isWanted ? [...effects, { type: "source.read", scope: state.scope, ask }] : effects };
}

const isFree = (one: PoolMember): one is Extract<PoolMember, { at: "starting" | "ready" }> =>
  one.at === "starting" || one.at === "ready";
const standing = (state: PoolState) => state.members.filter(isFree);

const change = (state: PoolState, id: string, to: (one: PoolMember) => PoolMember): PoolState => ({
  ...state,
  members: state.members.map((one) => (one.id === id ? to(one) : one)),
});
const without = (state: PoolState, id: string): PoolState => ({
  ...state,
  members: state.members.filter((one) => one.id !== id),
});

/** Ends what is of another image, too old, too much, or was taken and never claimed. */
function drain(state: PoolState, now: number): PoolStep {
  const fit = standing(state).filter((one) => one.imageId === state.source?.image.id && one.since + deadlines.poolMemberMs > now);
  // Ready ones are worth more than those that start, and older ones have not long to live.
  const best = fit.toSorted((a, b) => Number(a.at === "starting") - Number(b.at === "starting") || b.since - a.since);
  const kept = new Set(best.slice(0, targetOf(state)).map((one) => one.id));
  const isOver = (one: PoolMember): boolean => (one.at === "taken" ? one.until <= now : isFree(one) && !kept.has(one.id));
  const over = state.members.filter(isOver);
  if (over.length === 0) return { state, effects: [] };
  const members = state.members.map((one): PoolMember => {
    return isOver(one) ? { id: one.id, imageId: one.imageId, at: "ending" } : one;
  });
  return { state: { ...state, members }, effects: over.map(({ id }) => ({ type: "member.stop", id })) };
}

function fill({ state, effects }: PoolStep, now: number, newMember: () => string): PoolStep {
  const { source } = state;
  if (!source || !isFilling(state) || now < state.retryAt) return { state, effects };
  const free = standing(state);
  const starting = free.filter((one) => one.at === "starting").length;
  // After a failure one at a time shows whether it works again.
  const atOnce = state.failures > 0 ? Math.max(0, 1 - starting) : targetOf(state);
  const wanted = Math.min(targetOf(state) - free.length, atOnce, limits.poolMembers - state.members.length);
  if (wanted <= 0) return { state, effects };
  const fresh = Array.from({ length: wanted }, (): PoolMember & { at: "starting" } => ({
    id: newMember(),
    imageId: source.image.id,
    at: "starting",
    since: now,
  }));
  const endsAt = now + deadlines.poolMemberMs + deadlines.poolTakenMs;
  return {
    state: { ...state, members: [...state.members, ...fresh] },
    effects: [...effects, ...fresh.map(({ id }): PoolEffect => ({ type: "member.create", id, source, endsAt }))],
  };
}
