/** Performs the effects of a session: its sandbox, its row in D1, pushes to the dashboard, the report of a missing image. Decides nothing. */
import { type BridgeDown, imageScopeOf, type SessionSummary } from "@open-inspect/protocol";
import { noHistory, type Sessions } from "../adapters/d1/sessions.ts";
import { deadlines } from "../domain/deadlines.ts";
import { selectImage } from "../domain/image-selection.ts";
import { type GitHub } from "../domain/ports.ts";
import { type SessionEffect, type SessionInput } from "../domain/session.ts";
import { type SessionState, type SessionWork } from "../domain/session-state.ts";
import { factsOf, type SessionFacts, summaryOf } from "../domain/session-views.ts";
import { type Config, type Env } from "../env.ts";
import { type Permission } from "../logins.ts";
import { syncRepositories } from "../repository-sync.ts";
import { performPullEffect, pullAddress, pullPolicies } from "./pull-effects.ts";
import { type EffectPolicy, type Performed, untilWritten } from "./runner.ts";
import { performSandboxEffect, type SandboxWorld, sandboxAddress, sandboxPolicies } from "./sandbox-effects.ts";

export type OwedSessionEffect =
  | SessionEffect
  | { type: "record.session"; session: SessionSummary; facts: SessionFacts }
  | { type: "publish"; session: SessionSummary }
  /** tells the warm pool that the sandbox belongs to how it is; `ended`: why it failed, null when it was asked to end */
  | { type: "pool.tell"; scope: string; id: string; news: "ready" | { ended: string | null } };

export const recordLane = "d1";

const sessionPolicies: Record<
  Exclude<OwedSessionEffect["type"], keyof typeof sandboxPolicies | keyof typeof pullPolicies>,
  EffectPolicy
> = {
  "bridge.shutdown": { tries: 1, firstPauseMs: 0, maxPauseMs: 0, limitMs: 5_000 },
  /** the socket may be away for a moment; a start that waits for it has a limit of its own */
  "bridge.sync": { tries: null, firstPauseMs: 250, maxPauseMs: 5_000, limitMs: 5_000 },
  "prompts.end": { tries: null, firstPauseMs: 1_000, maxPauseMs: 60_000, limitMs: 5_000 },
  /** as often as the session waits for it */
  snapshot: { tries: null, firstPauseMs: 2_000, maxPauseMs: 30_000, limitMs: deadlines.snapshotMs + 90_000 },
  "snapshot.delete": { tries: null, firstPauseMs: 1_000, maxPauseMs: 600_000, limitMs: 45_000 },
  "image.look_up": { tries: 3, firstPauseMs: 500, maxPauseMs: 2_000, limitMs: 10_000 },
  "image.report_missing": { tries: null, firstPauseMs: 1_000, maxPauseMs: 60_000, limitMs: 20_000 },
  "repositories.reread": { tries: 3, firstPauseMs: 1_000, maxPauseMs: 10_000, limitMs: 30_000 },
  "record.session": { tries: null, firstPauseMs: 200, maxPauseMs: 30_000, limitMs: 20_000 },
  publish: { tries: 3, firstPauseMs: 200, maxPauseMs: 2_000, limitMs: 10_000 },
  "pool.tell": { tries: null, firstPauseMs: 500, maxPauseMs: 60_000, limitMs: 20_000 },
};

export const sessionPolicy = (effect: OwedSessionEffect): EffectPolicy =>
  ({ ...sandboxPolicies, ...pullPolicies, ...sessionPolicies })[effect.type];

export function sessionAddress(effect: OwedSessionEffect): { key: string; lane: string; delayMs: number } {
  switch (effect.type) {
    case "bridge.shutdown":
      return { key: `shutdown:${effect.attempt}`, lane: "bridge", delayMs: 0 };
    case "bridge.sync":
      return { key: `sync:${effect.attempt}`, lane: "sync", delayMs: 0 };
    case "prompts.end":
      return { key: `prompts:${effect.attempt}:${effect.which}`, lane: "prompts", delayMs: 0 };
    case "snapshot":
      return { key: `snapshot:${effect.attempt}`, lane: `sandbox:${effect.attempt}`, delayMs: effect.afterMs ?? 0 };
    case "snapshot.delete":
      return { key: `delete:${effect.providerImageId}`, lane: `delete:${effect.providerImageId}`, delayMs: 0 };
    case "image.look_up":
      return { key: "look_up", lane: "look_up", delayMs: 0 };
    case "image.report_missing":
      return { key: `missing:${effect.imageId}`, lane: "missing", delayMs: 0 };
    case "repositories.reread":
      return { key: "reread", lane: "reread", delayMs: 0 };
    case "bridge.push":
    case "pull.open":
    case "pull.read":
      return pullAddress(effect);
    case "record.session":
      return { key: "session", lane: recordLane, delayMs: 0 };
    case "publish":
      return { key: "publish", lane: "feed", delayMs: 0 };
    case "pool.tell":
      return { key: "pool", lane: "pool", delayMs: 0 };
    default:
      return sandboxAddress(effect);
  }
}

export function deriveSessionRecords(before: SessionState | null, after: SessionState | null): OwedSessionEffect[] {
  if (!after || before === after) return [];
  const session = summaryOf(after);
  const facts = factsOf(after);
  const isSeen = !before || differs(summaryOf(before), session) || before.reserved !== after.reserved;
  // The version alone is nothing that anybody reads.
  if (before && !isSeen && !differs({ ...factsOf(before), version: 0 }, { ...facts, version: 0 })) return [];
  const records: OwedSessionEffect[] = [{ type: "record.session", session, facts }, ...poolNews(before, after)];
  return isSeen && !after.reserved ? [...records, { type: "publish", session }] : records;
}

