/** What is known of the prompt that the agent has in hand. Holds it, decides nothing. */
import { type BridgeDown } from "@open-inspect/protocol";
import { type AgentIds, deriveAgentIds } from "../domain/agent-ids.ts";
import { type AgentError } from "../domain/agent-messages.ts";
import { type Answer, createAnswer } from "../domain/prompt-answer.ts";
import { createUsageMeter, type UsageMeter } from "../domain/usage.ts";
import { type AgentInput } from "./attachments.ts";

export type Prompt = Extract<BridgeDown, { type: "prompt" }>;

export interface PromptRun {
  prompt: Prompt;
  ids: AgentIds;
  answer: Answer;
  usage: UsageMeter;
  startedAt: number;
  /** null until it is prepared */
  parts: readonly AgentInput[] | null;
  /** aborts what the preparation does */
  preparing: AbortController;
  abortRequested: boolean;
  lastError: AgentError | null;
  /** the agent has taken the prompt in its present life */
  isPosted: boolean;
  resumes: number;
  lastEventAt: number;
}

/** Begins now. */
export function createRun(prompt: Prompt): PromptRun {
  const ids = deriveAgentIds(prompt.promptId, prompt.createdAt);
  const now = Date.now();
  return {
    prompt,
    ids,
    answer: createAnswer(prompt.promptId, ids.messageId),
    usage: createUsageMeter(),
    startedAt: now,
    parts: null,
    preparing: new AbortController(),
    abortRequested: false,
    lastError: null,
    isPosted: false,
    resumes: 0,
    lastEventAt: now,
  };
}
