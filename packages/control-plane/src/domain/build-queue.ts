/** Which build of a scope begins, is remembered, or is not needed any more: one at a time, and one behind it. Pure. */
import { type BuildTrigger, type SkipReason } from "@open-inspect/protocol";
import { deadlines } from "./deadlines.ts";
import { nextTryNumber } from "./failure-series.ts";
import { type FinishedBuild, type ImageStep, slotRequest } from "./image-build-life.ts";
import { type BuildPlan } from "./image-messages.ts";
import { activeImage, type LiveBuild, type QueuedBuild, type ScopeState, settingsOf } from "./image-scope-state.ts";

/** Nothing is decided. */
export const unchanged = (state: ScopeState): ImageStep => ({ state, effects: [] });

export function andThen(first: ImageStep, then: (state: ScopeState) => ImageStep): ImageStep {
  const next = then(first.state);
  return { state: next.state, effects: [...first.effects, ...next.effects] };
}

export interface Ask {
  trigger: BuildTrigger;
  by: string | null;
  /** the head that it is for; null where nobody looked */
  sha: string | null;
}

/** Asks for by somebody who wants a build whatever was built before. */
export const isInsisting = (one: BuildTrigger): boolean => one === "refresh" || one === "configuration";

/** Starts a build, or remembers it once while another one runs: the remembered one carries the newest head. */
export function request(state: ScopeState, ask: Ask, plan: BuildPlan, now: number): ImageStep {
  const { live, next } = state;
  if (live?.stage.at === "waiting") return unchanged({ ...state, live: merge(live, ask) });
  if (next) return unchanged({ ...state, next: merge(next, ask) });
  const order = state.order + 1;
  const { limitMinutes } = settingsOf(state);
  const queued: QueuedBuild = {
    id: plan.buildId,
    imageId: plan.imageId,
    attempts: plan.attempts,
    order,
    trigger: ask.trigger,
    requestedBy: ask.by,
    requestedAt: now,
    limitMs: state.settings ? limitMinutes * 60_000 : plan.limitMs,
    headSha: ask.sha,
    tryNumber: nextTryNumber(state.failing, ask.sha),
  };
  if (!live) return begin({ ...state, order }, queued, now);
  return unchanged({ ...state, order, next: queued });
}

function merge<B extends QueuedBuild>(waiting: B, ask: Ask): B {
  const insists = isInsisting(ask.trigger) && !isInsisting(waiting.trigger);
  return {
    ...waiting,
    headSha: ask.sha ?? waiting.headSha,
    ...(insists ? { trigger: ask.trigger, requestedBy: ask.by } : {}),
  };
}

function begin(state: ScopeState, queued: QueuedBuild, now: number): ImageStep {
  const { target } = state;
  if (!target?.branch) {
    const dropped = state.next === queued ? { queued, skipped: null, at: now } : state.dropped;
    return unchanged({ ...state, next: null, dropped });
  }
  const live: LiveBuild = {
    ...queued,
    branch: target.branch,
    cloneUrl: target.cloneUrl,
    startedAt: now,
    limitAt: now + queued.limitMs,
    warnAt: null,
    sha: null,
    fromSha: activeImage(state)?.sha ?? null,
    mode: null,
    modeReason: null,
    ground: null,
    previous: null,
    inputs: null,
    file: null,
    note: null,
    sizeBytes: null,
    phases: [],
    stage: { at: "waiting", askAgainAt: now + deadlines.slotAskAgainMs },
  };
  return { state: { ...state, live, next: null }, effects: [slotRequest(state, live)] };
}

/** After a build: what was remembered begins, unless it is not needed any more. */
export function beginNext(state: ScopeState, { ended }: FinishedBuild, now: number): ImageStep {
  const { next, enabled } = state;
  if (!next) return unchanged(state);
  const skipped = enabled ? needless(state, next, ended.status === "ready" ? ended.sha : null) : null;
  if (!enabled || skipped) return unchanged({ ...state, next: null, dropped: { queued: next, skipped, at: now } });
  const again = { ...next, tryNumber: nextTryNumber(state.failing, next.headSha) };
  return begin({ ...state, next: again }, again, now);
}

/** Why a remembered build is not needed any more. */
function needless(state: ScopeState, next: QueuedBuild, built: string | null): SkipReason | null {
  if (isInsisting(next.trigger)) return null;
  if (state.pin) return "pinned";
  if (next.headSha === null) return null;
  if (next.headSha === built) return "unchanged";
  return next.headSha === state.failing?.sha ? "backing_off" : null;
}
