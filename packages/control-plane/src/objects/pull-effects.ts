/** Performs the effects of a pull request: the push that is asked for over the bridge, GitHub's part of it. Decides nothing. */
import { type BridgeDown, type PullRequestBy } from "@open-inspect/protocol";
import { type GitHub, type GitHubFailure, type PullAsk, type PullFound, type PullRefused, type Result } from "../domain/ports.ts";
import { type Asker, nothingToPush, type PullEffect, type PullFailure, type PullInput } from "../domain/pull-request.ts";
import { type Permission } from "../logins.ts";
import { type EffectPolicy, type Performed } from "./runner.ts";

export const pullPolicies: Record<PullEffect["type"], EffectPolicy> = {
  /** the socket may be away for a moment; the push has a deadline of its own */
  "bridge.push": { tries: null, firstPauseMs: 250, maxPauseMs: 3_000, limitMs: 5_000 },
  "pull.open": { tries: 6, firstPauseMs: 1_000, maxPauseMs: 15_000, limitMs: 60_000 },
  "pull.read": { tries: 6, firstPauseMs: 1_000, maxPauseMs: 60_000, limitMs: 30_000 },
};

export function pullAddress(effect: PullEffect): { key: string; lane: string; delayMs: number } {
  switch (effect.type) {
    case "bridge.push":
      return { key: "push", lane: "push", delayMs: 0 };
    case "pull.open":
    case "pull.read":
      return { key: effect.type, lane: "pull", delayMs: 0 };
  }
}

export interface PullWorld {
  github: GitHub;
  repository: { owner: string; name: string; installationId: number };
  /** the token of a person who is logged in */
  tokenOf(githubId: number): Promise<Permission>;
  /** false: there is no socket at the moment */
  send(attempt: string, message: BridgeDown): boolean;
}

export async function performPullEffect(effect: PullEffect, world: PullWorld): Promise<Performed<PullInput>> {
  const { github, repository } = world;
  switch (effect.type) {
    case "bridge.push": {
      const { attempt, pushId, branch, commit } = effect;
      return world.send(attempt, { type: "push", pushId, branch, ...commit })
        ? { done: null }
        : { retry: null, cause: "no socket" };
    }
    case "pull.open": {
      const { pushId, ask } = effect;
      const { result, by } = await open(ask, effect.asker ?? null, world);
      if (!result.ok) {
        const input: PullInput = { type: "pull.refused", pushId, failure: failureOf(result.error, ask.head) };
        return passes(result.error) ? { retry: input, cause: result.error.message } : { done: input };
      }
      if (!("refused" in result.value)) return { done: { type: "pull.opened", pushId, found: result.value, by } };
      const { refused, message } = result.value;
      const failure =
        refused === "nothing" ? nothingToPush : failed(`GitHub did not take the pull request: ${message}.`, pushedTo(ask.head));
      return { done: { type: "pull.refused", pushId, failure } };
    }
    case "pull.read": {
      const result = await github.readPull(repository.installationId, repository, effect.number);
      if (result.ok) return { done: { type: "pull.heard", found: result.value, isRead: true } };
      return passes(result.error) ? { retry: null, cause: result.error.message } : { done: null };
    }
  }
}

interface Opened {
  result: Result<PullFound | PullRefused, GitHubFailure>;
  by: PullRequestBy;
}

/** In the name of whoever asks where GitHub allows it, else as the App, saying why. */
async function open(ask: PullAsk, asker: Asker | null, { github, repository, tokenOf }: PullWorld): Promise<Opened> {
  let reason: string | null = null;
  if (asker) {
    const { githubId, login } = asker;
    const permission = await tokenOf(githubId);
    if ("token" in permission) {
      const result = await github.openPullAs(permission.token, repository, ask);
      if (result.ok || result.error.kind === "transient") return { result, by: { login, reason: null } };
      reason = `GitHub did not let ${login} do it: ${result.error.message.slice(0, messageMax)}`;
    } else {
      reason =
        permission.refused === "logged_out"
          ? `${login} is not logged in any more.`
          : `GitHub did not renew the login of ${login}.`;
    }
  }
  return { result: await github.openPull(repository.installationId, repository, ask), by: { login: null, reason } };
}
const messageMax = 300;

const passes = ({ kind }: GitHubFailure): boolean => kind === "transient" || kind === "rate_limited";
const failed = (message: string, hint: string): Omit<PullFailure, "pushId"> => ({ code: "pull_request_failed", message, hint });
const pushedTo = (branch: string): string => `The work is pushed to ${branch}. Open the pull request at GitHub, or ask again.`;

function failureOf({ kind, message }: GitHubFailure, branch: string): Omit<PullFailure, "pushId"> {
  const sentence = `GitHub did not open the pull request: ${message}`;
  switch (kind) {
    case "transient":
    case "rate_limited":
      return failed(sentence, pushedTo(branch));
    case "not_found":
    case "unauthorized":
    case "lost":
      return failed(
        sentence,
        `The work is pushed to ${branch}. Check that the GitHub App is installed on the repository and has the permission Pull requests: read and write, and ask again.`,
      );
  }
}
