/** What goes into the machine of an image scope and what comes out: inputs, effects, when it wants to be woken. Pure. */
import { type BuildTrigger, type ImageSettings, type Pin, type RuntimeEvent } from "@open-inspect/protocol";
import { deadlines } from "./deadlines.ts";
import { attemptOf, type BuildGround, type LiveBuild, type ScopeState, type Target } from "./image-scope-state.ts";
import { type StoredImage } from "./image-selection.ts";
import { isNoticeWanted, type Notice } from "./notifications.ts";
import { type GatewayFailure } from "./ports.ts";
import { nextSandboxWakeAt, type SandboxEffect, type SandboxInput } from "./sandbox.ts";

/** Ids and limits of a build that an input may start: randomness and configuration are passed in. */
export interface BuildPlan {
  buildId: string;
  imageId: string;
  /** four names of sandbox lives: build, verification, and both again should the build have to begin anew */
  attempts: string[];
  /** the installation's limit, for repositories without settings of their own */
  limitMs: number;
}

export type ImageInput =
  /** `sha`: the head of the branch now, null when it could not be read */
  | { type: "switch.on"; target: Target; sha: string | null; by: string | null; plan: BuildPlan }
  | { type: "switch.off" }
  | { type: "trigger"; trigger: BuildTrigger; target: Target; plan: BuildPlan; sha: string | null; by: string | null }
  /** `runtimeFloor`: the lowest revision that sessions start from */
  | { type: "head"; head: Head | null; runtimeFloor: number; plan: BuildPlan }
  | { type: "cancel"; buildId: string }
  | { type: "settings"; target: Target; settings: ImageSettings; plan: BuildPlan }
  | { type: "image.pin"; pin: Pin }
  | { type: "image.unpin" }
  | { type: "slot.granted"; buildId: string }
  | { type: "build.planned"; buildId: string; ground: BuildGround }
  | { type: "build.plan_failed"; buildId: string; failure: GatewayFailure }
  | { type: "runtime.event"; attempt: string; event: RuntimeEvent }
  | { type: "snapshot.taken"; attempt: string; providerImageId: string; durationMs: number }
  | { type: "snapshot.failed"; attempt: string; failure: GatewayFailure }
  | { type: "image.activated"; imageId: string; activated: boolean }
  /** a session found that the provider does not have the image any more, or that it is broken as `cause` says */
  | { type: "image.missing"; imageId: string; cause?: string | undefined; plan: BuildPlan }
  | SandboxInput;

/** What GitHub says of a repository's default branch. */
export interface Head {
  branch: string;
  sha: string;
  archived: boolean;
}

export type ImageEffect =
  | SandboxEffect
  /** a slot among the running builds of the installation; the answer is `slot.granted` */
  | {
      type: "slot.request";
      buildId: string;
      scope: string;
      owner: string;
      trigger: BuildTrigger;
      requestedAt: number;
      /** runtime of the image that serves meanwhile; null while none does */
      servingRevision: number | null;
    }
  | { type: "slot.release"; buildId: string }
  /** asks what a build would stand on */
  | { type: "build.plan"; buildId: string }
  | { type: "snapshot"; attempt: string; sandboxId: string }
  /**
   * Writes the image, and where `serve` is true makes it the active one unless a newer build's is; answers whether it is active.
   */
  | { type: "image.activate"; image: StoredImage; order: number; serve: boolean }
  /** makes a kept image the active one, whatever its order */
  | { type: "image.serve"; imageId: string }
  /** no image is active, and no build up to this order makes one active any more, not even by a write that arrives late */
  | { type: "image.bar"; order: number }
  | { type: "image.pin"; pin: Pin; order: number }
  | { type: "image.unpin" }
  | { type: "image.retire"; imageId: string; cause: string }
  /** tells whoever asked for it that builds fail, or that they do not any more */
  | { type: "notify"; notice: Notice }
  /** not before the last running session that came from it has ended */
  | { type: "image.delete"; providerImageId: string; imageId: string | null };

const earliest = (...times: (number | null)[]): number | null => {
  const known = times.filter((time) => time !== null);
  return known.length === 0 ? null : Math.min(...known);
};

/** When this scope wants a clock; null while nothing is timed. */
export function nextImageWakeAt(state: ScopeState, heardAt: number | null): number | null {
  return earliest(state.live && nextBuildWakeAt(state.live, heardAt), pinEndsAt(state), state.dormantUntil);
}

/** A pin ends at its own time, and in time for a successor of an image that the provider is about to drop; null while it has no end. */
export function pinEndsAt({ pin, images }: ScopeState): number | null {
  if (!pin) return null;
  const pinned = images.find((image) => image.id === pin.imageId);
  return earliest(pin.until, pinned ? pinned.expiresAt - deadlines.imageRenewMs : null);
}

function nextBuildWakeAt(live: LiveBuild, heardAt: number | null): number | null {
  switch (live.stage.at) {
    case "waiting":
      return live.stage.askAgainAt;
    case "planning":
      return live.limitAt;
    case "sandbox":
      return earliest(nextSandboxWakeAt(live.stage.life, heardAt), live.limitAt, live.warnAt);
    case "snapshotting":
      return live.stage.deadlineAt;
    case "verifying":
      return earliest(nextSandboxWakeAt(live.stage.life, heardAt), live.stage.deadlineAt);
    case "publishing":
      return null;
  }
}

/** Whether an owed effect still serves a build that lives; what serves none is dropped before it is performed. */
export function isImageEffectWanted(state: ScopeState, effect: ImageEffect): boolean {
  const { live } = state;
  switch (effect.type) {
    case "slot.request":
      return live?.id === effect.buildId && live.stage.at === "waiting";
    case "build.plan":
      return live?.id === effect.buildId && live.stage.at === "planning";
    case "sandbox.create":
    case "sandbox.start":
    case "sandbox.poll":
    case "sandbox.log":
      return effect.attempt === attemptOf(live) && live?.stage.at !== "snapshotting";
    case "image.activate":
      return live?.stage.at === "publishing" && live.imageId === effect.image.id;
    case "notify":
      return isNoticeWanted(state, effect.notice);
    // A snapshot that was under way may have made an image; asking again is how a dead build learns which one to delete.
    case "snapshot":
    case "sandbox.terminate":
    case "sandbox.sweep":
    case "slot.release":
    case "image.serve":
    case "image.bar":
    case "image.pin":
    case "image.unpin":
    case "image.retire":
    case "image.delete":
      return true;
  }
}
