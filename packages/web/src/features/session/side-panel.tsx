/** The conversation and the panel beside it; where there is room for one of them, tabs choose which. */
import { type SessionView } from "@open-inspect/protocol";
import { Tabs } from "radix-ui";
import { type ReactNode, useState, useSyncExternalStore } from "react";
import { stripAnsi } from "../../lib/ansi.ts";
import { cn } from "../../lib/cn.ts";
import { type LogBuffer } from "../../lib/log-lines.ts";
import { useMedia } from "../../lib/media.ts";
import { isSessionEnded } from "../../lib/words.ts";
import { ChangesPanel } from "./changes-panel.tsx";
import { OutputPanel } from "./output-panel.tsx";
import { PullRequestLine } from "./pull-request.tsx";
import { StartCard } from "./start-card.tsx";
import { SubSessions } from "./sub-sessions.tsx";
import { TodoPanel } from "./todo-panel.tsx";

type PanelName = "conversation" | "changes" | "todos" | "start" | "output";
const names: readonly PanelName[] = ["conversation", "changes", "todos", "start", "output"];

/** Both fit beside one another, and beside the navigation. */
const wide = "(min-width: 80rem)";

export interface Panel {
  /** what is shown; beside the conversation never the conversation */
  shown: PanelName;
  isWide: boolean;
  choose: (name: PanelName) => void;
}

/** Until somebody chooses: how it starts while it does, then what has changed. */
export function usePanel(session: SessionView): Panel {
  const isWide = useMedia(wide);
  const [chosen, setChosen] = useState<PanelName | null>(null);
  const hasChanges = session.diff !== null && session.diff.files.length > 0;
  const fitting = hasChanges ? "changes" : session.todos.length > 0 ? "todos" : "start";
  const aside = chosen === null || chosen === "conversation" ? fitting : chosen;
  return { shown: isWide ? aside : (chosen ?? "conversation"), isWide, choose: setChosen };
}

interface SidePanelProps {
  panel: Panel;
  session: SessionView;
  log: LogBuffer;
  conversation: ReactNode;
}

export function SidePanel({ panel, session, log, conversation }: SidePanelProps) {
  const { shown, isWide, choose } = panel;
  const isTalk = shown === "conversation";
  return (
    <Tabs.Root
      value={shown}
      onValueChange={(value) => choose(names.find((name) => name === value) ?? "conversation")}
      className={cn("flex min-h-0 flex-1", isWide ? "flex-row" : "flex-col")}
    >
      {isWide ? null : <PanelTabs session={session} isWide={false} />}
      {/* Kept while another tab is shown: its place, and what is being written. */}
      <Tabs.Content
        value="conversation"
        forceMount
        hidden={!isWide && !isTalk}
        tabIndex={-1}
        {...(isWide ? { role: "region", "aria-label": "Chat", "aria-labelledby": undefined } : {})}
        className={cn("min-h-0 min-w-0 flex-1 flex-col", isWide || isTalk ? "flex" : "hidden")}
      >
        {conversation}
      </Tabs.Content>
      <aside
        aria-label="About this session"
        hidden={!isWide && isTalk}
        className={cn(
          "min-h-0 flex-col",
          isWide ? "flex w-[42%] max-w-3xl border-line border-l" : "flex-1",
          !isWide && (isTalk ? "hidden" : "flex"),
        )}
      >
        {isWide ? <PanelTabs session={session} isWide /> : null}
        <div className="min-h-0 flex-1 overflow-y-auto px-4 py-4">
          <PanelBody name="changes">
            <PullRequestLine session={session} />
            <ChangesPanel diff={session.diff} />
          </PanelBody>
          <PanelBody name="todos">
            <TodoPanel todos={session.todos} />
          </PanelBody>
          <PanelBody name="start">
            <StartCard session={session} />
            <NewestLine session={session} log={log} />
            <SubSessions id={session.id} />
          </PanelBody>
          <PanelBody name="output">
            <OutputPanel log={log} phases={session.phases} />
          </PanelBody>
        </div>
      </aside>
    </Tabs.Root>
  );
}

function PanelBody({ name, children }: { name: PanelName; children: ReactNode }) {
  return (
    <Tabs.Content value={name} className="outline-none">
      {children}
    </Tabs.Content>
  );
}

function PanelTabs({ session, isWide }: { session: SessionView; isWide: boolean }) {
  const { diff, todos } = session;
  // Radix moves the focus by script when a tab is pressed, which browsers take for the keyboard's doing.
  const [isPressed, setIsPressed] = useState(false);
  const done = todos.filter(({ status }) => status === "completed").length;
  const tabs: { name: PanelName; label: string; count: string }[] = [
    ...(isWide ? [] : [{ name: "conversation" as const, label: "Chat", count: "" }]),
    { name: "changes", label: "Changes", count: diff === null || diff.files.length === 0 ? "" : String(diff.files.length) },
    { name: "todos", label: "To-do", count: todos.length === 0 ? "" : `${done}/${todos.length}` },
    { name: "start", label: "Start", count: "" },
    { name: "output", label: "Output", count: "" },
  ];
  return (
    <Tabs.List
      aria-label="Views of the session"
      onPointerDownCapture={() => setIsPressed(true)}
      onKeyDownCapture={() => setIsPressed(false)}
      onBlur={() => setIsPressed(false)}
      className="flex shrink-0 overflow-x-auto border-line border-b px-1.5 sm:gap-1 sm:px-3"
    >
      {tabs.map(({ name, label, count }) => (
        <Tabs.Trigger
          key={name}
          value={name}
          className={cn(
            "-mb-px flex h-9 shrink-0 items-center gap-1.5 border-transparent border-b-2 px-2 text-muted text-sm hover:text-fg data-[state=active]:border-fg data-[state=active]:font-medium data-[state=active]:text-fg",
            isPressed ? "outline-none" : "focus-visible:-outline-offset-2",
          )}
        >
          {label}
          {count === "" ? null : <span className="rounded-full bg-hover px-1.5 font-normal text-muted text-xs">{count}</span>}
        </Tabs.Trigger>
      ))}
    </Tabs.List>
  );
}

/** While the session starts, the newest line that was printed: what a long setup is busy with. */
function NewestLine({ session, log }: { session: SessionView; log: LogBuffer }) {
  const { lines } = useSyncExternalStore(log.subscribe, log.snapshot);
  const last = lines.at(-1);
  if (session.receipt !== null || isSessionEnded(session.status) || last === undefined) return null;
  return (
    <p aria-hidden="true" data-newest-line="" className="mt-2 truncate px-1 font-mono text-faint text-xs">
      {stripAnsi(last.text)}
    </p>
  );
}
