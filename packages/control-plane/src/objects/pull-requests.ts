/** A session's object between whoever asks for a pull request and the machine that makes it: what is asked is composed here, and its end waited for. */
import { type Person, type PromptView, type PullRequestRequest } from "@open-inspect/protocol";
import { deadlines } from "../domain/deadlines.ts";
import { type PullFailure, type PullInput } from "../domain/pull-request.ts";
import { orderPull } from "../domain/pull-request-text.ts";
import { type SessionState } from "../domain/session-state.ts";

export interface PullDemand {
  request: PullRequestRequest;
  person: Person;
  /** GitHub's number of who asks and is logged in; else null */
  githubId: number | null;
  /** the repository's, null when it is not known */
  defaultBranch: string | null;
  /** the session's page */
  url: string;
  pushId: string;
}
export interface PullRefusal {
  code: PullFailure["code"] | "session_not_ready" | "session_archived" | "invalid_request" | "conflict";
  message: string;
  hint: string;
}

export function createPullRequests(ports: {
  state(): SessionState | null;
  prompts(): Pick<PromptView, "text" | "author">[];
  dispatch(input: PullInput): void;
}) {
  const waiting = new Set<() => void>();
  const isUnderWay = (pushId: string) => ports.state()?.pull.run?.order.pushId === pushId;

  /** @returns the push that is under way, begun now or before */
  function begin(
    state: SessionState,
    { request, person, githubId, defaultBranch, url, pushId }: PullDemand,
  ): string | PullRefusal {
    const { run, opened } = state.pull;
    if (run) return run.order.pushId;
    const refused = refusalOf(state);
    if (refused) return refused;
    const { id: sessionId, title, branch: base, pullRequest: current } = state;
    const prompts = ports.prompts().map(({ text, author }) => ({ text, author }));
    const subject = { sessionId, title, url, base, defaultBranch, prompts, current, opened };
    const found = orderPull(subject, request, person, pushId);
    if ("refused" in found) return found.refused;
    const asker = githubId === null || person.login === null ? null : { githubId, login: person.login };
    ports.dispatch({ type: "pull.requested", attempt: state.attempt, order: { ...found.order, asker } });
    return pushId;
  }

  return {
    /** Resolves with why it came to nothing; null: it is done, or goes on after `pullAnswerMs`. */
    async request(state: SessionState, demand: PullDemand): Promise<PullRefusal | null> {
      const begun = begin(state, demand);
      if (typeof begun !== "string") return begun;
      if (isUnderWay(begun)) {
        const { promise, resolve } = Promise.withResolvers<void>();
        const look = () => void (isUnderWay(begun) || resolve());
        waiting.add(look);
        const timer = setTimeout(resolve, deadlines.pullAnswerMs);
        await promise;
        clearTimeout(timer);
        waiting.delete(look);
      }
      const failed = ports.state()?.pull.failed;
      if (failed?.pushId !== begun) return null;
      const { code, message, hint } = failed;
      return { code, message, hint };
    },
    /** After each commit. */
    settle(): void {
      for (const look of [...waiting]) look();
    },
  };
}

function refusalOf({ stage, archivedAt, readyAt }: SessionState): PullRefusal | null {
  if (archivedAt !== null) {
    return { code: "session_archived", message: "The session is archived.", hint: "Restore it and resume it, then ask again." };
  }
  switch (stage.at) {
    case "ready":
      return null;
    case "choosing":
    case "starting":
      return {
        code: "session_not_ready",
        message: readyAt === null ? "The session is still starting." : "The session is starting again.",
        hint: "Ask again when it is ready.",
      };
    case "snapshotting":
    case "stopping":
    case "ended":
      return {
        code: "session_not_ready",
        message: "The session has no sandbox to push from.",
        hint: "Resume it or send a prompt, and ask again when it is ready.",
      };
  }
}
