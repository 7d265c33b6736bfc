/** Performs the effects of a session: its sandbox, its row in D1, pushes to the dashboard, the report of a missing image. Decides nothing. */
import { type SessionSummary } from "@open-inspect/protocol";
import { type Sessions } from "../adapters/d1/sessions.ts";
import { type SessionEffect, type SessionInput } from "../domain/session.ts";
import { factsOf, type SessionFacts, type SessionState, summaryOf } from "../domain/session-state.ts";
import { type Env } from "../env.ts";
import { syncRepositories } from "../repository-sync.ts";
import { type EffectPolicy, type Performed, untilWritten } from "./runner.ts";
import { performSandboxEffect, type SandboxWorld, sandboxAddress, sandboxPolicies } from "./sandbox-effects.ts";

export type OwedSessionEffect =
  | SessionEffect
  | { type: "record.session"; session: SessionSummary; facts: SessionFacts }
  | { type: "publish"; session: SessionSummary };

export const recordLane = "d1";

const sessionPolicies: Record<Exclude<OwedSessionEffect["type"], keyof typeof sandboxPolicies>, EffectPolicy> = {
  "bridge.shutdown": { tries: 1, firstPauseMs: 0, maxPauseMs: 0, limitMs: 5_000 },
  "image.report_missing": { tries: null, firstPauseMs: 1_000, maxPauseMs: 60_000, limitMs: 20_000 },
  "repositories.reread": { tries: 3, firstPauseMs: 1_000, maxPauseMs: 10_000, limitMs: 30_000 },
  "record.session": { tries: null, firstPauseMs: 200, maxPauseMs: 30_000, limitMs: 20_000 },
  publish: { tries: 3, firstPauseMs: 200, maxPauseMs: 2_000, limitMs: 10_000 },
};

export const sessionPolicy = (effect: OwedSessionEffect): EffectPolicy =>
  ({ ...sandboxPolicies, ...sessionPolicies })[effect.type];

export function sessionAddress(effect: OwedSessionEffect): { key: string; lane: string; delayMs: number } {
  switch (effect.type) {
    case "bridge.shutdown":
      return { key: `shutdown:${effect.attempt}`, lane: "bridge", delayMs: 0 };
    case "image.report_missing":
      return { key: `missing:${effect.imageId}`, lane: "missing", delayMs: 0 };
    case "repositories.reread":
      return { key: "reread", lane: "reread", delayMs: 0 };
    case "record.session":
      return { key: "session", lane: recordLane, delayMs: 0 };
    case "publish":
      return { key: "publish", lane: "feed", delayMs: 0 };
    default:
      return sandboxAddress(effect);
  }
}

export function deriveSessionRecords(before: SessionState | null, after: SessionState | null): OwedSessionEffect[] {
  if (!after || before === after) return [];
  const session = summaryOf(after);
  const facts = factsOf(after);
  const isSeen = !before || differs(summaryOf(before), session);
  if (!isSeen && !differs(factsOf(before), facts)) return [];
  const record: OwedSessionEffect = { type: "record.session", session, facts };
  return isSeen ? [record, { type: "publish", session }] : [record];
}

const differs = (a: object, b: object): boolean => JSON.stringify(a) !== JSON.stringify(b);

export interface SessionWorld extends SandboxWorld {
  env: Env;
  sessions: Sessions;
  shutdown(attempt: string, reason: string): void;
}

export async function performSessionEffect(effect: OwedSessionEffect, world: SessionWorld): Promise<Performed<SessionInput>> {
  switch (effect.type) {
    case "bridge.shutdown":
      world.shutdown(effect.attempt, effect.reason);
      return { done: null };
    case "image.report_missing":
      return untilWritten(() => world.env.IMAGES.getByName(effect.scope).reportMissing(effect.imageId, effect.cause));
    case "repositories.reread":
      return untilWritten(() => syncRepositories(world.env, { force: true, background: () => {} }));
    case "record.session":
      return untilWritten(() => world.sessions.save(effect.session, effect.facts));
    case "publish":
      return untilWritten(() => world.env.FEED.getByName("feed").publish({ type: "session", session: effect.session }));
    default:
      return performSandboxEffect(effect, world);
  }
}
