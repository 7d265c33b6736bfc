/** Performs the effects of an image scope: sandboxes, the snapshot, rows of D1, pushes to the dashboard. Decides nothing. */
import { type ImageRows } from "../adapters/d1/image-rows.ts";
import { deadlines } from "../domain/deadlines.ts";
import { type ImageEffect, type ImageInput } from "../domain/image-messages.ts";
import { type ImageRecord } from "../domain/image-records.ts";
import { type FeedObject } from "./feed-object.ts";
import { type EffectPolicy, type Performed, untilWritten } from "./runner.ts";
import { performSandboxEffect, type SandboxWorld, sandboxAddress, sandboxPolicies } from "./sandbox-effects.ts";

export type OwedImageEffect = ImageEffect | ImageRecord;

/** Writes to D1 keep their order. */
export const recordLane = "d1";
const record: EffectPolicy = { tries: null, firstPauseMs: 200, maxPauseMs: 30_000, limitMs: 20_000 };

const imagePolicies: Record<Exclude<OwedImageEffect["type"], keyof typeof sandboxPolicies>, EffectPolicy> = {
  snapshot: { tries: 3, firstPauseMs: 2_000, maxPauseMs: 10_000, limitMs: deadlines.snapshotMs + 90_000 },
  "image.activate": record,
  "image.retire": record,
  "image.delete": { tries: null, firstPauseMs: 5_000, maxPauseMs: 600_000, limitMs: 60_000 },
  "record.scope": record,
  "record.build": record,
  publish: { tries: 3, firstPauseMs: 200, maxPauseMs: 2_000, limitMs: 10_000 },
};

export const imagePolicy = (effect: OwedImageEffect): EffectPolicy => ({ ...sandboxPolicies, ...imagePolicies })[effect.type];

export function imageAddress(effect: OwedImageEffect): { key: string; lane: string; delayMs: number } {
  switch (effect.type) {
    case "snapshot":
      return { key: `snapshot:${effect.attempt}`, lane: `sandbox:${effect.attempt}`, delayMs: 0 };
    case "image.activate":
      return { key: `activate:${effect.image.id}`, lane: recordLane, delayMs: 0 };
    case "image.retire":
      return { key: `retire:${effect.imageId}`, lane: recordLane, delayMs: 0 };
    case "image.delete":
      return { key: `delete:${effect.providerImageId}`, lane: `delete:${effect.providerImageId}`, delayMs: 0 };
    case "record.scope":
      return { key: "scope", lane: recordLane, delayMs: 0 };
    case "record.build":
      return { key: `build:${effect.build.id}`, lane: recordLane, delayMs: 0 };
    case "publish":
      return { key: "publish", lane: "feed", delayMs: 0 };
    default:
      return sandboxAddress(effect);
  }
}

export interface ImageWorld extends SandboxWorld {
  rows: ImageRows;
  feed: DurableObjectStub<FeedObject>;
  now(): number;
}

export async function performImageEffect(effect: OwedImageEffect, world: ImageWorld): Promise<Performed<ImageInput>> {
  const { rows, dataPlane } = world;
  switch (effect.type) {
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
      const { image, order } = effect;
      let activated = false;
      const outcome = await untilWritten(async () => {
        activated = await rows.activate(image, order);
      });
      return "done" in outcome ? { done: { type: "image.activated", imageId: image.id, activated } } : outcome;
    }
    case "image.retire":
      return untilWritten(() => rows.retire(effect.imageId, effect.cause, world.now()));
    case "image.delete": {
      const result = await dataPlane.deleteImage(effect.providerImageId);
      if (!result.ok && result.error.kind !== "not_found") return { retry: null, cause: result.error.code };
      const { imageId } = effect;
      return imageId === null ? { done: null } : untilWritten(() => rows.markDeleted(imageId, world.now()));
    }
    case "record.scope":
      return untilWritten(() => rows.saveScope(effect.row));
    case "record.build":
      return untilWritten(() => rows.saveBuild(effect.build));
    case "publish":
      return untilWritten(() => world.feed.publish({ type: "repository", repository: effect.repository }));
    default: {
      const outcome = await performSandboxEffect(effect, world);
      // That a build's sandbox is gone is nothing to decide about.
      if ("done" in outcome) return { done: outcome.done?.type === "sandbox.ended" ? null : outcome.done };
      return { retry: outcome.retry?.type === "sandbox.ended" ? null : outcome.retry, cause: outcome.cause };
    }
  }
}
