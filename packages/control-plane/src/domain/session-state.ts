/** What a session remembers. Pure data; how it looks from outside is in `session-views.ts`, the decisions are in `session.ts`. */
import {
  type Behind,
  type ColdReasonCode,
  type Failure,
  type Person,
  type PhaseRecord,
  type PullRequest,
  type SessionView,
  type StaleSetup,
  type StartReceipt,
  type StartSource,
  type Usage,
} from "@open-inspect/protocol";
import { type StoredImage } from "./image-selection.ts";
import { type PullWork } from "./pull-request.ts";
import { type ColdHistory } from "./receipt.ts";
import { type SandboxLife } from "./sandbox.ts";

/** A sandbox that waits for its session: until somebody has written the first prompt, or in a repository's warm pool. */
export interface Reserved {
  kind: "typing" | "pool";
  /** it is stopped when no session claims it until then; null: whoever made it ends it */
  until: number | null;
}

/** What a session is asked to be; written once. */
export interface SessionOrder {
  id: string;
  repository: { owner: string; name: string; cloneUrl: string; installationId: number };
  branch: string;
  /** nobody asked for the branch by its name: the server's default branch may take its place */
  isDefaultBranch: boolean;
  model: string | null;
  /** models that a prompt may name; the first is the default */
  models: string[];
  title: string;
  /** whoever began it; null while it is reserved and for what a session began */
  author: Person | null;
  /** the session that began this one */
  parentId: string | null;
  /** not null: no session yet, which `claim` makes of it */
  reserved: Reserved | null;
  /** when the Worker accepted the request */
  acceptedAt: number;
  image: StoredImage | null;
  cold: ColdReasonCode | null;
  history: ColdHistory;
  /** ids of the first two sandboxes; further ones are derived from the first */
  attempts: readonly [string, string];
  startLimitMs: number;
  /** a session of which nothing is asked for so long is kept as a snapshot and stopped */
  idleStopMs: number;
}

/** What the session's prompts amount to, as whoever keeps them says. */
export interface SessionWork {
  /** a prompt runs or waits */
  isWorking: boolean;
  promptCount: number;
  /** of all prompts together */
  usage: Usage | null;
  /** the last prompt or word of an answer; null before the first */
  activeAt: number | null;
  /** to be looked for in the list */
  firstPrompt: string | null;
}
export const noWork: SessionWork = { isWorking: false, promptCount: 0, usage: null, activeAt: null, firstPrompt: null };

export type UpLife = Extract<SandboxLife, { at: "up" }>;

/** Why a sandbox is kept: nothing is asked of it, a person stopped it, or the provider would end it soon. */
export type KeepReason = "idle" | "stop" | "move";

export type SessionStage =
  /** what the next start comes from is looked up; there is no sandbox */
  | { at: "choosing"; limitAt: number }
  | { at: "starting"; life: SandboxLife; limitAt: number }
  /** `idleFrom`: nothing has been asked of it since; means nothing while it works */
  | { at: "ready"; life: UpLife; idleFrom: number }
  | { at: "snapshotting"; life: UpLife; reason: KeepReason; deadlineAt: number }
  /** `note`: what the end will say */
  | { at: "stopping"; attempt: string; deadlineAt: number; note: Failure | null }
  | { at: "ended"; status: "stopped" | "failed"; failure: Failure | null; endedAt: number };

/** Why the image was given up for the base. */
export interface ImageFailure {
  imageId: string;
  failure: Failure;
  /** what the image holds was at work: a base that does better proves the image broken */
  isInside: boolean;
}

/** The session's own filesystem, as it was when its last sandbox ended. */
export interface KeptSnapshot {
  providerImageId: string;
  takenAt: number;
  expiresAt: number;
  /** of the runtime that it holds */
  runtimeRevision: number;
}

/** What the database keeps of a session besides its summary. */
export interface StartFacts {
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

/** The first start that got ready. It alone counts in the insights: a session is one start, however often it is resumed. */
export interface FirstStart {
  receipt: StartReceipt;
  readyAt: number;
  facts: StartFacts;
}

export interface SessionState extends Omit<SessionOrder, "image" | "cold"> {
  /** rises with each change */
  version: number;
  /** the attempt that lives, or lived last */
  attempt: string;
  /** sandboxes that were asked for until now, this one included */
  serial: number;
  /** what the attempt comes from */
  from: StartSource;
  image: StoredImage | null;
  cold: ColdReasonCode | null;
  /** what was tried before this attempt in the same start, and why it did not do */
  fallbacks: SessionView["fallbacks"];
  /** when this start was asked for */
  askedAt: number;
  /** when the attempt began; what it waited for the base image is not counted */
  attemptAt: number;
  /** when the provider began to count the sandbox's lifetime, at the earliest */
  bornAt: number;
  stage: SessionStage;
  phases: PhaseRecord[];
  bakedSha: string | null;
  syncedSha: string | null;
  /** how far the image was behind before the sync; absent until the runtime said it */
  behind?: Behind;
  /** the branch's head as the server gave it at the sync */
  headSha?: string;
  setupRan: boolean | null;
  staleSetup: StaleSetup | null;
  readyAt: number | null;
  receipt: StartReceipt | null;
  imageFailure?: ImageFailure;
  first: FirstStart | null;
  work: SessionWork;
  pullRequest: PullRequest | null;
  pull: PullWork;
  archivedAt: number | null;
  snapshot: KeptSnapshot | null;
  /** ends by failure since it was last up for long enough, oldest first */
  failedAts: number[];
  /** too many of them: it does not start by itself any more */
  isSuspended: boolean;
  /** a person asked for it while it was being stopped */
  isResumeAsked: boolean;
  /** how the reserved sandbox came to its session; null when it was made for it */
  warm: Reserved["kind"] | null;
  /** of the claim that got it, so that its repetition is told the same */
  claimedBy: string | null;
  /** `owed`, then `asked`: the workspace has to be brought to the branch's head again before the session is ready */
  sync: "none" | "owed" | "asked";
}

/** The id of the session's n-th sandbox, beginning with 1. Ids are no secrets, so the later ones need no randomness of their own. */
export function attemptOf({ attempts }: Pick<SessionState, "attempts">, serial: number): string {
  const [first, second] = attempts;
  if (serial <= 2) return serial === 1 ? first : second;
  return `${first.slice(0, 24)}${serial.toString(16).padStart(8, "0")}`;
}

/** Something is being done in the sandbox: a prompt, the refresh beside the agent, or a push. */
export const isBusy = ({ work, staleSetup, pull }: Pick<SessionState, "work" | "staleSetup" | "pull">): boolean =>
  work.isWorking || staleSetup?.refresh === "running" || pull.run?.at === "pushing";

/** The attempt whose runtime is listened to; null when there is none. */
export function liveAttemptOf(state: SessionState | null): string | null {
  switch (state?.stage.at) {
    case "starting":
    case "ready":
    case "snapshotting":
      return state.attempt;
    default:
      return null;
  }
}
