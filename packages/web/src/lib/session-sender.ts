/** Prompts on their way to a session: shown at once, sent one after the other, kept with the reason when they were refused. */
import { createId, type Person, type PromptView } from "@open-inspect/protocol";
import { useCallback, useMemo, useRef, useState } from "react";
import { type ApiError, toApiError } from "./api.ts";
import { useServices } from "./services.tsx";
import { type DraftAttachment, toInput } from "./session-attachments.ts";

export interface Outgoing {
  id: string;
  text: string;
  model: string | null;
  attachments: readonly DraftAttachment[];
  createdAt: number;
  /** why it did not get there; null while it may still */
  error: ApiError | null;
}

/** As the conversation will show it once it has arrived. */
export function toPromptView({ id, text, model, attachments, createdAt }: Outgoing, author: Person | null = null): PromptView {
  return {
    ...{ id, text, model, author, createdAt },
    attachments: attachments.map(({ key, name, mime, sizeBytes }) => ({ id: key, name, mime, sizeBytes })),
    ...{ status: "queued", parts: [], error: null, startedAt: null, finishedAt: null, usage: null },
  };
}

export interface Sender {
  /** not in the session yet, oldest first */
  outgoing: readonly Outgoing[];
  send(prompt: Pick<Outgoing, "text" | "model" | "attachments">): void;
  retry(id: string): void;
  /** forgets one that was refused */
  discard(id: string): void;
}

/** @param arrived prompts that the session has */
export function useSender(sessionId: string, arrived: readonly PromptView[]): Sender {
  const { api } = useServices();
  const [sent, setSent] = useState<readonly Outgoing[]>([]);
  /** the second leaves when the first has been answered: in the order in which they were written */
  const last = useRef<Promise<unknown>>(Promise.resolve());

  const post = useCallback(
    (prompt: Outgoing) => {
      const { id, text, model, attachments } = prompt;
      const request = {
        ...{ id, text },
        ...(model === null ? {} : { model }),
        ...(attachments.length === 0 ? {} : { attachments: attachments.map(toInput) }),
      };
      last.current = last.current.then(() =>
        api.createPrompt(sessionId, request).then(
          () => undefined,
          (error: unknown) =>
            setSent((all) => all.map((each) => (each.id === id ? { ...each, error: toApiError(error) } : each))),
        ),
      );
    },
    [api, sessionId],
  );

  const outgoing = useMemo(() => {
    const known = new Set(arrived.map(({ id }) => id));
    return sent.filter(({ id }) => !known.has(id));
  }, [sent, arrived]);

  return {
    outgoing,
    send(prompt) {
      const now = Date.now();
      const id = createId("prompt", now, crypto.getRandomValues(new Uint8Array(16)));
      const added: Outgoing = { ...prompt, id, createdAt: now, error: null };
      setSent((all) => [...all, added]);
      post(added);
    },
    retry(id) {
      const found = sent.find((each) => each.id === id);
      if (found === undefined) return;
      setSent((all) => all.map((each) => (each.id === id ? { ...each, error: null } : each)));
      post(found);
    },
    discard: (id) => setSent((all) => all.filter((each) => each.id !== id)),
  };
}
