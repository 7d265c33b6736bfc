/**
 * Everything an image scope decides: `stepImage(state, input, now) → { state, effects }`. One build at a time, triggers while building are
 * remembered once, the last good image serves until the next one is active. What the running build decides is in `image-build.ts`.
 * Pure: no clock, no storage, no sockets.
 */
import { type Ask, andThen, beginNext, isInsisting, request, unchanged } from "./build-queue.ts";
import { deadlines } from "./deadlines.ts";
import { stepBuild, stepBuildClock, stepBuildSandbox } from "./image-build.ts";
import { type BuildStep, candidateOf, deletion, finishBuild, type ImageStep } from "./image-build-life.ts";
import { type ImageEffect, type ImageInput, pinEndsAt } from "./image-messages.ts";
import { retain } from "./image-retention.ts";
import { activeImage, type LiveBuild, type ScopeState, settingsOf } from "./image-scope-state.ts";
import { type StoredImage } from "./image-selection.ts";
import { continueSweep, endOrphan, type SandboxInput } from "./sandbox.ts";
import { decideTick, type TickFacts } from "./schedule.ts";

export function stepImage(state: ScopeState, input: ImageInput, now: number): ImageStep {
  const { live } = state;
  switch (input.type) {
    case "switch.on":
      return switchOn(state, input, now);
    case "switch.off":
      return state.enabled ? switchOff(state, now) : unchanged(state);
    case "trigger":
      return trigger(state, input, now);
    case "head":
      return checkHead(state, input, now);
    case "cancel":
      return cancel(state, input.buildId, now);
    case "settings": {
      const known: ScopeState = { ...state, target: input.target, settings: input.settings };
      const { failing, enabled } = known;
      const trimmed = drop(failing ? { ...known, failing: { ...failing, triesOfSha: 1, nextTryAt: now } } : known);
      if (!enabled || !failing || live) return trimmed;
      return andThen(trimmed, (next) => request(next, { trigger: "configuration", by: null, sha: failing.sha }, input.plan, now));
    }
    case "image.pin": {
      const { pin } = input;
      if (!state.enabled || !state.images.some((image) => image.id === pin.imageId)) return unchanged(state);
      return andThen(drop({ ...state, pin, activeId: pin.imageId, live: live && keepOnly(live) }), (next) => ({
        state: next,
        effects: [{ type: "image.pin", pin, order: next.order }],
      }));
    }
    case "image.unpin":
      return unpin(state);
    case "image.missing":
      return retireMissing(state, input, now);
    case "slot.granted":
    case "build.planned":
    case "build.plan_failed":
    case "image.activated":
    case "runtime.event":
      return live ? settle(stepBuild(state, live, input, now), now) : unchanged(state);
    case "snapshot.taken":
    case "snapshot.failed":
      return live ? settle(stepBuild(state, live, input, now), now) : forgetSnapshot(state, input);
    case "clock":
      return stepClock(state, input, now);
    case "sandbox.swept":
      return { state, effects: continueSweep(input) };
    case "sandbox.created":
    case "sandbox.base_pending":
    case "sandbox.busy":
    case "sandbox.create_failed":
    case "runtime.started":
    case "runtime.start_failed":
    case "runtime.connected":
    case "bridge.closed":
    case "sandbox.polled":
    case "runtime.log":
      return live ? settle(stepBuildSandbox(state, live, input, now), now) : { state, effects: endOrphan(input) };
  }
}

/** After a build's step: when it is over, images beyond the kept ones go and what was remembered begins. */
function settle(step: BuildStep | ImageStep, now: number): ImageStep {
  if (!("ended" in step) || step.ended === null) return { state: step.state, effects: step.effects };
  return andThen(andThen(step, drop), (state) => beginNext(state, step, now));
}

/** Lets go of images beyond the kept ones. */
function drop(state: ScopeState): ImageStep {
  const { keep, drop: old } = retain(state.images, settingsOf(state).keptImages, [state.activeId, state.pin?.imageId ?? null]);
  return old.length === 0 ? unchanged(state) : { state: { ...state, images: keep }, effects: old.map(deletion) };
}

