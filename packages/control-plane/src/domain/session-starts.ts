/**
 * How a session gets its sandbox: from its own snapshot, else from the repository's image, else from the base; and how a reserved sandbox
 * becomes a session. Pure; ends are decided elsewhere.
 */
import { type Failure, imageScopeOf, type SandboxSource, type StartSource } from "@open-inspect/protocol";
import { deadlines, limits, wholeSeconds } from "./deadlines.ts";
import { createColdReason } from "./failures.ts";
import { startPhase } from "./phases.ts";
import { noPull } from "./pull-request.ts";
import { createReceipt } from "./receipt.ts";
import { endSandbox, type Launch, type SandboxEffect, type Verdict } from "./sandbox.ts";
import { endAtLifetime, fail } from "./session-ends.ts";
import { blameImage, convictImage, reportMissing } from "./session-image.ts";
import { type LiveStep, type SessionClaim, type SessionEffect, type SessionInput } from "./session-messages.ts";
import { attemptOf, noWork, type SessionOrder, type SessionState, type UpLife } from "./session-state.ts";
import { startFactsOf } from "./session-views.ts";

/** What is known of a start before its runtime has said anything. */
const freshStart = {
  image: null,
  cold: null,
  fallbacks: [],
  phases: [],
  bakedSha: null,
  syncedSha: null,
  setupRan: null,
  staleSetup: null,
  readyAt: null,
  receipt: null,
  sync: "none",
} satisfies Partial<SessionState>;

export function create(order: SessionOrder, now: number): LiveStep {
  const { image, cold, ...facts } = order;
  const state: SessionState = {
    ...facts,
    ...freshStart,
    version: 1,
    attempt: order.attempts[0],
    serial: 0,
    from: "base",
    askedAt: order.acceptedAt,
    attemptAt: order.acceptedAt,
    bornAt: now,
    stage: { at: "choosing", limitAt: now + order.startLimitMs },
    first: null,
    work: noWork,
    pullRequest: null,
    pull: noPull,
    archivedAt: null,
    snapshot: null,
    failedAts: [],
    isSuspended: false,
    isResumeAsked: false,
    warm: null,
    claimedBy: null,
  };
  const from = image ? "image" : "base";
  // The wait for the accepted request is the person's, too.
  const { state: begun, effects } = beginAttempt({ ...state, image, cold }, from, now);
  return { state: { ...begun, attemptAt: order.acceptedAt }, effects };
}

/** No try of a start, but the reason why it has older files than the last sandbox had. */
const olderFiles = "The files of the last sandbox were not kept: these are from the stop before.";

/** Another sandbox for a session without one. */
export function resume(state: SessionState, now: number): LiveStep {
  const { behind: _behind, headSha: _headSha, imageFailure: _imageFailure, ...known } = state;
  const { receipt, readyAt } = state;
  const fresh: SessionState = {
    ...known,
    ...freshStart,
    first: state.first ?? (receipt && readyAt !== null ? { receipt, readyAt, facts: startFactsOf(state) } : null),
    askedAt: now,
    warm: null,
    isResumeAsked: false,
  };
  const { snapshot } = state;
  if (snapshot && snapshot.expiresAt - deadlines.imageUseMarginMs > now) {
    const isOlder = readyAt !== null && snapshot.takenAt < readyAt;
    const fallbacks = isOlder ? [{ from: "snapshot" as const, reason: olderFiles }] : [];
    return beginAttempt({ ...fresh, fallbacks }, "snapshot", now);
  }
  const reason = snapshot
    ? "The session's own snapshot has reached the end of its life."
    : "No snapshot of the session was kept.";
  return choose({ ...fresh, snapshot: null }, reason, now);
}

/** The session's own snapshot did not do: what the repository's image is now has to be looked up. */
function choose(state: SessionState, reason: string, now: number): LiveStep {
  const choosing: SessionState = {
    ...state,
    fallbacks: [...state.fallbacks, { from: "snapshot", reason }],
    stage: { at: "choosing", limitAt: now + state.startLimitMs },
  };
  return { state: choosing, effects: [{ type: "image.look_up", serial: state.serial }] };
}

