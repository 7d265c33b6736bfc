/** Performs the effects of a warm pool: its members' sessions, its look at the active image, its row of settings. Decides nothing. */
import { type SessionSettings } from "@open-inspect/protocol";
import { type PoolEffect, type PoolInput } from "../domain/warm-pool.ts";
import { type PoolSource } from "../domain/warm-pool-state.ts";
import { type EffectPolicy, type Performed, untilWritten } from "./runner.ts";

export const recordLane = "d1";

const policies: Record<PoolEffect["type"], EffectPolicy> = {
  "member.create": { tries: 4, firstPauseMs: 500, maxPauseMs: 5_000, limitMs: 20_000 },
  "member.stop": { tries: null, firstPauseMs: 1_000, maxPauseMs: 60_000, limitMs: 20_000 },
  "source.read": { tries: null, firstPauseMs: 1_000, maxPauseMs: 60_000, limitMs: 20_000 },
  "settings.record": { tries: null, firstPauseMs: 200, maxPauseMs: 30_000, limitMs: 20_000 },
};
export const poolPolicy = (effect: PoolEffect): EffectPolicy => policies[effect.type];

export function poolAddress(effect: PoolEffect): { key: string; lane: string; delayMs: number } {
  switch (effect.type) {
    case "member.create":
    case "member.stop":
      // In one lane: what was asked for is ended after it was asked for.
      return { key: `${effect.type}:${effect.id}`, lane: `member:${effect.id}`, delayMs: 0 };
    case "source.read":
      return { key: "source", lane: "source", delayMs: 0 };
    case "settings.record":
      return { key: "settings", lane: recordLane, delayMs: 0 };
  }
}

export interface PoolWorld {
  /** begins the session of a member; safe to repeat */
  create(id: string, source: PoolSource, endsAt: number): Promise<void>;
  /** ends it unless somebody has it; safe to repeat, also for one that never was */
  stop(id: string): Promise<unknown>;
  /** @throws when it cannot be read now */
  readSource(scope: string): Promise<Extract<PoolInput, { type: "source" }>["source"]>;
  record(scope: string, settings: SessionSettings): Promise<void>;
}

export async function performPoolEffect(effect: PoolEffect, world: PoolWorld): Promise<Performed<PoolInput>> {
  switch (effect.type) {
    case "member.create":
      try {
        await world.create(effect.id, effect.source, effect.endsAt);
        return { done: null };
      } catch (error) {
        const cause = causeOf(error);
        const problem = `A sandbox could not be asked for: ${cause}.`;
        return { retry: { type: "member.create_failed", id: effect.id, problem }, cause };
      }
    case "member.stop":
      try {
        await world.stop(effect.id);
        return { done: { type: "member.stopped", id: effect.id } };
      } catch (error) {
        return { retry: null, cause: causeOf(error) };
      }
    case "source.read":
      try {
        return { done: { type: "source", ask: effect.ask, source: await world.readSource(effect.scope) } };
      } catch (error) {
        return { retry: null, cause: causeOf(error) };
      }
    case "settings.record":
      return untilWritten(() => world.record(effect.scope, effect.settings));
  }
}

const causeOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