function poolNews(before: SessionState | null, { id, repository, reserved, stage }: SessionState): OwedSessionEffect[] {
  if (reserved?.kind !== "pool" || before?.stage.at === stage.at) return [];
  const scope = imageScopeOf(repository);
  if (stage.at === "ready") return [{ type: "pool.tell", scope, id, news: "ready" }];
  if (stage.at !== "ended") return [];
  return [{ type: "pool.tell", scope, id, news: { ended: stage.failure?.message ?? null } }];
}

const differs = (a: object, b: object): boolean => JSON.stringify(a) !== JSON.stringify(b);

export interface SessionWorld extends SandboxWorld {
  env: Env;
  sessions: Sessions;
  github: GitHub;
  tokenOf(githubId: number): Promise<Permission>;
  shutdown(attempt: string, reason: string): void;
  /** false: there is no socket at the moment */
  send(attempt: string, message: BridgeDown): boolean;
  /** false: there is no socket at the moment */
  sync(attempt: string, branch: string): boolean;
  /** Ends prompts as the effect says, tells the runtime to leave the one that it has in hand, and answers what is left. */
  endPrompts(effect: Extract<SessionEffect, { type: "prompts.end" }>): SessionWork;
}

export async function performSessionEffect(
  effect: OwedSessionEffect,
  state: SessionState | null,
  world: SessionWorld,
): Promise<Performed<SessionInput>> {
  switch (effect.type) {
    case "prompts.end":
      return { done: { type: "work", work: world.endPrompts(effect) } };
    case "bridge.push":
    case "pull.open":
    case "pull.read":
      return state ? performPullEffect(effect, { ...world, repository: state.repository }) : { done: null };
    case "bridge.sync":
      return world.sync(effect.attempt, effect.branch) ? { done: null } : { retry: null, cause: "no socket" };
    case "snapshot":
      return takeSnapshot(effect, world);
    case "snapshot.delete": {
      const result = await world.dataPlane.deleteImage(effect.providerImageId);
      if (result.ok || result.error.kind === "not_found") return { done: null };
      return { retry: null, cause: result.error.code };
    }
    case "image.look_up":
      return lookUpImage(effect.serial, state, world);
    case "bridge.shutdown":
      world.shutdown(effect.attempt, effect.reason);
      return { done: null };
    case "image.report_missing":
      return untilWritten(() => world.env.IMAGES.getByName(effect.scope).reportMissing(effect.imageId, effect.cause));
    case "repositories.reread":
      return untilWritten(() => syncRepositories(world.env, { force: true, background: () => {} }));
    case "record.session":
      return untilWritten(() => world.sessions.save(effect.session, effect.facts));
    case "pool.tell": {
      const pool = world.env.POOLS.getByName(effect.scope);
      const { id, news } = effect;
      return untilWritten(() => (news === "ready" ? pool.memberReady(id) : pool.memberEnded(id, news.ended)));
    }
    case "publish":
      return untilWritten(() => world.env.FEED.getByName("feed").publish({ type: "session", session: effect.session }));
    default: {
      const refusal = refusalOf(effect, state, world.config);
      return refusal ? { done: refusal } : performSandboxEffect(effect, world);
    }
  }
}

/** A floor that was raised holds for the sessions' own snapshots, too: they hold the runtime that made them. */
function refusalOf(
  effect: OwedSessionEffect,
  state: SessionState | null,
  { RUNTIME_FLOOR }: Config,
): Extract<SessionInput, { type: "snapshot.refused" }> | null {
  if (effect.type !== "sandbox.create" || state?.from !== "snapshot" || effect.attempt !== state.attempt) return null;
  if ((state.snapshot?.runtimeRevision ?? RUNTIME_FLOOR) >= RUNTIME_FLOOR) return null;
  const reason = "The session's own snapshot holds a runtime that is not used any more.";
  return { type: "snapshot.refused", attempt: effect.attempt, reason };
}

/** Its end at the provider is counted from before the call. */
async function takeSnapshot(
  { attempt, sandboxId }: Extract<SessionEffect, { type: "snapshot" }>,
  { dataPlane }: SessionWorld,
): Promise<Performed<SessionInput>> {
  const ttlMs = deadlines.sessionSnapshotTtlMs;
  const expiresAt = Date.now() + ttlMs;
  const result = await dataPlane.snapshotSandbox(sandboxId, { timeoutMs: deadlines.snapshotMs, ttlMs });
  if (result.ok) return { done: { type: "snapshot.taken", attempt, expiresAt, ...result.value } };
  const input = { type: "snapshot.failed", attempt, failure: result.error } as const;
  return result.error.kind === "transient" ? { retry: input, cause: result.error.code } : { done: input };
}

/** A database that does not answer costs the image, not the start. */
async function lookUpImage(
  serial: number,
  state: SessionState | null,
  { sessions, config }: SessionWorld,
): Promise<Performed<SessionInput>> {
  const unknown = { kind: "cold", reason: "lookup_failed" } as const;
  if (!state) return { done: null };
  try {
    const facts = await sessions.startFacts(state.repository, config.RUNTIME_FLOOR);
    const selection = facts ? selectImage(facts.selection, state.branch, Date.now()) : unknown;
    return { done: { type: "image.looked_up", serial, selection, history: facts?.history ?? noHistory } };
  } catch (error) {
    const cause = error instanceof Error ? error.message : String(error);
    return { retry: { type: "image.looked_up", serial, selection: unknown, history: state.history }, cause };
  }
}
