/** What a session remembers, and how it looks from outside. Pure data; the decisions are in `session.ts`. */
import {
  type Behind,
  type ColdReasonCode,
  type Failure,
  type PhaseRecord,
  type PromptView,
  type SessionStatus,
  type SessionSummary,
  type SessionView,
  type StartReceipt,
} from "@open-inspect/protocol";
import { createColdReason } from "./failures.ts";
import { type StoredImage } from "./image-selection.ts";
import { type ColdHistory } from "./receipt.ts";
import { type SandboxLife } from "./sandbox.ts";

/** What a session is asked to be; written once. */
export interface SessionOrder {
  id: string;
  repository: { owner: string; name: string; cloneUrl: string; installationId: number };
  branch: string;
  /** nobody asked for the branch by its name: the server's default branch may take its place */
  isDefaultBranch: boolean;
  model: string | null;
  title: string;
  /** when the Worker accepted the request */
  acceptedAt: number;
  image: StoredImage | null;
  cold: ColdReasonCode | null;
  history: ColdHistory;
  /** ids of the first attempt and of the one from the base, should the image not start */
  attempts: readonly [string, string];
  startLimitMs: number;
}

export type SessionStage =
  | { at: "starting"; life: SandboxLife; limitAt: number }
  | { at: "ready"; life: Extract<SandboxLife, { at: "up" }> }
  | { at: "stopping"; attempt: string; deadlineAt: number }
  | { at: "ended"; status: "stopped" | "failed"; failure: Failure | null; endedAt: number };

/** Why the image was given up for the base. */
export interface ImageFailure {
  imageId: string;
  failure: Failure;
  /** what the image holds was at work: a base that does better proves the image broken */
  isInside: boolean;
}

export interface SessionState extends Omit<SessionOrder, "attempts"> {
  /** the attempt that lives, or lived last */
  attempt: string;
  /** the attempt from the base that is left; null when it was used or is not needed */
  spareAttempt: string | null;
  /** when it began; what it waited for the base image is not counted */
  attemptAt: number;
  stage: SessionStage;
  phases: PhaseRecord[];
  bakedSha: string | null;
  syncedSha: string | null;
  /** how far the image was behind before the sync; absent until the runtime said it */
  behind?: Behind;
  /** the branch's head as the server gave it at the sync */
  headSha?: string;
  setupRan: boolean | null;
  readyAt: number | null;
  receipt: StartReceipt | null;
  imageFailure?: ImageFailure;
}

export function statusOf(state: SessionState): SessionStatus {
  switch (state.stage.at) {
    case "starting":
      return startingStatus(state.stage.life);
    case "ready":
      return "ready";
    case "stopping":
      return "stopping";
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

export function summaryOf(state: SessionState): SessionSummary {
  return {
    id: state.id,
    repository: { owner: state.repository.owner, name: state.repository.name },
    branch: state.branch,
    status: statusOf(state),
    createdAt: state.acceptedAt,
    readyAt: state.readyAt,
    endedAt: state.stage.at === "ended" ? state.stage.endedAt : null,
    startMs: state.receipt?.startMs ?? null,
    startedFrom: state.receipt?.startedFrom ?? null,
    title: state.title,
    isWorking: false,
    activeAt: state.readyAt ?? state.acceptedAt,
    author: null,
    usage: null,
    promptCount: 0,
    pullRequest: null,
    parentId: null,
    archivedAt: null,
  };
}

/** What the database keeps of a session besides its summary. */
export interface SessionFacts {
  /** the image that its sandbox comes from; null when it is cold */
  imageId: string | null;
  coldReason: ColdReasonCode | null;
  /** what its start says about cold starts; null when it started from an image or not at all */
  coldMs: number | null;
  /** what the image spared, by what is known of cold starts; null when cold or when nothing is known */
  savedMs: number | null;
  behindCommits: number | null;
  behindOldestAt: number | null;
  /** whether the agent began on the very commit that the server called the branch's head; null until it is ready */
  atHead: boolean | null;
}

export function factsOf(state: SessionState): SessionFacts {
  const { image, receipt, behind, cold } = state;
  const coldMs = receipt?.cold?.ms ?? null;
  return {
    imageId: image?.id ?? null,
    coldReason: cold,
    coldMs: receipt?.startedFrom === "base" ? coldMs : null,
    savedMs: receipt?.startedFrom === "image" && coldMs !== null ? coldMs - receipt.startMs : null,
    behindCommits: behind?.commits ?? null,
    behindOldestAt: behind?.oldestAt ?? null,
    atHead: receipt && (state.headSha ?? null) === receipt.syncedSha,
  };
}

export function viewOf(state: SessionState, prompts: PromptView[]): SessionView {
  const { image } = state;
  return {
    ...summaryOf(state),
    image: image && { id: image.id, buildId: image.buildId, sha: image.sha },
    cold: state.cold && createColdReason(state.cold, state.imageFailure?.failure.message),
    phases: state.phases,
    bakedSha: state.bakedSha,
    syncedSha: state.syncedSha,
    behind: state.behind ?? null,
    setupRanInSession: state.setupRan,
    receipt: state.receipt,
    prompts,
    fallbacks: [],
    staleSetup: null,
    idleStopAt: null,
    snapshot: null,
    models: [],
    todos: [],
    diff: null,
    failure: state.stage.at === "ended" ? state.stage.failure : null,
  };
}
