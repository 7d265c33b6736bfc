/** One prompt with its answer: who asked what, what the agent said and did, and how it ended. */
import { type Attachment, type PromptPart, type PromptView, type SessionView } from "@open-inspect/protocol";
import { CircleAlert, FileText } from "lucide-react";
import { memo, type ReactNode, useState } from "react";
import { useServices } from "../../lib/services.tsx";
import { isImage } from "../../lib/session-attachments.ts";
import { describeTokens, describeUsage } from "../../lib/session-sentences.ts";
import { foldLooks } from "../../lib/session-tools.ts";
import { formatBytes, formatDuration } from "../../lib/time.ts";
import { promptWords } from "../../lib/words.ts";
import { Age, Elapsed } from "../../ui/age.tsx";
import { Avatar } from "../../ui/avatar.tsx";
import { StatusBadge } from "../../ui/badge.tsx";
import { CopyButton } from "../../ui/copy-button.tsx";
import { Disclosure } from "../../ui/disclosure.tsx";
import { Facts } from "../../ui/facts.tsx";
import { Markdown } from "../../ui/markdown.tsx";
import { Looks, ToolCall } from "./tool-call.tsx";

interface PromptRowProps {
  sessionId: SessionView["id"];
  prompt: PromptView;
  /** what it waits for, shown in place of the answer */
  waiting?: ReactNode;
  /** stand beside what was asked */
  actions?: ReactNode;
  /** asks once more what never reached the agent */
  onAskAgain?: ((prompt: PromptView) => void) | undefined;
}

export const PromptRow = memo(function PromptRow({ sessionId, prompt, waiting, actions, onAskAgain }: PromptRowProps) {
  // With a reason it was not its writer who took it back.
  const isUnasked = prompt.status === "cancelled" && prompt.error !== null;
  if (prompt.status === "cancelled" && !isUnasked) return <CancelledRow prompt={prompt} />;
  return (
    <li data-prompt={prompt.id} data-prompt-status={prompt.status} tabIndex={-1} className="prompt-row scroll-mt-4 outline-none">
      <Asked sessionId={sessionId} prompt={prompt} actions={actions} />
      <section
        aria-label={`Answer to ${prompt.text.slice(0, 40)}`}
        aria-busy={prompt.status === "running"}
        className="mt-4 space-y-3 sm:px-1"
      >
        <Answer prompt={prompt} />
        {prompt.status === "queued" ? waiting : null}
        {prompt.error === null ? null : (
          <p role="alert" className="flex items-start gap-2 break-words rounded-md bg-bad-soft px-3.5 py-2.5 text-bad text-sm">
            <CircleAlert aria-hidden="true" className="mt-0.5 size-4 shrink-0" />
            <span className="min-w-0 flex-1">
              {isUnasked ? "Not asked: " : null}
              {prompt.error}
            </span>
            {isUnasked && onAskAgain !== undefined && prompt.attachments.length === 0 ? (
              <button type="button" className="text-link shrink-0" onClick={() => onAskAgain(prompt)}>
                Ask again
              </button>
            ) : null}
          </p>
        )}
        {prompt.status === "done" && prompt.parts.length === 0 ? (
          <p className="text-muted text-sm">The agent ended without an answer.</p>
        ) : null}
      </section>
      <End prompt={prompt} />
    </li>
  );
});

/** Taken back before it ran: it stays readable, in one line. */
function CancelledRow({ prompt }: { prompt: PromptView }) {
  return (
    <li data-prompt={prompt.id} data-prompt-status="cancelled" className="flex items-center gap-2 text-faint text-sm">
      <span className="shrink-0">Taken back:</span>
      <span className="min-w-0 truncate line-through">{prompt.text}</span>
    </li>
  );
}

const longPrompt = { characters: 1_200, lines: 14 };

