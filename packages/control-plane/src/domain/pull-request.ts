/**
 * A session's way to its pull request: asked for, pushed from the sandbox, opened at GitHub, followed by webhooks.
 * `stepPull(part, input, now) → { part, effects }`. Pure: no clock, no storage, no sockets.
 */
import { type Person, type PullRequest, type PullRequestBy, type RuntimeEvent } from "@open-inspect/protocol";
import { deadlines, evaluateDeadline } from "./deadlines.ts";
import { type PullAsk, type PullFound } from "./ports.ts";

/** Whoever asks and is logged in with GitHub. It names the person; the token is asked for when it is used. */
export interface Asker {
  githubId: number;
  login: string;
}

/** A request with everything that its steps need; written once. */
export interface PullOrder {
  pushId: string;
  /** what is pushed, and what it is to be merged into */
  branch: string;
  base: string;
  title: string;
  body: string;
  draft: boolean;
  /** of what is not committed yet */
  commit: { message: string; author: Person | null };
  /** what a person wrote; it replaces what an open pull request has */
  changes: { title?: string; body?: string };
  /** null or absent: it is opened as the App */
  asker?: Asker | null;
}

export type PullRun =
  /** `attempt`: the sandbox that pushes */
  | { at: "pushing"; attempt: string; order: PullOrder; deadlineAt: number }
  | { at: "opening"; order: PullOrder; deadlineAt: number };

export interface PullFailure {
  pushId: string;
  code: "nothing_to_push" | "pull_request_failed";
  message: string;
  hint: string;
}

export interface PullWork {
  run: PullRun | null;
  /** why the last request came to nothing */
  failed: PullFailure | null;
  /** pull requests until now */
  opened: number;
  /** when the pull request changed last, by GitHub's clock; 0 for none */
  updatedAt: number;
  /** when GitHub was asked for it last because somebody looked */
  lookedAt?: number;
  /** in whose name GitHub has it */
  by?: PullRequestBy | null;
}
export const noPull: PullWork = { run: null, failed: null, opened: 0, updatedAt: 0 };

/** What of a session this is about. */
export interface PullPart {
  pull: PullWork;
  pullRequest: PullRequest | null;
}

export type PullInput =
  | { type: "pull.requested"; attempt: string; order: PullOrder }
  | { type: "pull.opened"; pushId: string; found: PullFound; by?: PullRequestBy }
  | { type: "pull.refused"; pushId: string; failure: Omit<PullFailure, "pushId"> }
  /** `isRead`: asked of GitHub just now, so that it is true whatever its time says */
  /** somebody looks at the session: an event that was lost is made up for */
  | { type: "pull.looked" }
  | { type: "pull.heard"; found: PullFound; isRead: boolean };

export type PullEffect =
  | { type: "bridge.push"; attempt: string; pushId: string; branch: string; commit: PullOrder["commit"] }
  | { type: "pull.open"; pushId: string; ask: PullAsk; asker?: Asker | null }
  /** GitHub's own word: an event may have been lost, or two were sent in one second */
  | { type: "pull.read"; number: number };

export interface PullStep<Part extends PullPart> {
  part: Part;
  effects: PullEffect[];
}

export function stepPull<Part extends PullPart>(part: Part, input: PullInput, now: number): PullStep<Part> {
  const { run } = part.pull;
  switch (input.type) {
    case "pull.requested": {
      // Who asks again while it is under way is told what comes of that.
      if (run) return { part, effects: [] };
      const { attempt, order } = input;
      const pushing: PullRun = { at: "pushing", attempt, order, deadlineAt: now + deadlines.pushMs };
      return { part: withPull(part, { run: pushing, failed: null }), effects: [askPush(pushing)] };
    }
    case "pull.opened": {
      if (run?.at !== "opening" || run.order.pushId !== input.pushId) return { part, effects: [] };
      const isKnown = part.pullRequest?.number === input.found.pullRequest.number;
      const opened = part.pull.opened + (isKnown ? 0 : 1);
      const by = byOf(part.pull.by ?? null, input, isKnown);
      // An event may have overtaken the answer.
      if (isKnown && input.found.updatedAt < part.pull.updatedAt) {
        return { part: withPull(part, { run: null, failed: null, by }), effects: [] };
      }
      const { pullRequest, updatedAt } = input.found;
      return { part: { ...withPull(part, { run: null, failed: null, opened, updatedAt, by }), pullRequest }, effects: [] };
    }
    case "pull.refused":
      if (run?.order.pushId !== input.pushId) return { part, effects: [] };
      return { part: failPull(part, input.failure), effects: [] };
    case "pull.looked":
      return look(part, now);
    case "pull.heard":
      return hear(part, input);
  }
}

/** GitHub's own word on who opened it, else whoever does so now. */
function byOf(
  before: PullRequestBy | null,
  { found, by }: Extract<PullInput, { type: "pull.opened" }>,
  isKnown: boolean,
): PullRequestBy {
  const { login = null, reason = null } = by ?? {};
  return { login: found.author === undefined ? (isKnown && before ? before.login : login) : found.author, reason };
}

function look<Part extends PullPart>(part: Part, now: number): PullStep<Part> {
  const { pullRequest: known, pull } = part;
  // What is merged stays so.
  if (!known || known.state === "merged" || now - (pull.lookedAt ?? 0) < deadlines.pullLookMs) return { part, effects: [] };
  return { part: withPull(part, { lookedAt: now }), effects: [{ type: "pull.read", number: known.number }] };
}

