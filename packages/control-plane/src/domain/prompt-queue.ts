/** Which prompt runs, which waits, and how each of them ends. Pure: no clock, no storage, no sockets. */
import { type PromptStatus, promptQueueMax } from "@open-inspect/protocol";

/** A prompt as the rules see it. */
export interface QueuedPrompt {
  id: string;
  status: PromptStatus;
  /** the sandbox attempt that it was sent to; null while it waits */
  sentTo: string | null;
  /** the runtime has said that it began */
  hasBegun: boolean;
  /** a person wants it stopped; without an answer it is stopped then all the same */
  stopBy: number | null;
}

/** One is in flight; the next one goes when it has ended, in the order in which they came. */
export function nextToSend<Prompt extends QueuedPrompt>(prompts: readonly Prompt[]): Prompt | null {
  if (prompts.some((one) => one.status === "running")) return null;
  return prompts.find((one) => one.status === "queued") ?? null;
}

export const inFlight = <Prompt extends QueuedPrompt>(prompts: readonly Prompt[]): Prompt | null =>
  prompts.find((one) => one.status === "running") ?? null;

/** Whether one more may wait. */
export const isQueueFull = (prompts: readonly QueuedPrompt[]): boolean =>
  prompts.filter((one) => one.status === "queued").length >= promptQueueMax;

/** What stopping comes to: one that waits never runs, one that runs is asked to end, one that is over stays what it is. */
export function decideStop(prompt: QueuedPrompt): "cancel" | "abort" | "nothing" {
  if (prompt.status === "queued") return "cancel";
  return prompt.status === "running" && prompt.stopBy === null ? "abort" : "nothing";
}

/** Words about a prompt count while it runs, and only from the sandbox that it was sent to. */
export const isHeard = (prompt: QueuedPrompt | null, attempt: string): prompt is QueuedPrompt =>
  prompt !== null && prompt.status === "running" && prompt.sentTo === attempt;

/** The end that the runtime's word comes to. */
export function endOf(outcome: "done" | "aborted" | "failed"): "done" | "stopped" | "failed" {
  return outcome === "aborted" ? "stopped" : outcome;
}

/**
 * What becomes of the prompt in flight when its sandbox is gone. It waits again when the agent has not begun, or when the sandbox had never
 * become ready: what the agent did there was reading only.
 */
export function decideLoss(prompt: QueuedPrompt, wasReady: boolean): "wait" | "stop" | "fail" {
  if (prompt.stopBy !== null) return "stop";
  return prompt.hasBegun && wasReady ? "fail" : "wait";
}
