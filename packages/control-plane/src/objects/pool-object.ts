/** One object per repository with settings for its sessions: a switchboard between requests, the alarm and the pure machine in `domain/warm-pool.ts`. */
import { DurableObject } from "cloudflare:workers";
import { type PoolView, type SessionSettings } from "@open-inspect/protocol";
import { createSessionSettings } from "../adapters/d1/session-settings.ts";
import { createSessions } from "../adapters/d1/sessions.ts";
import { createLog } from "../adapters/log.ts";
import { createEffectStore } from "../adapters/sqlite/effect-store.ts";
import { selectImage } from "../domain/image-selection.ts";
import { localHour } from "../domain/local-hour.ts";
import {
  emptyPool,
  isFilling,
  isPoolEffectWanted,
  nextMember,
  nextPoolWakeAt,
  type PoolEffect,
  type PoolInput,
  stepPool,
} from "../domain/warm-pool.ts";
import { type PoolSource, type PoolState, poolViewOf } from "../domain/warm-pool-state.ts";
import { type Env, readConfig } from "../env.ts";
import { syncRepositories } from "../repository-sync.ts";
import { setAlarm } from "./alarm.ts";
import { newAttempt, newId } from "./ids.ts";
import { performPoolEffect, poolAddress, poolPolicy, recordLane } from "./pool-effects.ts";
import { createRunner, type Runner } from "./runner.ts";

const now = () => Date.now();
/** how long an answer waits for its row to be in D1; it comes later if D1 is slow */
const settleMs = 1_000;

export class PoolObject extends DurableObject<Env> {
  private readonly log = createLog({ object: "pool", id: this.ctx.id.toString() });
  private readonly config = readConfig(this.env);

  private readonly runner: Runner<PoolState, PoolInput> = createRunner<PoolState, PoolInput, PoolEffect>({
    step: (state, input, at) => stepPool(state, input, at, () => newId("session", at)),
    initial: emptyPool,
    store: createEffectStore(this.ctx.storage, { state: (json) => JSON.parse(json), effect: (json) => JSON.parse(json) }),
    address: poolAddress,
    policy: poolPolicy,
    isWanted: isPoolEffectWanted,
    perform: (effect) =>
      performPoolEffect(effect, {
        create: (id, source, endsAt) => this.createMember(id, source, endsAt),
        stop: (id) => this.env.SESSIONS.getByName(id).release(),
        readSource: (scope) => this.readSource(scope),
        record: (scope, settings) => createSessionSettings(this.env.DB).save(scope, settings),
      }),
    derive: () => [],
    nextWakeAt: nextPoolWakeAt,
    clock: (state) => ({ type: "clock", hour: localHour(now(), state.settings.poolTimeZone) }),
    setAlarm: setAlarm(this.ctx),
    background: (work) => this.ctx.waitUntil(work),
    now,
    log: this.log,
  });

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.runner.resume();
  }

  async view(): Promise<PoolView> {
    const state = this.runner.state();
    return poolViewOf(state, isFilling(state));
  }

  async changeSettings(scope: string, settings: SessionSettings): Promise<PoolView> {
    this.runner.dispatch({ type: "settings", scope, settings, hour: localHour(now(), settings.poolTimeZone) });
    await this.runner.settled(recordLane, settleMs);
    return this.view();
  }

  /** The active image may be another one. */
  async imageChanged(scope: string): Promise<void> {
    this.runner.dispatch({ type: "source.changed", scope });
  }

  /** Gives one member of the default branch away: whoever asked claims it within `poolTakenMs`, or it is ended. null: there is none. */
  async take(branch: string): Promise<string | null> {
    const { source, scope } = this.runner.state();
    // Members are asked for by the default branch, which is another one by now.
    if (source && source.branch !== branch) this.runner.dispatch({ type: "source.changed", scope });
    const id = nextMember(this.runner.state(), branch);
    if (id !== null) this.runner.dispatch({ type: "take", id });
    return id;
  }

  /** Whoever took it looks after it from here on. */
  async handedOver(id: string): Promise<void> {
    this.runner.dispatch({ type: "member.claimed", id });
  }

  async memberReady(id: string): Promise<void> {
    this.runner.dispatch({ type: "member.ready", id });
  }

  /** @param problem why it failed, null when it was asked to end */
  async memberEnded(id: string, problem: string | null): Promise<void> {
    this.runner.dispatch({ type: "member.ended", id, problem });
  }

  override alarm(): void {
    this.runner.wake();
  }

  private async readSource(scope: string): Promise<Extract<PoolInput, { type: "source" }>["source"]> {
    const read = () => createSessions(this.env.DB).startFactsOf(scope, this.config.RUNTIME_FLOOR);
    let facts = await read();
    if (facts && facts.target.branch === null) {
      // It had no branch when the list was read; its first push may have come since.
      await syncRepositories(this.env, { force: true, background: (work) => this.ctx.waitUntil(work) });
      facts = await read();
    }
    if (!facts || facts.target.branch === null) return null;
    if (!facts.selection) throw new Error("the active image could not be read in time");
    const { owner, name, cloneUrl, installationId, branch } = facts.target;
    const selection = selectImage(facts.selection, branch, now());
    if (selection.kind === "cold") return { cold: selection.reason };
    const { history } = facts;
    return { repository: { owner, name, cloneUrl, installationId }, branch, image: selection.image, history };
  }

  private async createMember(id: string, source: PoolSource, endsAt: number): Promise<void> {
    const { MODELS, SESSION_START_LIMIT_MS } = this.config;
    const { repository, branch, image, history } = source;
    await this.env.SESSIONS.getByName(id).create(
      {
        id,
        repository,
        branch,
        isDefaultBranch: true,
        model: null,
        models: MODELS,
        title: "",
        author: null,
        parentId: null,
        reserved: { kind: "pool", until: endsAt },
        acceptedAt: now(),
        image,
        cold: null,
        history,
        attempts: [newAttempt(), newAttempt()],
        startLimitMs: SESSION_START_LIMIT_MS,
        idleStopMs: this.runner.state().settings.idleStopMinutes * 60_000,
      },
      null,
    );
  }
}
