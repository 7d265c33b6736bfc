/** Lets a prompt's answer grow by the text that streams in. Pure. */
import { type PromptPart, type SessionEvent, type SessionView } from "@open-inspect/protocol";

type Delta = Extract<SessionEvent, { type: "delta" }>;

/** A part that is not there yet begins with the delta; a delta for an unknown prompt is left out: the next view has it. */
export function applyDelta(session: SessionView, { promptId, partId, kind, delta }: Delta): SessionView {
  const grow = (parts: PromptPart[]): PromptPart[] =>
    parts.some((part) => part.id === partId)
      ? parts.map((part) => (part.id === partId && part.kind !== "tool" ? { ...part, text: part.text + delta } : part))
      : [...parts, { kind, id: partId, text: delta }];
  return {
    ...session,
    prompts: session.prompts.map((prompt) => (prompt.id === promptId ? { ...prompt, parts: grow(prompt.parts) } : prompt)),
  };
}
