/** What goes into the machine of an image scope and what comes out: inputs, effects, when it wants to be woken. Pure. */
import { type BuildTrigger, type RuntimeEvent } from "@open-inspect/protocol";
import { type ScopeState, type Target } from "./image-scope-state.ts";
import { type StoredImage } from "./image-selection.ts";
import { type GatewayFailure } from "./ports.ts";
import { nextSandboxWakeAt, type SandboxEffect, type SandboxInput } from "./sandbox.ts";

/** Ids and limits of a build that an input may start: randomness and configuration are passed in. */
export interface BuildPlan {
  buildId: string;
  imageId: string;
  attempt: string;
  limitMs: number;
}

export type ImageInput =
  | { type: "switch.on"; target: Target; plan: BuildPlan }
  | { type: "switch.off" }
  | { type: "trigger"; trigger: BuildTrigger; target: Target; plan: BuildPlan; sha: string | null }
  | { type: "head"; head: { branch: string; sha: string } | null; plan: BuildPlan }
  | { type: "runtime.event"; attempt: string; event: RuntimeEvent }
  | { type: "snapshot.taken"; attempt: string; providerImageId: string; durationMs: number }
  | { type: "snapshot.failed"; attempt: string; failure: GatewayFailure }
  | { type: "image.activated"; imageId: string; activated: boolean }
  /** a session found that the provider does not have the image any more, or that it is broken as `cause` says */
  | { type: "image.missing"; imageId: string; cause?: string | undefined; plan: BuildPlan }
  | SandboxInput;

export type ImageEffect =
  | SandboxEffect
  | { type: "snapshot"; attempt: string; sandboxId: string }
  /** the switch of the active image; answers whether this build was the newest */
  | { type: "image.activate"; image: StoredImage; order: number }
  | { type: "image.retire"; imageId: string; cause: string }
  | { type: "image.delete"; providerImageId: string; imageId: string | null };

/** When this scope wants a clock; null while nothing is timed. */
export function nextImageWakeAt(state: ScopeState, heardAt: number | null): number | null {
  const { live } = state;
  if (!live) return null;
  switch (live.stage.at) {
    case "sandbox": {
      const wakeAt = nextSandboxWakeAt(live.stage.life, heardAt);
      return wakeAt === null ? live.limitAt : Math.min(wakeAt, live.limitAt);
    }
    case "snapshotting":
      return live.stage.deadlineAt;
    case "publishing":
      return null;
  }
}

/** Whether an owed effect still serves a build that lives; what serves none is dropped before it is performed. */
export function isImageEffectWanted(state: ScopeState, effect: ImageEffect): boolean {
  const attempt = state.live?.attempt;
  switch (effect.type) {
    case "sandbox.create":
    case "sandbox.start":
    case "sandbox.poll":
    case "sandbox.log":
      return effect.attempt === attempt && state.live?.stage.at === "sandbox";
    case "image.activate":
      return state.live?.stage.at === "publishing" && state.live.imageId === effect.image.id;
    // A snapshot that was under way may have made an image; asking again is how a dead build learns which one to delete.
    case "snapshot":
    case "sandbox.terminate":
    case "sandbox.sweep":
    case "image.retire":
    case "image.delete":
      return true;
  }
}
