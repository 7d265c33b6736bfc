/** A session: the conversation, and beside it what has changed, what is to do, how it started and what was printed. */
import { type PromptView, type SessionView } from "@open-inspect/protocol";
import { useNavigate } from "@tanstack/react-router";
import { type RefObject, useCallback, useEffect, useMemo, useRef } from "react";
import { useTitle } from "../../lib/clock.ts";
import { useMe } from "../../lib/login.ts";
import { rememberModels } from "../../lib/remembered.ts";
import { useServices } from "../../lib/services.tsx";
import { type SessionActions, useSessionActions } from "../../lib/session-actions.ts";
import { useDraft } from "../../lib/session-drafts.ts";
import { type LiveSession, useLiveSession } from "../../lib/session-live.ts";
import { type Sender, toPromptView, useSender } from "../../lib/session-sender.ts";
import { arrangePrompts } from "../../lib/session-sentences.ts";
import { type Shortcut, useShortcuts } from "../../lib/shortcuts.ts";
import { describeReceipt } from "../../lib/start-sentences.ts";
import { sessionWords } from "../../lib/words.ts";
import { Card, LoadFailure, Page, SkeletonRows } from "../../ui/page.tsx";
import { Composer } from "./composer.tsx";
import { Conversation } from "./conversation.tsx";
import { Notices } from "./notices.tsx";
import { PromptQueue } from "./prompt-queue.tsx";
import { SessionHeader } from "./session-header.tsx";
import { SidePanel, usePanel } from "./side-panel.tsx";

export function SessionPage({ id }: { id: string }) {
  const live = useLiveSession(id);
  useTitle(live.session?.title ?? "Session");
  if (live.session === undefined) {
    return (
      <Page title="Session">
        {live.error === null ? (
          <Card>
            <SkeletonRows rows={4} label="Loading the session" />
          </Card>
        ) : (
          <LoadFailure what="session" error={live.error} onRetry={live.retry} />
        )}
      </Page>
    );
  }
  return <SessionFrame live={live} session={live.session} />;
}

function SessionFrame({ live, session }: { live: LiveSession; session: SessionView }) {
  const actions = useSessionActions(session.id);
  const sender = useSender(session.id, session.prompts);
  const field = useRef<HTMLTextAreaElement>(null);
  const region = useRef<HTMLDivElement>(null);
  const panel = usePanel(session);
  useAnnouncedStatus(session);
  useEffect(() => {
    if (session.models.length > 0) rememberModels(session.models);
  }, [session.models]);

  const person = useMe()?.person ?? null;
  const underWay = sender.outgoing.filter(({ error }) => error === null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: `outgoing` is new exactly when something of it is
  const { shown, queue } = useMemo(
    () => arrangePrompts([...session.prompts, ...underWay.map((each) => toPromptView(each, person))]),
    [session.prompts, sender.outgoing, person],
  );
  // The same function throughout: a row that has not changed is not drawn anew.
  const latestSender = useRef(sender);
  useEffect(() => {
    latestSender.current = sender;
  });
  const askAgain = useCallback(({ text, model }: PromptView) => latestSender.current.send({ text, model, attachments: [] }), []);
  const running = session.prompts.find(({ status }) => status === "running");
  useSessionKeys({
    onWrite: () => {
      panel.choose("conversation");
      // It may have been hidden until now.
      requestAnimationFrame(() => field.current?.focus());
    },
    onStop: () => {
      if (running === undefined || (field.current?.value.trim() ?? "") !== "") return false;
      actions.stopPrompt.mutate(running.id);
      return true;
    },
    onJump: (by) => jump(region.current, by),
  });

  return (
    <div data-fill="" className="flex min-h-0 flex-1 flex-col">
      <SessionHeader session={session} people={live.people} live={live.live} actions={actions} />
      <SidePanel
        panel={panel}
        session={session}
        log={live.log}
        conversation={
          <>
            <Conversation
              session={session}
              prompts={shown}
              actions={actions}
              region={region}
              onAskAgain={askAgain}
              onShowStart={() => panel.choose("start")}
            >
              <Notices session={session} actions={actions} onShowOutput={() => panel.choose("output")} />
            </Conversation>
            <Foot
              session={session}
              sender={sender}
              queue={queue}
              actions={actions}
              field={field}
              onSent={() => requestAnimationFrame(() => region.current?.scrollTo({ top: region.current.scrollHeight }))}
            />
          </>
        }
      />
    </div>
  );
}

interface FootProps {
  session: SessionView;
  sender: Sender;
  queue: readonly PromptView[];
  actions: SessionActions;
  field: RefObject<HTMLTextAreaElement | null>;
  onSent: () => void;
}

/** What is being written is kept here: no keystroke draws the conversation anew. */
function Foot({ session, sender, queue, actions, field, onSent }: FootProps) {
  const [text, setText] = useDraft(session.id);
  return (
    <div className="shrink-0 px-3 pb-2 sm:px-6">
      <div className="mx-auto max-w-3xl">
        <PromptQueue
          queue={queue}
          refused={sender.outgoing.filter(({ error }) => error !== null)}
          sender={sender}
          actions={actions}
          onTakeBack={(taken) => setText(text.trim() === "" ? taken : `${taken}\n\n${text}`)}
        />
        <Composer
          session={session}
          sender={sender}
          actions={actions}
          field={field}
          text={text}
          onText={setText}
          onSent={onSent}
        />
      </div>
    </div>
  );
}

/** Brings the next or the one before of the prompts to the top, and the focus with it. */
function jump(region: HTMLElement | null, by: 1 | -1): void {
  if (region === null) return;
  const rows = [...region.querySelectorAll<HTMLElement>("[data-prompt]")];
  const top = region.getBoundingClientRect().top;
  const focused = rows.findIndex((row) => row.contains(document.activeElement));
  const seen = focused >= 0 ? focused : rows.findLastIndex((row) => row.getBoundingClientRect().top <= top + 24);
  const row = rows[Math.min(rows.length - 1, Math.max(0, seen + by))];
  row?.focus({ preventScroll: true });
  row?.scrollIntoView?.({ block: "start" });
}

interface SessionKeys {
  onWrite: () => void;
  onStop: () => boolean;
  onJump: (by: 1 | -1) => void;
}

function useSessionKeys({ onWrite, onStop, onJump }: SessionKeys): void {
  const navigate = useNavigate();
  const shortcuts: Shortcut[] = [
    { keys: "c", label: "Write a prompt", run: onWrite },
    { keys: "/", label: "Write a prompt", run: onWrite },
    { keys: "Escape", label: "Stop the answer, when nothing is written", run: onStop, whileWriting: true },
    { keys: "j", label: "Next prompt", run: () => onJump(1) },
    { keys: "k", label: "Previous prompt", run: () => onJump(-1) },
    { keys: "u", label: "Back to the sessions", run: () => void navigate({ to: "/" }) },
  ];
  useShortcuts(shortcuts);
}

/** Says each change of the status, but not the status that the page opened with. */
function useAnnouncedStatus({ status, receipt }: SessionView): void {
  const { announcer } = useServices();
  const before = useRef(status);
  useEffect(() => {
    if (before.current !== status) {
      const more = status === "ready" && receipt !== null ? `. ${describeReceipt(receipt).join(", ")}` : "";
      announcer.announce(`Session ${sessionWords[status].word.toLowerCase()}${more}`);
    }
    before.current = status;
  }, [status, receipt, announcer]);
}