/** Images that the provider has dropped by now, other than the one that serves: its successor takes its place. */
function dropExpired(state: ScopeState, now: number): ImageStep {
  const isGone = (image: StoredImage) => image.expiresAt <= now && image.id !== state.activeId;
  const gone = state.images.filter(isGone);
  if (gone.length === 0) return unchanged(state);
  return { state: { ...state, images: state.images.filter((image) => !isGone(image)) }, effects: gone.map(deletion) };
}

function switchOn(state: ScopeState, input: Extract<ImageInput, { type: "switch.on" }>, now: number): ImageStep {
  const on: ScopeState = { ...state, target: input.target, enabled: true, dormantUntil: null };
  if (state.enabled) return unchanged(on);
  return request({ ...on, failing: null }, { trigger: "enable", by: input.by, sha: input.sha }, input.plan, now);
}

/** The images are kept a while for whoever switches on again; none of them serves. */
function switchOff(state: ScopeState, now: number): ImageStep {
  const { live, next } = state;
  const active = activeImage(state);
  const effects: ImageEffect[] = [{ type: "image.bar", order: state.order }];
  if (active) effects.push(retirement(active.id, "Pre-built images were switched off."));
  const off: ScopeState = {
    ...state,
    enabled: false,
    activeId: null,
    pin: null,
    failing: null,
    next: null,
    dropped: next ? { queued: next, skipped: null, at: now } : state.dropped,
    dormantUntil: state.images.length > 0 ? now + deadlines.dormantMs : null,
  };
  if (state.pin) effects.push({ type: "image.unpin" });
  if (!live) return { state: off, effects };
  return andThen({ state: off, effects }, (rest) => abandon(rest, live, "Pre-built images were switched off.", now));
}

const retirement = (imageId: string, cause: string): ImageEffect => ({ type: "image.retire", imageId, cause });

/** Ends a build from outside. The database's switch may have been thrown already, without an answer: it is taken back. */
function abandon(state: ScopeState, live: LiveBuild, cause: string, now: number): ImageStep {
  const candidate = candidateOf(state, live);
  const undo: ImageEffect[] = [];
  if (live.stage.at === "publishing") {
    undo.push({ type: "image.bar", order: live.order }, retirement(live.imageId, cause));
    if (state.activeId) undo.push({ type: "image.serve", imageId: state.activeId });
  }
  if (candidate) undo.push(deletion(candidate));
  return settle(finishBuild(state, live, { status: "cancelled", failure: null }, now, undo), now);
}

function cancel(state: ScopeState, buildId: string, now: number): ImageStep {
  const { live, next } = state;
  if (next?.id === buildId) return unchanged({ ...state, next: null, dropped: { queued: next, skipped: null, at: now } });
  return live?.id === buildId ? abandon(state, live, "The build was cancelled.", now) : unchanged(state);
}

function trigger(state: ScopeState, input: Extract<ImageInput, { type: "trigger" }>, now: number): ImageStep {
  const known = { ...state, target: input.target };
  if (!state.enabled) return unchanged(known);
  const { sha } = input;
  if (!isInsisting(input.trigger)) {
    if (state.pin) return unchanged(known);
    const { live } = state;
    const built = live ? [live.sha ?? live.headSha] : [activeImage(state)?.sha, state.failing?.sha];
    if (sha !== null && built.includes(sha)) return unchanged(known);
  }
  return request(known, { trigger: input.trigger, by: input.by, sha }, input.plan, now);
}

export const tickFactsOf = (state: ScopeState, runtimeFloor: number): TickFacts => ({
  enabled: state.enabled,
  active: activeImage(state),
  building: state.live && { sha: state.live.sha ?? state.live.headSha },
  failing: state.failing,
  pinned: state.pin !== null,
  runtimeFloor,
});

