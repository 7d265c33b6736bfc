/** How a session looks from outside: its status, its summary for lists, its row, its page. Pure; it decides nothing. */
import {
  type PromptView,
  type PullRequestProgress,
  type SessionState as SessionShown,
  type SessionStatus,
  type SessionSummary,
  type SessionView,
} from "@open-inspect/protocol";
import { createColdReason } from "./failures.ts";
import { type SandboxLife } from "./sandbox.ts";
import { isBusy, type SessionState, type StartFacts } from "./session-state.ts";

export function statusOf(state: SessionState): SessionStatus {
  switch (state.stage.at) {
    case "choosing":
      return "created";
    case "starting":
      return startingStatus(state.stage.life);
    case "ready":
    case "snapshotting":
    case "stopping":
      return state.stage.at;
    case "ended":
      return state.stage.status;
  }
}

function startingStatus(life: SandboxLife): SessionStatus {
  switch (life.at) {
    case "creating":
      return "created";
    case "starting":
    case "connecting":
    case "diagnosing":
      return "connecting";
    case "up":
      return "syncing";
  }
}

/** `readyAt`, `startMs` and `startedFrom` are those of the first start that got ready; the receipt of the view is the last one's. */
export function summaryOf(state: SessionState): SessionSummary {
  const { first, stage, work } = state;
  const receipt = first ? first.receipt : state.receipt;
  return {
    id: state.id,
    repository: { owner: state.repository.owner, name: state.repository.name },
    branch: state.branch,
    status: statusOf(state),
    isWorking: work.isWorking,
    createdAt: state.acceptedAt,
    readyAt: first ? first.readyAt : state.readyAt,
    endedAt: stage.at === "ended" ? stage.endedAt : null,
    activeAt: Math.max(work.activeAt ?? 0, state.readyAt ?? 0, state.askedAt),
    startMs: receipt?.startMs ?? null,
    startedFrom: receipt?.startedFrom ?? null,
    ...originOf(state),
    title: state.title,
    author: state.author,
    usage: work.usage,
    promptCount: work.promptCount,
    pullRequest: state.pullRequest,
    parentId: state.parentId,
    archivedAt: state.archivedAt,
  };
}

/** The image that it came from, or why from none: of the first start, and of a later image where one took its place. */
function originOf({ first, image, cold }: SessionState): Pick<SessionSummary, "imageId" | "coldReason"> {
  if (first) return { imageId: image?.id ?? first.facts.imageId, coldReason: first.facts.coldReason };
  return { imageId: image?.id ?? null, coldReason: cold };
}

/** What the database keeps of a session besides its summary. */
export interface SessionFacts extends StartFacts {
  /** rises with each change: a write that arrives late changes nothing */
  version: number;
  isReserved: boolean;
  /** the beginning of the first prompt, to be looked for */
  firstPrompt: string | null;
  /** `owner/name#number` in lower case */
  pullRequestKey: string | null;
}

const firstPromptLength = 500;

export function factsOf(state: SessionState): SessionFacts {
  const { first, pullRequest, repository, work } = state;
  return {
    ...(first ? first.facts : startFactsOf(state)),
    ...originOf(state),
    version: state.version,
    isReserved: state.reserved !== null,
    firstPrompt: work.firstPrompt?.slice(0, firstPromptLength) ?? null,
    pullRequestKey: pullRequest && `${repository.owner}/${repository.name}#${pullRequest.number}`.toLowerCase(),
  };
}

export function startFactsOf({ image, receipt, behind, cold, headSha }: SessionState): StartFacts {
  const coldMs = receipt?.cold?.ms ?? null;
  return {
    imageId: image?.id ?? null,
    coldReason: cold,
    coldMs: receipt?.startedFrom === "base" ? coldMs : null,
    savedMs: receipt?.startedFrom === "image" && coldMs !== null ? coldMs - receipt.startMs : null,
    behindCommits: behind?.commits ?? null,
    behindOldestAt: behind?.oldestAt ?? null,
    atHead: receipt && (headSha ?? null) === receipt.syncedSha,
  };
}

/** When it will be stopped if nothing is asked of it. */
export function idleStopAtOf(state: SessionState): number | null {
  const { stage, reserved, idleStopMs } = state;
  if (stage.at !== "ready" || isBusy(state)) return null;
  return reserved ? reserved.until : stage.idleFrom + idleStopMs;
}

function progressOf({ run, failed }: SessionState["pull"]): PullRequestProgress | null {
  if (run) return { at: run.at, branch: run.order.branch };
  return failed && { at: "failed", message: failed.message, hint: failed.hint };
}

/** Everything of a session but its conversation. */
export function shownStateOf(state: SessionState): SessionShown {
  const { image, snapshot, stage } = state;
  return {
    ...summaryOf(state),
    image: image && { id: image.id, buildId: image.buildId, sha: image.sha },
    cold: state.cold && createColdReason(state.cold, state.imageFailure?.failure.message),
    fallbacks: state.fallbacks,
    phases: state.phases,
    bakedSha: state.bakedSha,
    syncedSha: state.syncedSha,
    behind: state.behind ?? null,
    setupRanInSession: state.setupRan,
    staleSetup: state.staleSetup,
    receipt: state.receipt,
    failure: stage.at === "ended" ? stage.failure : null,
    idleStopAt: idleStopAtOf(state),
    snapshot: snapshot && { takenAt: snapshot.takenAt, expiresAt: snapshot.expiresAt },
    models: state.models,
    pullRequestProgress: progressOf(state.pull),
    pullRequestBy: state.pull.by ?? null,
  };
}

export function viewOf(state: SessionState, prompts: PromptView[]): SessionView {
  return { ...shownStateOf(state), prompts, todos: [], diff: null };
}
