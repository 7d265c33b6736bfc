/** One object for the installation: how many builds run at once and who is next. The order is decided in `domain/build-slots.ts`. */
import { DurableObject } from "cloudflare:workers";
import { type BuildTrigger } from "@open-inspect/protocol";
import { createLog } from "../adapters/log.ts";
import { createSlotStore, type Slot } from "../adapters/sqlite/slot-store.ts";
import { chooseNext, jitterMs, rankOf } from "../domain/build-slots.ts";
import { deadlines } from "../domain/deadlines.ts";
import { type Env, readConfig } from "../env.ts";

export interface SlotRequest {
  buildId: string;
  scope: string;
  owner: string;
  trigger: BuildTrigger;
  /** the image that serves meanwhile has a runtime that is not used any more */
  belowFloor?: boolean;
}

/** builds that are told at once that they may begin */
const tellAtOnce = 50;

export class BuildSlotsObject extends DurableObject<Env> {
  private readonly log = createLog({ object: "build-slots" });
  private readonly config = readConfig(this.env);
  private readonly slots = createSlotStore(this.ctx.storage.sql);
  private telling = new Set<string>();

  /** Safe to repeat: a build that waits keeps its place, one that has its slot is told again. */
  async request({ buildId, scope, owner, trigger, belowFloor = false }: SlotRequest): Promise<void> {
    const spreadMs = trigger === "schedule" && !belowFloor ? this.config.TICK_JITTER_MS : 0;
    const notBefore = Date.now() + jitterMs(scope, spreadMs);
    this.slots.add({ buildId, scope, owner, rank: rankOf(trigger, belowFloor), notBefore });
    const waiting = this.slots.waiting(buildId);
    if (waiting) this.log.info("slot.asked", { ...waiting });
    this.advance();
  }

  /** Safe to repeat, also for a build that never asked. */
  async release(buildId: string): Promise<void> {
    this.giveBack(buildId);
    this.advance();
  }

  /** What runs and what waits, for the operator and for tests. */
  async counts(): Promise<{ running: number; waiting: number }> {
    return this.slots.counts();
  }

  override alarm(): void {
    this.advance();
  }

  /** Gives free slots away, tells those who got one, and sees to be woken while anything is left to do. */
  private advance(): void {
    const now = Date.now();
    const { BUILDS_AT_ONCE, BUILDS_AT_ONCE_PER_OWNER } = this.config;
    this.slots.expire(now - deadlines.slotLifeMs);
    for (;;) {
      const caps = { total: BUILDS_AT_ONCE, perOwner: BUILDS_AT_ONCE_PER_OWNER };
      const next = chooseNext(this.slots.firsts(now), this.slots.running(), caps);
      if (!next) break;
      this.slots.grant(next.buildId, now);
      this.log.info("slot.granted", { buildId: next.buildId, at: now, waitedMs: now - next.dueAt });
    }
    for (const slot of this.slots.untold(tellAtOnce)) {
      if (this.telling.has(slot.buildId)) continue;
      this.telling.add(slot.buildId);
      this.ctx.waitUntil(this.tell(slot));
    }
    this.watch(now);
  }

  private giveBack(buildId: string): void {
    if (this.slots.remove(buildId)) this.log.info("slot.freed", { buildId });
  }

  private async tell({ buildId, scope }: Slot): Promise<void> {
    try {
      const taken = await this.env.IMAGES.getByName(scope).slotGranted(buildId);
      if (taken) this.slots.told(buildId);
      else this.giveBack(buildId);
    } catch (error) {
      this.log.warn("slot.not_told", { buildId, error });
      this.telling.delete(buildId);
      return;
    }
    this.telling.delete(buildId);
    this.advance();
  }

  private watch(now: number): void {
    const untold = this.slots.untold(1).length > 0 ? now + deadlines.slotTellAgainMs : null;
    const oldest = this.slots.oldestGrant();
    const expiry = oldest === null ? null : oldest + deadlines.slotLifeMs;
    const times = [untold, this.slots.nextAt(now), expiry].filter((time) => time !== null);
    if (times.length === 0) void this.ctx.storage.deleteAlarm();
    else void this.ctx.storage.setAlarm(Math.max(now + 1, Math.min(...times)));
  }
}