function Asked({ sessionId, prompt, actions }: PromptRowProps) {
  const { text, author } = prompt;
  const isLong = text.length > longPrompt.characters || text.split("\n").length > longPrompt.lines;
  const [open, setOpen] = useState(false);
  return (
    <div className="rounded-xl border border-line bg-sunken px-3.5 py-2.5">
      <div className="flex items-start gap-2.5">
        {author === null ? null : <Avatar person={author} className="mt-px" />}
        <div className="min-w-0 flex-1">
          <p dir="auto" className={`whitespace-pre-wrap break-words leading-6 ${isLong && !open ? "line-clamp-[8]" : ""}`}>
            {text}
          </p>
          {isLong ? (
            <button
              type="button"
              aria-expanded={open}
              className="mt-0.5 text-link text-muted text-xs"
              onClick={() => setOpen(!open)}
            >
              {open ? "Show less" : "Show all"}
            </button>
          ) : null}
          {prompt.attachments.length === 0 ? null : (
            <ul aria-label="Attachments" className="mt-2 flex flex-wrap gap-2">
              {prompt.attachments.map((attachment) => (
                <AttachmentLink key={attachment.id} sessionId={sessionId} attachment={attachment} />
              ))}
            </ul>
          )}
        </div>
        {actions}
      </div>
      <p className="mt-1 text-faint text-xs">
        <Facts facts={[author === null ? null : author.name, <Age key="age" at={prompt.createdAt} />, prompt.model]} />
      </p>
    </div>
  );
}

function AttachmentLink({ sessionId, attachment }: { sessionId: string; attachment: Attachment }) {
  const { api } = useServices();
  const address = api.attachmentAddress(sessionId, attachment.id);
  const note = `${attachment.name}, ${formatBytes(attachment.sizeBytes)}`;
  return (
    <li>
      <a
        href={address}
        target="_blank"
        rel="noreferrer"
        title={note}
        className="block overflow-hidden rounded-md border border-line bg-raised"
      >
        {isImage(attachment) ? (
          <img src={address} alt={attachment.name} loading="lazy" className="h-20 max-w-44 object-cover" />
        ) : (
          <span className="flex max-w-56 items-center gap-1.5 px-2 py-1 text-muted text-xs">
            <FileText aria-hidden="true" className="size-3.5 shrink-0" />
            <span className="truncate">{attachment.name}</span>
          </span>
        )}
      </a>
    </li>
  );
}

function Answer({ prompt }: { prompt: PromptView }) {
  return foldLooks(prompt.parts).map((step) =>
    step.kind === "look" ? <Looks key={step.id} parts={step.parts} /> : <Part key={step.part.id} part={step.part} />,
  );
}

function Part({ part }: { part: PromptPart }) {
  switch (part.kind) {
    case "text":
      return <Markdown source={part.text} />;
    case "reasoning":
      return (
        <Disclosure summary="Reasoning">
          <p className="mt-1 ml-5 whitespace-pre-wrap break-words border-line border-l-2 pl-3 text-muted text-sm">{part.text}</p>
        </Disclosure>
      );
    case "tool":
      return <ToolCall part={part} />;
  }
}

/** What it is doing, or how it ended and what it cost. */
function End({ prompt }: { prompt: PromptView }) {
  const { status, startedAt, finishedAt, usage, parts } = prompt;
  if (status === "queued" || status === "cancelled") return null;
  if (status === "running") {
    return (
      <p className="mt-3 flex items-center gap-2 text-muted text-sm sm:px-1">
        <StatusBadge status="running" {...promptWords.running} />
        {startedAt === null ? null : <Elapsed from={startedAt} />}
        <Spent usage={usage} />
      </p>
    );
  }
  const text = parts.flatMap((part) => (part.kind === "text" ? [part.text] : [])).join("\n\n");
  return (
    <div className="mt-2 flex min-h-8 items-center gap-2 text-faint text-xs sm:px-1">
      {status === "done" ? <span className="sr-only">Done</span> : <StatusBadge status={status} {...promptWords[status]} />}
      <Facts
        facts={[
          startedAt === null || finishedAt === null ? null : formatDuration(finishedAt - startedAt),
          describeUsage(usage) === null ? null : <Spent key="spent" usage={usage} />,
        ]}
      />
      {text.trim() === "" ? null : <CopyButton text={text} label="Copy the answer" />}
    </div>
  );
}

export function Spent({ usage }: { usage: PromptView["usage"] }) {
  const told = describeUsage(usage);
  return told === null || usage === null ? null : (
    <span title={describeTokens(usage)} className="whitespace-nowrap text-faint text-xs">
      {told}
    </span>
  );
}
