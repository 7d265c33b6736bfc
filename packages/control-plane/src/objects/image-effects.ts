/** Performs the effects of an image scope: sandboxes, the snapshot, rows of D1, pushes to the dashboard. Decides nothing. */
import { type ImageRows } from "../adapters/d1/image-rows.ts";
import { type Notifier } from "../adapters/notifier.ts";
import { deadlines } from "../domain/deadlines.ts";
import { type ImageEffect, type ImageInput } from "../domain/image-messages.ts";
import { type ImageRecord } from "../domain/image-records.ts";
import { type BuildSlotsObject } from "./build-slots-object.ts";
import { type FeedObject } from "./feed-object.ts";
import { type EffectPolicy, type Performed, untilWritten } from "./runner.ts";
import { performSandboxEffect, type SandboxWorld, sandboxAddress, sandboxPolicies } from "./sandbox-effects.ts";

export type OwedImageEffect = ImageEffect | ImageRecord;

/** Writes to D1 keep their order. */
export const recordLane = "d1";
const record: EffectPolicy = { tries: null, firstPauseMs: 200, maxPauseMs: 30_000, limitMs: 20_000 };

const imagePolicies: Record<Exclude<OwedImageEffect["type"], keyof typeof sandboxPolicies>, EffectPolicy> = {
  "slot.request": record,
  "slot.release": record,
  "build.plan": { tries: 6, firstPauseMs: 1_000, maxPauseMs: 15_000, limitMs: 30_000 },
  snapshot: { tries: 3, firstPauseMs: 2_000, maxPauseMs: 10_000, limitMs: deadlines.snapshotMs + 90_000 },
  "image.activate": record,
  "image.serve": record,
  "image.bar": record,
  "image.pin": record,
  "image.unpin": record,
  "image.retire": record,
  "image.delete": { tries: null, firstPauseMs: 5_000, maxPauseMs: 600_000, limitMs: 60_000 },
  // About three quarters of an hour; a target that is away for longer shows its failure in the list.
  notify: { tries: 10, firstPauseMs: 5_000, maxPauseMs: 1_800_000, limitMs: 90_000 },
  "record.scope": record,
  "record.build": record,
  publish: { tries: 3, firstPauseMs: 200, maxPauseMs: 2_000, limitMs: 10_000 },
  "pool.tell": record,
};

const policies: Record<OwedImageEffect["type"], EffectPolicy> = { ...sandboxPolicies, ...imagePolicies };
export const imagePolicy = (effect: OwedImageEffect): EffectPolicy => policies[effect.type];

export function imageAddress(effect: OwedImageEffect): { key: string; lane: string; delayMs: number } {
  switch (effect.type) {
    case "slot.request":
    case "slot.release":
      return { key: `${effect.type}:${effect.buildId}`, lane: `slot:${effect.buildId}`, delayMs: 0 };
    case "build.plan":
      return { key: `plan:${effect.buildId}`, lane: `plan:${effect.buildId}`, delayMs: 0 };
    case "snapshot":
      return { key: `snapshot:${effect.attempt}`, lane: `sandbox:${effect.attempt}`, delayMs: 0 };
    case "image.activate":
      return { key: `activate:${effect.image.id}`, lane: recordLane, delayMs: 0 };
    case "image.serve":
      return { key: "serve", lane: recordLane, delayMs: 0 };
    case "image.bar":
      return { key: "bar", lane: recordLane, delayMs: 0 };
    case "image.pin":
      return { key: "pin", lane: recordLane, delayMs: 0 };
    case "image.unpin":
      return { key: "unpin", lane: recordLane, delayMs: 0 };
    case "image.retire":
      return { key: `retire:${effect.imageId}`, lane: recordLane, delayMs: 0 };
    case "image.delete":
      return { key: `delete:${effect.providerImageId}`, lane: `delete:${effect.providerImageId}`, delayMs: 0 };
    case "notify":
      return { key: `notify:${effect.notice.id}`, lane: `notify:${effect.notice.id}`, delayMs: 0 };
    case "record.scope":
      return { key: "scope", lane: recordLane, delayMs: 0 };
    case "record.build":
      return { key: `build:${effect.build.id}`, lane: recordLane, delayMs: 0 };
    case "publish":
      return { key: "publish", lane: "feed", delayMs: 0 };
    case "pool.tell":
      // Behind the write of the active image: the pool reads it from there.
      return { key: "pool", lane: recordLane, delayMs: 0 };
    default:
      return sandboxAddress(effect);
  }
}

