/** The conversation from its first prompt to its newest word. Follows its end until somebody scrolls up, and says when an answer is there. */
import { type PromptView, type SessionView } from "@open-inspect/protocol";
import { ArrowDown, MessageSquare } from "lucide-react";
import { type ReactNode, type RefObject, useEffect, useLayoutEffect, useRef, useState } from "react";
import { useServices } from "../../lib/services.tsx";
import { type SessionActions } from "../../lib/session-actions.ts";
import { describeReceipt } from "../../lib/start-sentences.ts";
import { promptWords } from "../../lib/words.ts";
import { Button } from "../../ui/button.tsx";
import { EmptyState } from "../../ui/page.tsx";
import { BootLine } from "./boot-line.tsx";
import { PromptEditor, QueuedActions } from "./prompt-queue.tsx";
import { PromptRow } from "./prompt-view.tsx";

interface ConversationProps {
  session: SessionView;
  /** what is shown of it, oldest first; one that waits stands last */
  prompts: readonly PromptView[];
  actions: SessionActions;
  region: RefObject<HTMLDivElement | null>;
  onAskAgain: (prompt: PromptView) => void;
  /** leads to how it started */
  onShowStart: () => void;
  /** stands below the last answer */
  children?: ReactNode;
}

/** Drawn at once; a long conversation is there in a moment, and its beginning when it is asked for. */
const drawnPrompts = 40;

export function Conversation({ session, prompts, actions, region, onAskAgain, onShowStart, children }: ConversationProps) {
  const [more, setMore] = useState(0);
  const { isAtEnd, toEnd, onScroll } = useFollow(region, prompts);
  const hidden = Math.max(0, prompts.length - drawnPrompts - more);
  useAnnouncedAnswers(prompts);
  return (
    <div className="relative min-h-0 flex-1">
      <div ref={region} onScroll={onScroll} className="h-full overflow-y-auto overscroll-contain px-4 py-5 sm:px-6">
        <div className="mx-auto max-w-3xl">
          {hidden === 0 ? (
            <ReceiptLine session={session} onShow={onShowStart} />
          ) : (
            <p className="mb-5 text-center">
              <Button look="ghost" onClick={() => setMore(more + drawnPrompts)}>
                Show {Math.min(drawnPrompts, hidden)} earlier prompts of {hidden}
              </Button>
            </p>
          )}
          {prompts.length === 0 ? (
            <EmptyState icon={<MessageSquare />} title="Nothing was asked yet">
              The agent has a checkout of {session.branch} of its own. Write below what it should do.
            </EmptyState>
          ) : (
            <ol aria-label="Conversation" className="space-y-7">
              {prompts.slice(hidden).map((prompt) => (
                <Row key={prompt.id} session={session} prompt={prompt} actions={actions} onAskAgain={onAskAgain} />
              ))}
            </ol>
          )}
          {children}
        </div>
      </div>
      {isAtEnd ? null : (
        <Button onClick={toEnd} className="-translate-x-1/2 absolute bottom-3 left-1/2 rounded-full bg-raised shadow-pop">
          <ArrowDown aria-hidden="true" />
          Newest
        </Button>
      )}
    </div>
  );
}

interface RowProps extends Pick<ConversationProps, "session" | "actions" | "onAskAgain"> {
  prompt: PromptView;
}

/** The one that waits stands in the conversation when nothing runs before it. */
function Row({ session, prompt, actions, onAskAgain }: RowProps) {
  const [isEdited, setIsEdited] = useState(false);
  if (prompt.status !== "queued") return <PromptRow sessionId={session.id} prompt={prompt} onAskAgain={onAskAgain} />;
  // What has arrived at the session can be changed; what is on its way cannot.
  const isThere = session.prompts.some(({ id }) => id === prompt.id);
  return (
    <PromptRow
      sessionId={session.id}
      prompt={prompt}
      actions={isThere && !isEdited ? <QueuedActions prompt={prompt} actions={actions} onEdit={() => setIsEdited(true)} /> : null}
      waiting={
        <>
          {isEdited ? <PromptEditor prompt={prompt} actions={actions} onDone={() => setIsEdited(false)} /> : null}
          <BootLine session={session} />
        </>
      }
    />
  );
}

/** What the start took, in one line above everything. */
function ReceiptLine({ session, onShow }: { session: SessionView; onShow: () => void }) {
  if (session.receipt === null) return null;
  const [first, ...rest] = describeReceipt(session.receipt);
  const faster = rest.find((piece) => piece.endsWith("× faster"));
  return (
    <p className="mb-5 text-center text-faint text-xs">
      {first}
      {session.receipt.warm ? ", from a sandbox that was waiting" : ""}
      {faster === undefined ? null : <span className="text-ok"> · {faster}</span>} ·{" "}
      <button type="button" className="text-link text-muted" onClick={onShow}>
        how it started
      </button>
    </p>
  );
}

const nearEndPx = 48;

/** Keeps the end in view while it grows, unless somebody reads further up. */
function useFollow(region: RefObject<HTMLDivElement | null>, grown: unknown) {
  const [isAtEnd, setIsAtEnd] = useState(true);
  const follows = useRef(true);
  const top = useRef(0);

  function toEnd(): void {
    const element = region.current;
    if (element === null) return;
    follows.current = true;
    setIsAtEnd(true);
    element.scrollTop = element.scrollHeight;
  }
  // biome-ignore lint/correctness/useExhaustiveDependencies: what has grown is drawn, and only then has its height
  useLayoutEffect(() => {
    if (follows.current && region.current !== null) region.current.scrollTop = region.current.scrollHeight;
  }, [grown, region]);
  useEffect(() => {
    // Code that takes colour, pictures that load and a phone's keyboard change heights without a word.
    const element = region.current?.firstElementChild;
    if (!element) return;
    const observer = new ResizeObserver(() => {
      if (follows.current && region.current !== null) region.current.scrollTop = region.current.scrollHeight;
    });
    observer.observe(element);
    return () => observer.disconnect();
  }, [region]);

  function onScroll(): void {
    const element = region.current;
    if (element === null) return;
    const atEnd = element.scrollHeight - element.scrollTop - element.clientHeight < nearEndPx;
    if (atEnd) follows.current = true;
    else if (element.scrollTop < top.current) follows.current = false;
    top.current = element.scrollTop;
    setIsAtEnd(follows.current);
  }
  return { isAtEnd, toEnd, onScroll };
}

/** The end of an answer is said, not each of its words. */
function useAnnouncedAnswers(prompts: readonly PromptView[]): void {
  const { announcer } = useServices();
  const before = useRef<ReadonlyMap<string, PromptView["status"]>>(new Map());
  useEffect(() => {
    for (const prompt of prompts) {
      if (before.current.get(prompt.id) !== "running" || prompt.status === "running") continue;
      const last = prompt.parts.findLast((part) => part.kind === "text");
      const words = last?.kind === "text" ? `: ${last.text.slice(0, 300)}` : "";
      announcer.announce(`Answer ${promptWords[prompt.status].word.toLowerCase()}${prompt.error ? `. ${prompt.error}` : words}`);
    }
    before.current = new Map(prompts.map(({ id, status }) => [id, status]));
  }, [prompts, announcer]);
}