export function chosen(state: SessionState, input: Extract<SessionInput, { type: "image.looked_up" }>, now: number): LiveStep {
  if (state.stage.at !== "choosing" || input.serial !== state.serial) return { state, effects: [] };
  const { selection, history } = input;
  if (selection.kind === "image") return beginAttempt({ ...state, history, image: selection.image, cold: null }, "image", now);
  const reason = createColdReason(selection.reason).message;
  const fallbacks = [...state.fallbacks, { from: "image" as const, reason }];
  return beginAttempt({ ...state, history, image: null, cold: selection.reason, fallbacks }, "base", now);
}

function beginAttempt(state: SessionState, from: StartSource, now: number): LiveStep {
  const serial = state.serial + 1;
  const attempt = attemptOf(state, serial);
  const begun: SessionState = {
    ...state,
    serial,
    attempt,
    from,
    attemptAt: now,
    bornAt: now,
    stage: { at: "starting", life: { at: "creating", attempt, startedAt: now }, limitAt: now + state.startLimitMs },
    phases: startPhase([], "sandbox", now),
    bakedSha: null,
    syncedSha: null,
  };
  return { state: begun, effects: [createSandbox(begun)] };
}

function sourceOf({ from, image, snapshot }: SessionState): SandboxSource {
  if (from === "snapshot" && snapshot) return { kind: "image", providerImageId: snapshot.providerImageId };
  if (from === "image" && image) return { kind: "image", providerImageId: image.providerImageId };
  return { kind: "base" };
}

function createSandbox(state: SessionState): SandboxEffect {
  const { attempt, serial } = state;
  return {
    type: "sandbox.create",
    attempt,
    /** a later attempt must not be answered with an earlier one's sandbox */
    name: `session-${state.id}${serial === 1 ? "" : `-${serial}`}`,
    source: sourceOf(state),
    tags: { app: "open-inspect", kind: "session", scope: imageScopeOf(state.repository), session: state.id, attempt },
    cpu: limits.sessionCpu,
    memoryMiB: limits.sessionMemoryMiB,
    timeoutMs: wholeSeconds(deadlines.sessionLifetimeMs),
  };
}

export function launchOf(state: SessionState): Launch {
  const { id, branch, model, isDefaultBranch: followDefault, from: startFrom } = state;
  return { mode: "session", sessionId: id, cloneUrl: state.repository.cloneUrl, branch, followDefault, startFrom, model };
}

/** The sandbox cannot be used any more. While it starts, something older may do better; each is named. */
export function giveUp(state: SessionState, verdict: Verdict, now: number): LiveStep {
  const { stage, image } = state;
  if (stage.at !== "starting" && stage.at !== "ready") return { state, effects: [] };
  const { life } = stage;
  const { failure } = verdict;
  if (stage.at === "ready" && verdict.reason === "lifetime") return endAtLifetime(state, life, now);
  const isOutdated = verdict.reason === "outdated";
  const blame = isOutdated ? "outside" : blameImage(failure, life);
  if (stage.at !== "starting" || state.from === "base" || blame === null) return fail(state, life, failure, now);
  const next =
    state.from === "snapshot"
      ? giveUpSnapshot(state, failure, blame === "outside" && !isOutdated, now)
      : giveUpImage(state, failure, isOutdated ? "outdated" : blame, now);
  const effects: SessionEffect[] = [...endSandbox(life), ...next.effects];
  if (state.from === "image" && image && failure.code === "image_missing") effects.push(reportMissing(state, image.id));
  return { state: next.state, effects };
}

/** The session's own files are worth a second try; then the session goes on without them. They are kept until there are newer ones. */
function giveUpSnapshot(state: SessionState, failure: Failure, mayDoBetter: boolean, now: number): LiveStep {
  if (failure.code === "image_missing") {
    return choose({ ...state, snapshot: null }, "The session's own snapshot is not at the provider any more.", now);
  }
  const tries = 1 + state.fallbacks.filter((one) => one.from === "snapshot" && one.reason !== olderFiles).length;
  if (!mayDoBetter || tries >= limits.snapshotStarts) return choose(state, failure.message, now);
  const fallbacks = [...state.fallbacks, { from: "snapshot" as const, reason: failure.message }];
  return beginAttempt({ ...state, fallbacks }, "snapshot", now);
}