export interface ImageWorld extends SandboxWorld {
  rows: ImageRows;
  feed: DurableObjectStub<FeedObject>;
  slots: DurableObjectStub<BuildSlotsObject>;
  /** tells the scope's warm pool, where it has one, that the active image may be another one */
  tellPool(scope: string): Promise<void>;
  notifier: Notifier;
  /** resolves when the rows that are owed are written, or after a while */
  recorded(): Promise<void>;
  now(): number;
}

export async function performImageEffect(effect: OwedImageEffect, world: ImageWorld): Promise<Performed<ImageInput>> {
  const { rows, dataPlane } = world;
  switch (effect.type) {
    case "slot.request": {
      const { buildId, scope, owner, trigger, servingRevision } = effect;
      const belowFloor = servingRevision !== null && servingRevision < world.config.RUNTIME_FLOOR;
      return untilWritten(() => world.slots.request({ buildId, scope, owner, trigger, belowFloor }));
    }
    case "slot.release":
      return untilWritten(() => world.slots.release(effect.buildId));
    case "build.plan": {
      const { buildId } = effect;
      const result = await dataPlane.health();
      if (result.ok) {
        const { base, runtimeVersion } = result.value;
        const ground = { base: base.ready ? base.providerImageId : null, runtimeVersion, secretsVersion: 0 };
        return { done: { type: "build.planned", buildId, ground } };
      }
      const input = { type: "build.plan_failed", buildId, failure: result.error } as const;
      return result.error.kind === "transient" ? { retry: input, cause: result.error.code } : { done: input };
    }
    case "snapshot": {
      const { attempt } = effect;
      const result = await dataPlane.snapshotSandbox(effect.sandboxId, {
        timeoutMs: deadlines.snapshotMs,
        ttlMs: deadlines.imageTtlMs,
      });
      if (result.ok) return { done: { type: "snapshot.taken", attempt, ...result.value } };
      const input = { type: "snapshot.failed", attempt, failure: result.error } as const;
      return result.error.kind === "transient" ? { retry: input, cause: result.error.code } : { done: input };
    }
    case "image.activate": {
      const { image, order, serve } = effect;
      let activated = false;
      const outcome = await untilWritten(async () => {
        activated = await rows.activate(image, order, serve);
      });
      return "done" in outcome ? { done: { type: "image.activated", imageId: image.id, activated } } : outcome;
    }
    case "image.serve":
      return untilWritten(() => rows.serve(effect.imageId));
    case "image.bar":
      return untilWritten(() => rows.bar(effect.order));
    case "image.pin":
      return untilWritten(() => rows.pin(effect.pin, effect.order));
    case "image.unpin":
      return untilWritten(() => rows.unpin());
    case "image.retire":
      return untilWritten(() => rows.retire(effect.imageId, effect.cause, world.now()));
    case "image.delete": {
      const { imageId } = effect;
      try {
        if (imageId !== null && (await rows.runningSessions(imageId)) > 0) return { retry: null, cause: "sessions came from it" };
      } catch (error) {
        return { retry: null, cause: error instanceof Error ? error.message : String(error) };
      }
      const result = await dataPlane.deleteImage(effect.providerImageId);
      if (!result.ok && result.error.kind !== "not_found") return { retry: null, cause: result.error.code };
      return imageId === null ? { done: null } : untilWritten(() => rows.markDeleted(imageId, world.now()));
    }
    case "notify":
      try {
        return (await world.notifier.tell(effect.notice)) ? { done: null } : { retry: null, cause: "a target was not reached" };
      } catch (error) {
        return { retry: null, cause: error instanceof Error ? error.message : String(error) };
      }
    case "record.scope":
      return untilWritten(() => rows.saveScope(effect.row));
    case "record.build":
      return untilWritten(() => rows.saveBuild(effect.build));
    case "publish":
      return untilWritten(async () => {
        // What is pushed is what the database has.
        await world.recorded();
        const repository = await rows.view();
        if (repository) await world.feed.publish({ type: "repository", repository });
      });
    case "pool.tell":
      return untilWritten(() => world.tellPool(effect.scope));
    default: {
      const outcome = await performSandboxEffect(effect, world);
      // That a build's sandbox is gone is nothing to decide about.
      if ("done" in outcome) return { done: outcome.done?.type === "sandbox.ended" ? null : outcome.done };
      return { retry: outcome.retry?.type === "sandbox.ended" ? null : outcome.retry, cause: outcome.cause };
    }
  }
}
