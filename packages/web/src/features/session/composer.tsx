/** Where the next prompt is written, whatever the session is doing: sent, queued behind the one that runs, or waking the session up. */
import { type SessionView } from "@open-inspect/protocol";
import { ArrowUp, ListPlus, Square } from "lucide-react";
import { type RefObject, useState } from "react";
import { useNow } from "../../lib/clock.ts";
import { type SessionActions } from "../../lib/session-actions.ts";
import { type DraftAttachment } from "../../lib/session-attachments.ts";
import { type Sender } from "../../lib/session-sender.ts";
import { describeCondition } from "../../lib/session-sentences.ts";
import { Button } from "../../ui/button.tsx";
import { ModelSelect } from "../../ui/model-select.tsx";
import { PromptBox } from "../../ui/prompt-box.tsx";

interface ComposerProps {
  session: SessionView;
  sender: Sender;
  actions: SessionActions;
  field: RefObject<HTMLTextAreaElement | null>;
  text: string;
  onText: (text: string) => void;
  onSent: () => void;
}

const conditionTickMs = 5_000;

export function Composer({ session, sender, actions, field, text, onText, onSent }: ComposerProps) {
  const [attachments, setAttachments] = useState<readonly DraftAttachment[]>([]);
  const [picked, setPicked] = useState<string | null>(null);
  const running = session.prompts.find(({ status }) => status === "running");
  const isArchived = session.archivedAt !== null;
  const isEmpty = text.trim() === "";
  // The next prompt is asked of the model that was asked last, until somebody picks another one.
  const model = picked ?? session.prompts.at(-1)?.model ?? null;

  function send(): void {
    if (isEmpty || isArchived) return;
    sender.send({ text: text.trim(), model, attachments });
    onText("");
    setAttachments([]);
    onSent();
  }

  return (
    <div>
      <PromptBox
        label="Prompt"
        placeholder={
          isArchived
            ? "Restore the session to go on with it"
            : running === undefined
              ? "Ask the agent…"
              : "Ask something more: it waits its turn"
        }
        disabled={isArchived}
        field={field}
        text={text}
        onText={onText}
        attachments={attachments}
        onAttachments={setAttachments}
        onSend={send}
        choices={<ModelSelect models={session.models} value={model} onChange={setPicked} />}
        actions={
          <>
            {running === undefined ? null : (
              <Button
                aria-keyshortcuts="Escape"
                title="Stop the answer (Esc)"
                disabled={actions.stopPrompt.isPending}
                onClick={() => actions.stopPrompt.mutate(running.id)}
              >
                <Square aria-hidden="true" className="size-3.5 fill-current" />
                <span>
                  Stop<span className="sr-only"> the answer</span>
                </span>
                <span aria-hidden="true" className="hidden text-faint text-xs sm:inline">
                  Esc
                </span>
              </Button>
            )}
            {running !== undefined && isEmpty ? null : (
              <Button
                look="solid"
                size="icon"
                aria-label={running === undefined ? "Send" : "Queue"}
                title={running === undefined ? "Send (Enter)" : "Queue behind the running prompt (Enter)"}
                disabled={isEmpty || isArchived}
                onClick={send}
              >
                {running === undefined ? <ArrowUp aria-hidden="true" /> : <ListPlus aria-hidden="true" />}
              </Button>
            )}
          </>
        }
      />
      <Condition session={session} actions={actions} />
    </div>
  );
}

/** One quiet line under the box: what will become of the sandbox, or what writing will do. */
function Condition({ session, actions }: { session: SessionView; actions: SessionActions }) {
  const now = useNow(conditionTickMs);
  const sentence = describeCondition(session, now);
  const isOver = session.status === "stopped" || session.status === "failed";
  const failed = [actions.stopPrompt, actions.cancelPrompt, actions.resume, actions.restore].find(
    ({ isError }) => isError,
  )?.error;
  return (
    <div className="flex min-h-6 flex-wrap items-center gap-x-2 px-1 pt-1 text-faint text-xs">
      {failed ? (
        <span role="alert" className="text-bad">
          {failed.message}
        </span>
      ) : (
        <span data-condition="">{sentence}</span>
      )}
      {session.archivedAt !== null ? (
        <button type="button" className="text-link" disabled={actions.restore.isPending} onClick={() => actions.restore.mutate()}>
          Restore it
        </button>
      ) : isOver ? (
        <button type="button" className="text-link" disabled={actions.resume.isPending} onClick={() => actions.resume.mutate()}>
          {session.status === "failed" ? "Try again" : "Resume now"}
        </button>
      ) : null}
      {sentence === null && !failed ? (
        <span className="ml-auto hidden sm:inline">
          <kbd>?</kbd> for keys
        </span>
      ) : null}
    </div>
  );
}