function checkHead(state: ScopeState, input: Extract<ImageInput, { type: "head" }>, now: number): ImageStep {
  const { head } = input;
  const decision = decideTick(tickFactsOf(state, input.runtimeFloor), head, now);
  const known = state.target && head ? { ...state, target: { ...state.target, branch: head.branch } } : state;
  const build = decision.do === "build" || (decision.do === "wait" && decision.again);
  const cleared = dropExpired(known, now);
  if (!build) return cleared;
  return andThen(cleared, (next) => request(next, { trigger: "schedule", by: null, sha: head?.sha ?? null }, input.plan, now));
}

/** What a person has built while the pin held serves now; else the pinned image goes on until the next tick sees the head. */
function unpin(state: ScopeState): ImageStep {
  const { pin } = state;
  if (!pin) return unchanged(state);
  const [newest] = state.images;
  const successor = newest && newest.createdAt > pin.at && newest.id !== state.activeId ? newest : null;
  const effects: ImageEffect[] = [{ type: "image.unpin" }];
  if (successor) effects.push({ type: "image.serve", imageId: successor.id });
  const free = { ...state, pin: null, activeId: successor?.id ?? state.activeId };
  return andThen({ state: free, effects }, drop);
}

function retireMissing(state: ScopeState, input: Extract<ImageInput, { type: "image.missing" }>, now: number): ImageStep {
  const missing = state.images.find((image) => image.id === input.imageId);
  if (!missing) return unchanged(state);
  const wasActive = state.activeId === missing.id;
  const wasPinned = state.pin?.imageId === missing.id;
  const without: ScopeState = {
    ...state,
    images: state.images.filter((image) => image !== missing),
    activeId: wasActive ? null : state.activeId,
    pin: wasPinned ? null : state.pin,
  };
  const { cause = "The provider does not have it any more." } = input;
  const gone: ImageEffect[] = [retirement(missing.id, cause), deletion(missing)];
  if (wasPinned) gone.unshift({ type: "image.unpin" });
  const { live } = state;
  if (live?.stage.at === "publishing" && live.stage.image.id === missing.id) {
    // It was about to serve again as it is: that is taken back, and a build takes its place.
    const ask: Ask = { trigger: live.trigger, by: live.requestedBy, sha: live.headSha };
    return andThen(
      andThen({ state: without, effects: gone }, (next) => abandon(next, live, cause, now)),
      (next) => request(next, ask, input.plan, now),
    );
  }
  if (!wasActive || !state.enabled) return { state: without, effects: gone };
  return andThen({ state: without, effects: gone }, (next) =>
    request(next, { trigger: "schedule", by: null, sha: null }, input.plan, now),
  );
}

/** A build whose image is being switched to: the pin's own write comes after that switch. */
function keepOnly(live: LiveBuild): LiveBuild {
  return live.stage.at === "publishing" ? { ...live, stage: { ...live.stage, serve: false } } : live;
}

/** An image that a dead build has made. */
function forgetSnapshot(
  state: ScopeState,
  input: Extract<ImageInput, { type: "snapshot.taken" | "snapshot.failed" }>,
): ImageStep {
  if (input.type === "snapshot.failed" || state.images.some((one) => one.providerImageId === input.providerImageId)) {
    return unchanged(state);
  }
  return { state, effects: [{ type: "image.delete", providerImageId: input.providerImageId, imageId: null }] };
}

function stepClock(state: ScopeState, input: Extract<SandboxInput, { type: "clock" }>, now: number): ImageStep {
  let step = unchanged(state);
  const endsAt = pinEndsAt(state);
  if (endsAt !== null && endsAt <= now) step = andThen(step, unpin);
  if (state.dormantUntil !== null && state.dormantUntil <= now) {
    step = andThen(step, (asleep) => ({
      state: { ...asleep, images: [], dormantUntil: null },
      effects: asleep.images.map(deletion),
    }));
  }
  const { live } = step.state;
  return live ? andThen(step, (awake) => settle(stepBuildClock(awake, live, input, now), now)) : step;
}