/** The session goes on without it, and keeps it until there are newer files. */
export function refuseSnapshot(
  state: SessionState,
  { attempt, reason }: Extract<SessionInput, { type: "snapshot.refused" }>,
  now: number,
): LiveStep {
  const { stage } = state;
  if (stage.at !== "starting" || stage.life.at !== "creating") return { state, effects: [] };
  if (state.from !== "snapshot" || attempt !== state.attempt) return { state, effects: [] };
  const next = choose(state, reason, now);
  return { state: next.state, effects: [...endSandbox(stage.life), ...next.effects] };
}

function giveUpImage(state: SessionState, failure: Failure, blame: "inside" | "outside" | "outdated", now: number): LiveStep {
  const { behind: _behind, headSha: _headSha, ...known } = state;
  const isOutdated = blame === "outdated";
  const { image } = state;
  const next: SessionState = {
    ...known,
    image: null,
    cold: isOutdated ? "runtime_outdated" : "restore_failed",
    ...(isOutdated || !image ? {} : { imageFailure: { imageId: image.id, failure, isInside: blame === "inside" } }),
    fallbacks: [...state.fallbacks, { from: "image", reason: failure.message }],
  };
  return beginAttempt(next, "base", now);
}

/** The agent may edit: the start is over, unless nobody has asked for this sandbox yet or the branch may have moved since it was made. */
export function becomeReady(state: SessionState, life: UpLife, event: { sha: string; setupRan: boolean }, now: number): LiveStep {
  if (state.sync === "owed") return { state: { ...state, sync: "asked" }, effects: [syncEffect(state)] };
  const known: SessionState = {
    ...state,
    sync: "none",
    stage: { at: "ready", life, idleFrom: now },
    syncedSha: event.sha,
    setupRan: event.setupRan,
    readyAt: now,
  };
  if (state.reserved) return { state: known, effects: convictImage(state) };
  const { from, warm, image, bakedSha, askedAt, attemptAt, history, phases } = state;
  const receipt = createReceipt({
    ...{ from, warm, image, bakedSha, askedAt, attemptAt, phases, history, now },
    syncedSha: event.sha,
    setupRan: event.setupRan,
  });
  return { state: { ...known, receipt }, effects: convictImage(state) };
}

export const syncEffect = ({ attempt, branch }: SessionState): SessionEffect => ({ type: "bridge.sync", attempt, branch });

/** A claim counts once, and only while there is a sandbox or one is being made. Its start is over when the branch's head is proved again. */
export function claim(state: SessionState, wanted: SessionClaim, now: number): LiveStep {
  const { reserved, stage } = state;
  if (!reserved || (stage.at !== "starting" && stage.at !== "ready")) return { state, effects: [] };
  const { acceptedAt, title, author, branch, model, attemptId } = wanted;
  const isSame = branch === state.branch;
  const claimed: SessionState = {
    ...state,
    ...{ title, author, branch, acceptedAt, model: model ?? state.model },
    isDefaultBranch: isSame && state.isDefaultBranch,
    reserved: null,
    warm: reserved.kind,
    claimedBy: attemptId ?? null,
    askedAt: acceptedAt,
    readyAt: null,
  };
  if (stage.at === "ready") {
    const starting: SessionState = {
      ...claimed,
      sync: "asked",
      // How long it stood ready is no cost of a start.
      attemptAt: state.attemptAt + (now - (state.readyAt ?? now)),
      stage: { at: "starting", life: stage.life, limitAt: now + state.startLimitMs },
    };
    return { state: starting, effects: [syncEffect(starting)] };
  }
  // What has not been synced yet will be on the branch's head as it is then.
  const sync = !isSame || state.syncedSha !== null ? "owed" : "none";
  return { state: { ...claimed, sync, stage: { ...stage, limitAt: now + state.startLimitMs } }, effects: [] };
}