function hear<Part extends PullPart>(part: Part, { found, isRead }: Extract<PullInput, { type: "pull.heard" }>): PullStep<Part> {
  const { pullRequest: known, pull } = part;
  const { pullRequest, updatedAt } = found;
  if (known?.number !== pullRequest.number || updatedAt < pull.updatedAt) return { part, effects: [] };
  const isSame = JSON.stringify(known) === JSON.stringify(pullRequest);
  if (isSame && updatedAt === pull.updatedAt) return { part, effects: [] };
  // GitHub's times are whole seconds: of two different words with one time nobody knows which is the later.
  if (!isRead && updatedAt === pull.updatedAt) return { part, effects: [{ type: "pull.read", number: known.number }] };
  return { part: { ...withPull(part, { updatedAt }), pullRequest }, effects: [] };
}

/** The runtime's answer to a push. */
export function takePushed<Part extends PullPart>(
  part: Part,
  attempt: string,
  { pushId, outcome }: Extract<RuntimeEvent, { type: "push.finished" }>,
  now: number,
): PullStep<Part> {
  const { run } = part.pull;
  if (run?.at !== "pushing" || run.attempt !== attempt || run.order.pushId !== pushId) return { part, effects: [] };
  switch (outcome.kind) {
    case "nothing":
      return { part: failPull(part, nothingToPush), effects: [] };
    case "failed":
      return {
        part: failPull(part, {
          code: "pull_request_failed",
          message: `The sandbox could not push: ${outcome.message}`,
          hint: "Correct what git says, or ask the agent to, and ask for the pull request again.",
        }),
        effects: [],
      };
    case "pushed": {
      // The runtime has the last word on the name: what is there is what can be merged.
      const order = { ...run.order, branch: outcome.branch };
      const { base, branch: head, title, body, draft, changes, asker = null } = order;
      const opening: PullRun = { at: "opening", order, deadlineAt: now + deadlines.pullOpenMs };
      const ask: PullAsk = { base, head, title, body, draft, changes };
      return { part: withPull(part, { run: opening }), effects: [{ type: "pull.open", pushId, ask, asker }] };
    }
  }
}

export const nothingToPush = {
  code: "nothing_to_push",
  message: "There is nothing to push: the session has changed nothing that the branch does not have.",
  hint: "Let the agent change something first.",
} as const;

/**
 * What the time and the session's life make of a request under way.
 * @param readyAttempt the sandbox that could push; null while there is none
 */
export function tendPull<Part extends PullPart>(part: Part, readyAttempt: string | null, now: number): Part {
  const { run } = part.pull;
  if (!run) return part;
  if (run.at === "pushing" && run.attempt !== readyAttempt) {
    return failPull(part, {
      code: "pull_request_failed",
      message: "The sandbox was gone before everything was pushed.",
      hint: "Send a prompt or resume the session, and ask for the pull request again when it is ready.",
    });
  }
  switch (evaluateDeadline(run.deadlineAt, now)) {
    case "pending":
      return part;
    case "late":
      return withPull(part, { run: { ...run, deadlineAt: now + deadlines.graceMs } });
    case "due":
      return failPull(part, {
        code: "pull_request_failed",
        ...(run.at === "pushing"
          ? {
              message: `The push did not end within ${seconds(deadlines.pushMs)} seconds.`,
              hint: "See whether the sandbox answers prompts, and ask again.",
            }
          : {
              message: `GitHub did not open the pull request within ${seconds(deadlines.pullOpenMs)} seconds.`,
              hint: `The work is pushed to ${run.order.branch}. Ask again in a moment.`,
            }),
      });
  }
}

/** The runtime is (back) on its bridge: a push that it may not have heard of is said again. It knows it by its id. */
export function resendPush({ pull: { run } }: PullPart, attempt: string): PullEffect[] {
  return run?.at === "pushing" && run.attempt === attempt ? [askPush(run)] : [];
}

export function isPullEffectWanted({ pull: { run } }: PullPart, effect: PullEffect): boolean {
  switch (effect.type) {
    case "bridge.push":
      return run?.at === "pushing" && run.order.pushId === effect.pushId;
    case "pull.open":
      return run?.at === "opening" && run.order.pushId === effect.pushId;
    case "pull.read":
      return true;
  }
}

export const nextPullWakeAt = ({ pull: { run } }: PullPart): number | null => run?.deadlineAt ?? null;

/** The push that may write now. */
export const pushInFlight = ({ pull: { run } }: PullPart, attempt: string): string | null =>
  run?.at === "pushing" && run.attempt === attempt ? run.order.pushId : null;

const askPush = ({ attempt, order }: Extract<PullRun, { at: "pushing" }>): PullEffect => {
  const { pushId, branch, commit } = order;
  return { type: "bridge.push", attempt, pushId, branch, commit };
};

function withPull<Part extends PullPart>(part: Part, change: Partial<PullWork>): Part {
  return { ...part, pull: { ...part.pull, ...change } };
}

function failPull<Part extends PullPart>(part: Part, failure: Omit<PullFailure, "pushId">): Part {
  const pushId = part.pull.run?.order.pushId ?? "";
  return withPull(part, { run: null, failed: { pushId, ...failure } });
}

const seconds = (ms: number): number => Math.round(ms / 1000);
