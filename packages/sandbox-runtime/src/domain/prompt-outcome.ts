/** Decides, once the agent is idle, how a prompt has ended. Pure. */
import { type AgentError, type AgentMessages, errorText, isAborted } from "./agent-messages.ts";

export type PromptOutcome =
  | { kind: "done" }
  | { kind: "aborted" }
  | { kind: "failed"; error: string }
  /** it stopped in the middle: sending the same ids again makes the agent go on */
  | { kind: "unfinished" };

const minuteMs = 60_000;

/** After how long without a sign of life a prompt is given up. A tool that runs, a build or its tests, may be silent for long. */
export const silenceMaxMs = (hasRunningTool: boolean): number => (hasRunningTool ? 6 * 60 : 30) * minuteMs;

/** @param snapshot the session's latest messages, oldest first @param lastError of `session.error` since the prompt was sent */
export function decideOutcome(input: {
  snapshot: AgentMessages;
  messageId: string;
  abortRequested: boolean;
  lastError: AgentError | null;
}): PromptOutcome {
  const asked = input.snapshot.findIndex(({ info }) => info.id === input.messageId);
  const said = input.snapshot.slice(asked + 1).filter(({ info }) => info.role === "assistant");
  const newest = said.at(-1)?.info;
  // A conversation too long for the model, which the agent could not shorten either: the answer itself carries no error.
  if (asked >= 0 && newest?.summary && newest.error) return failedWith(newest.error);
  const last = said.findLast(({ info }) => !info.summary)?.info;
  // A session that was compacted, or a long answer, may not show the prompt itself any more.
  const answer = last && (asked >= 0 || last.parentID === input.messageId) ? last : undefined;
  if (answer?.error) return failedWith(answer.error);
  if (answer?.time.completed !== undefined && answer.finish !== "tool-calls") return { kind: "done" };
  if (input.abortRequested) return { kind: "aborted" };
  if (!answer && input.lastError) return { kind: "failed", error: errorText(input.lastError) };
  return { kind: "unfinished" };
}

const failedWith = (error: AgentError): PromptOutcome =>
  isAborted(error) ? { kind: "aborted" } : { kind: "failed", error: errorText(error) };
