/** Prompts that wait for their turn, above the box they were written in: changed and taken back there. Also those that did not get through. */
import { type PromptView, promptMaxLength } from "@open-inspect/protocol";
import { Check, CircleAlert, Clock, Paperclip, Pencil, RotateCw, Trash2, X } from "lucide-react";
import { type KeyboardEvent, useState } from "react";
import { focusNext } from "../../lib/focus.ts";
import { type SessionActions } from "../../lib/session-actions.ts";
import { type Outgoing, type Sender } from "../../lib/session-sender.ts";
import { Button } from "../../ui/button.tsx";

interface PromptQueueProps {
  queue: readonly PromptView[];
  refused: readonly Outgoing[];
  sender: Sender;
  actions: SessionActions;
  /** puts a refused text back into the box */
  onTakeBack: (text: string) => void;
}

export function PromptQueue({ queue, refused, sender, actions, onTakeBack }: PromptQueueProps) {
  if (queue.length === 0 && refused.length === 0) return null;
  return (
    <div className="mb-2 overflow-hidden rounded-xl border border-line bg-raised shadow-card">
      {queue.length === 0 ? null : (
        <>
          <p className="px-3 pt-2 text-faint text-xs">
            {queue.length === 1 ? "1 prompt waits" : `${queue.length} prompts wait`}, answered in this order
          </p>
          <ol aria-label="Prompt queue" className="max-h-40 divide-y divide-line overflow-y-auto">
            {queue.map((prompt) => (
              <QueuedPrompt key={prompt.id} prompt={prompt} actions={actions} />
            ))}
          </ol>
        </>
      )}
      {refused.map((prompt) => (
        <div
          key={prompt.id}
          role="alert"
          data-refused={prompt.id}
          className="flex flex-wrap items-center gap-2 bg-bad-soft px-3 py-2 text-sm"
        >
          <CircleAlert aria-hidden="true" className="size-4 shrink-0 text-bad" />
          <div className="min-w-0 flex-1 basis-48">
            <p className="truncate">{prompt.text}</p>
            <p className="text-bad text-xs">
              Not sent. {prompt.error?.message} <span className="text-fg/80">{prompt.error?.hint}</span>
            </p>
          </div>
          <Button onClick={() => sender.retry(prompt.id)}>
            <RotateCw aria-hidden="true" />
            Try again
          </Button>
          <Button
            look="ghost"
            onClick={() => {
              onTakeBack(prompt.text);
              sender.discard(prompt.id);
            }}
          >
            Edit
          </Button>
        </div>
      ))}
    </div>
  );
}

function QueuedPrompt({ prompt, actions }: { prompt: PromptView; actions: SessionActions }) {
  const [isEdited, setIsEdited] = useState(false);
  return (
    <li data-prompt={prompt.id} data-prompt-status="queued" className="flex items-center gap-2 py-1 pr-1.5 pl-3 text-sm">
      {isEdited ? (
        <PromptEditor prompt={prompt} actions={actions} onDone={() => setIsEdited(false)} />
      ) : (
        <>
          <Clock aria-hidden="true" className="size-3.5 shrink-0 text-faint" />
          <span dir="auto" className="min-w-0 flex-1 truncate" title={prompt.text}>
            {prompt.text}
          </span>
          {prompt.attachments.length === 0 ? null : (
            <span className="flex shrink-0 items-center gap-0.5 text-faint text-xs">
              <Paperclip aria-hidden="true" className="size-3" />
              {prompt.attachments.length}
            </span>
          )}
          <QueuedActions prompt={prompt} actions={actions} onEdit={() => setIsEdited(true)} />
        </>
      )}
    </li>
  );
}

export function QueuedActions({ prompt, actions, onEdit }: { prompt: PromptView; actions: SessionActions; onEdit: () => void }) {
  return (
    <span className="flex shrink-0">
      <Button
        look="ghost"
        size="icon"
        className="size-7"
        aria-label="Edit this prompt"
        title="Edit"
        data-edit={prompt.id}
        onClick={onEdit}
      >
        <Pencil aria-hidden="true" />
      </Button>
      <Button
        look="ghost"
        size="icon"
        className="size-7"
        aria-label="Take this prompt back"
        title="Take back"
        disabled={actions.cancelPrompt.isPending}
        onClick={() => actions.cancelPrompt.mutate(prompt.id, { onSuccess: () => focusNext(() => null) })}
      >
        <Trash2 aria-hidden="true" />
      </Button>
    </span>
  );
}

export function PromptEditor({
  prompt,
  actions,
  onDone: onEnd,
}: {
  prompt: PromptView;
  actions: SessionActions;
  onDone: () => void;
}) {
  const [text, setText] = useState(prompt.text);
  const onDone = () => {
    onEnd();
    focusNext(() => document.querySelector<HTMLElement>(`[data-edit="${prompt.id}"]`));
  };
  const { changePrompt } = actions;

  function save(): void {
    if (text.trim() === "" || text.trim() === prompt.text) onDone();
    else changePrompt.mutate({ promptId: prompt.id, text: text.trim() }, { onSuccess: onDone });
  }
  function onKeyDown(event: KeyboardEvent): void {
    if (event.key === "Escape") onDone();
    else if (event.key === "Enter" && !event.shiftKey && !event.nativeEvent.isComposing) save();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  return (
    <div className="flex min-w-0 flex-1 flex-wrap items-end gap-1">
      <textarea
        aria-label="Changed prompt"
        dir="auto"
        // biome-ignore lint/a11y/noAutofocus: it was opened to be written in
        autoFocus
        rows={1}
        // Who changes a text goes on at its end.
        onFocus={({ target }) => target.setSelectionRange(target.value.length, target.value.length)}
        maxLength={promptMaxLength}
        value={text}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={onKeyDown}
        className="field-sizing-content max-h-32 min-w-0 flex-1 resize-none rounded-md border border-control bg-raised px-2 py-1 text-base focus-visible:outline-offset-0 sm:text-sm"
      />
      <Button
        look="ghost"
        size="icon"
        className="size-7"
        aria-label="Save the prompt"
        disabled={changePrompt.isPending}
        onClick={save}
      >
        <Check aria-hidden="true" />
      </Button>
      <Button look="ghost" size="icon" className="size-7" aria-label="Leave it as it was" onClick={onDone}>
        <X aria-hidden="true" />
      </Button>
      {changePrompt.isError ? (
        <p role="alert" className="w-full text-bad text-xs">
          {changePrompt.error.message}
        </p>
      ) : null}
    </div>
  );
}
