/** The box a prompt is written in: grows with its text, takes files by paste, drop and picker, sends with Enter. Knows no session. */
import { attachmentMimes, attachmentsMax, promptMaxLength } from "@open-inspect/protocol";
import { FileText, Paperclip, X } from "lucide-react";
import { type ClipboardEvent, type KeyboardEvent, type ReactNode, type RefObject, useId, useRef, useState } from "react";
import { cn } from "../lib/cn.ts";
import { useFileDrop } from "../lib/file-drop.ts";
import { type DraftAttachment, isImage, previewAddress, readAttachments } from "../lib/session-attachments.ts";
import { formatBytes } from "../lib/time.ts";
import { Button } from "./button.tsx";

interface PromptBoxProps {
  label: string;
  placeholder: string;
  text: string;
  onText: (text: string) => void;
  attachments: readonly DraftAttachment[];
  onAttachments: (change: (attachments: readonly DraftAttachment[]) => readonly DraftAttachment[]) => void;
  onSend: () => void;
  /** nothing can be written: says why in the placeholder */
  disabled?: boolean;
  autoFocus?: boolean;
  minRows?: number;
  field?: RefObject<HTMLTextAreaElement | null>;
  /** choices that stand at the left of the bar */
  choices?: ReactNode;
  /** what sends or stops, at its right */
  actions: ReactNode;
}

export function PromptBox(props: PromptBoxProps) {
  const { label, placeholder, text, onText, attachments, onAttachments, onSend, disabled = false } = props;
  const id = useId();
  const picker = useRef<HTMLInputElement>(null);
  const [refusals, setRefusals] = useState<string[]>([]);
  const [isOver, setIsOver] = useState(false);

  async function take(files: readonly File[]): Promise<void> {
    if (files.length === 0 || disabled) return;
    const { taken, refusals: refused } = await readAttachments(files, attachments.length);
    setRefusals(refused);
    if (taken.length > 0) onAttachments((before) => [...before, ...taken].slice(0, attachmentsMax));
  }

  function onPaste(event: ClipboardEvent): void {
    const files = [...event.clipboardData.files];
    if (files.length === 0) return;
    event.preventDefault();
    void take(files);
  }

  // Dropped anywhere: who misses the box by an inch must not lose the page to the file.
  useFileDrop({ onOver: (over) => setIsOver(over && !disabled), onFiles: (files) => void take(files) });

  function onKeyDown(event: KeyboardEvent<HTMLTextAreaElement>): void {
    // An input method takes Enter to choose a word.
    if (event.key !== "Enter" || event.shiftKey || event.altKey || event.nativeEvent.isComposing) return;
    event.preventDefault();
    onSend();
  }

  return (
    <div
      className={cn(
        "relative rounded-xl border border-control bg-raised shadow-card transition-colors focus-within:border-accent",
        isOver && "border-accent bg-accent-soft",
        disabled && "opacity-60",
      )}
    >
      <label htmlFor={id} className="sr-only">
        {label}
      </label>
      {attachments.length === 0 ? null : (
        <ul aria-label="Attachments" className="flex flex-wrap gap-2 px-3 pt-3">
          {attachments.map((attachment) => (
            <li
              key={attachment.key}
              className="flex max-w-56 items-center gap-2 rounded-md border border-line bg-sunken py-1 pr-1 pl-1.5 text-xs"
            >
              {isImage(attachment) ? (
                <img src={previewAddress(attachment)} alt="" className="size-7 shrink-0 rounded object-cover" />
              ) : (
                <FileText aria-hidden="true" className="size-4 shrink-0 text-faint" />
              )}
              <span className="min-w-0">
                <span className="block truncate">{attachment.name}</span>
                <span className="block text-faint">{formatBytes(attachment.sizeBytes)}</span>
              </span>
              <Button
                look="ghost"
                size="icon"
                aria-label={`Remove ${attachment.name}`}
                className="size-6 [&_svg]:size-3.5"
                onClick={() => onAttachments((before) => before.filter(({ key }) => key !== attachment.key))}
              >
                <X aria-hidden="true" />
              </Button>
            </li>
          ))}
        </ul>
      )}
      <textarea
        ref={props.field}
        id={id}
        dir="auto"
        rows={1}
        style={{ minHeight: `${(props.minRows ?? 1) * 1.25 + 1.125}rem` }}
        // biome-ignore lint/a11y/noAutofocus: on a page whose purpose is to write this
        autoFocus={props.autoFocus ?? false}
        maxLength={promptMaxLength}
        placeholder={placeholder}
        disabled={disabled}
        value={text}
        onChange={(event) => onText(event.target.value)}
        onKeyDown={onKeyDown}
        onPaste={onPaste}
        className="field-sizing-content block max-h-[40dvh] w-full resize-none bg-transparent px-3.5 pt-3 pb-1.5 text-base outline-none placeholder:text-faint disabled:cursor-not-allowed sm:text-sm"
      />
      <div role="status" className="px-3.5 text-bad text-xs">
        {refusals.map((refusal) => (
          <p key={refusal} className="py-0.5">
            {refusal}
          </p>
        ))}
      </div>
      <div className="flex flex-wrap items-center gap-1.5 px-2 pb-2">
        <Button
          look="ghost"
          size="icon"
          aria-label="Attach files"
          title={`Attach up to ${attachmentsMax} images or text files; pasting and dropping work, too`}
          disabled={disabled || attachments.length >= attachmentsMax}
          onClick={() => picker.current?.click()}
        >
          <Paperclip aria-hidden="true" />
        </Button>
        <input
          ref={picker}
          type="file"
          multiple
          hidden
          tabIndex={-1}
          aria-label="Files to attach"
          accept={[...attachmentMimes, "text/*"].join(",")}
          onChange={(event) => {
            void take([...(event.target.files ?? [])]);
            event.target.value = "";
          }}
        />
        {props.choices}
        <div className="ml-auto flex items-center gap-1.5">{props.actions}</div>
      </div>
    </div>
  );
}
