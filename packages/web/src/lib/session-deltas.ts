/** Lets a prompt's answer grow by the text that streams in, a few times a second however fast it comes. */
import { type PromptPart, type SessionEvent, type SessionView } from "@open-inspect/protocol";

export type Delta = Extract<SessionEvent, { type: "delta" }>;

/** Each growth draws the answer anew: once per token would be quadratic in its length. */
const flushEveryMs = 60;

function grow(parts: PromptPart[], { partId, kind, delta }: Delta): PromptPart[] {
  if (!parts.some((part) => part.id === partId)) return [...parts, { kind, id: partId, text: delta }];
  return parts.map((part) => (part.id === partId && part.kind !== "tool" ? { ...part, text: part.text + delta } : part));
}

/** Pure. A part that is not there yet begins with its delta; a delta for an unknown prompt is left out: the next view has it. */
export function applyDeltas(session: SessionView, deltas: readonly Delta[]): SessionView {
  return {
    ...session,
    prompts: session.prompts.map((prompt) => ({
      ...prompt,
      parts: deltas.filter((delta) => delta.promptId === prompt.id).reduce(grow, prompt.parts),
    })),
  };
}

export interface DeltaQueue {
  push(delta: Delta): void;
  /** forgets what waits: a whole view has come, which holds it already */
  clear(): void;
}

export function createDeltaQueue(apply: (deltas: readonly Delta[]) => void): DeltaQueue {
  let waiting: Delta[] = [];
  let timer: ReturnType<typeof setTimeout> | undefined;
  return {
    push(delta) {
      waiting.push(delta);
      timer ??= setTimeout(() => {
        timer = undefined;
        const deltas = waiting;
        waiting = [];
        apply(deltas);
      }, flushEveryMs);
    },
    clear() {
      clearTimeout(timer);
      timer = undefined;
      waiting = [];
    },
  };
}
