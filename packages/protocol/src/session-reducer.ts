/** What a session looks like after each of its events: the one reducer of pages and tests. Pure: no socket, no clock. */
import { type PromptPart, type PromptView } from "./conversation.ts";
import { type SessionEvent, type SessionView } from "./session.ts";

/** A session as far as a browser knows it. `cursor` is what it asks `since` for when it comes back; null: it has seen nothing yet. */
export interface SessionReplica {
  view: SessionView | null;
  cursor: number | null;
}
export const emptyReplica: SessionReplica = { view: null, cursor: null };

/**
 * Takes the event up unless it is older than what is known already. What is repeated after a reconnect may carry the cursor that was
 * asked for: it is whole and may be applied again; a delta never.
 */
export function followSession(replica: SessionReplica, event: SessionEvent): SessionReplica {
  if (event.type === "log" || event.type === "presence") return replica;
  const { cursor } = replica;
  if (event.type !== "snapshot" && cursor !== null) {
    const isOld = event.type === "delta" ? event.cursor <= cursor : event.cursor < cursor;
    if (isOld) return replica;
  }
  return { view: applySessionEvent(replica.view, event), cursor: event.cursor };
}

/** Without a view only a snapshot says anything. Log entries and presence are not part of the view. */
export function applySessionEvent(view: SessionView, event: SessionEvent): SessionView;
export function applySessionEvent(view: SessionView | null, event: SessionEvent): SessionView | null;
export function applySessionEvent(view: SessionView | null, event: SessionEvent): SessionView | null {
  if (event.type === "snapshot") return event.session;
  if (view === null) return null;
  switch (event.type) {
    case "session":
      return { ...view, ...event.session };
    case "prompt": {
      const { prompt } = event;
      const isKnown = view.prompts.some(({ id }) => id === prompt.id);
      const prompts = isKnown
        ? view.prompts.map((one) => (one.id === prompt.id ? { ...prompt, parts: one.parts } : one))
        : [...view.prompts, { ...prompt, parts: [] }];
      return { ...view, prompts };
    }
    case "part":
      return changeParts(view, event.promptId, (parts) => putPart(parts, event.part));
    case "delta":
      return changeParts(view, event.promptId, (parts) => growPart(parts, event));
    case "todos":
      return { ...view, todos: event.todos };
    case "diff":
      return { ...view, diff: event.diff };
    case "log":
    case "presence":
      return view;
  }
}

/** Parts of a prompt that is not known are left out. */
function changeParts(view: SessionView, promptId: string, change: (parts: PromptPart[]) => PromptPart[]): SessionView {
  const at = view.prompts.findLastIndex(({ id }) => id === promptId);
  const prompt: PromptView | undefined = view.prompts[at];
  if (!prompt) return view;
  return { ...view, prompts: view.prompts.with(at, { ...prompt, parts: change(prompt.parts) }) };
}

/** A part keeps the place where it began. */
function putPart(parts: PromptPart[], part: PromptPart): PromptPart[] {
  const at = parts.findLastIndex(({ id }) => id === part.id);
  if (part.kind !== "tool" && part.text === "") return at < 0 ? parts : parts.toSpliced(at, 1);
  return at < 0 ? [...parts, part] : parts.with(at, part);
}

type Delta = Extract<SessionEvent, { type: "delta" }>;

/** A part that is not there yet begins with its delta. */
function growPart(parts: PromptPart[], { partId, kind, delta }: Delta): PromptPart[] {
  const at = parts.findLastIndex(({ id }) => id === partId);
  const part = parts[at];
  if (!part) return [...parts, { kind, id: partId, text: delta }];
  return part.kind === "tool" ? parts : parts.with(at, { ...part, text: part.text + delta });
}
