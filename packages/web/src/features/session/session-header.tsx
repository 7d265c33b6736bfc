/** A session's name and condition, who watches it, and what can be done with all of it. */
import { type Person, type SessionView } from "@open-inspect/protocol";
import { Link } from "@tanstack/react-router";
import { Archive, ArchiveRestore, CircleStop, CornerLeftUp, LoaderCircle, Pencil } from "lucide-react";
import { type KeyboardEvent, useRef, useState } from "react";
import { focusNext } from "../../lib/focus.ts";
import { type LiveState } from "../../lib/live-socket.ts";
import { useMedia } from "../../lib/media.ts";
import { type SessionActions } from "../../lib/session-actions.ts";
import { isSessionEnded, sessionWords } from "../../lib/words.ts";
import { Age } from "../../ui/age.tsx";
import { Avatar } from "../../ui/avatar.tsx";
import { StatusBadge } from "../../ui/badge.tsx";
import { Button } from "../../ui/button.tsx";
import { Facts } from "../../ui/facts.tsx";
import { LiveIndicator } from "../../ui/live-indicator.tsx";
import { Spent } from "./prompt-view.tsx";
import { PullRequestControl } from "./pull-request.tsx";

interface SessionHeaderProps {
  session: SessionView;
  people: readonly Person[];
  live: LiveState;
  actions: SessionActions;
}

export function SessionHeader({ session, people, live, actions }: SessionHeaderProps) {
  const { owner, name } = session.repository;
  // One line, whatever the width: what the list says as well goes first.
  const isRoomy = useMedia("(min-width: 40rem)");
  const word =
    session.status === "ready" && session.isWorking
      ? ({ word: "Working", tone: "warn", busy: true } as const)
      : sessionWords[session.status];
  return (
    <header className="grid shrink-0 grid-cols-[minmax(0,1fr)_auto] items-center gap-x-4 border-line border-b px-4 py-2 max-sm:gap-y-0.5 sm:px-6">
      <div className="flex min-w-0 items-center gap-2 max-sm:col-span-2">
        <Title session={session} actions={actions} />
        <StatusBadge status={session.status} {...word} />
        {live === "reconnecting" ? <LiveIndicator state={live} label="Updates of this session" /> : null}
      </div>
      <div className="min-w-0 text-muted text-xs">
        <Facts
          isOneLine
          facts={[
            <Link key="repository" to="/repositories/$owner/$name" params={{ owner, name }} className="hover:underline">
              {owner}/{name}
            </Link>,
            session.branch,
            session.parentId === null ? null : (
              <Link
                key="parent"
                to="/sessions/$id"
                params={{ id: session.parentId }}
                className="inline-flex items-center gap-1 hover:underline"
              >
                <CornerLeftUp aria-hidden="true" className="size-3" />
                begun by another session
              </Link>
            ),
            session.author === null || !isRoomy ? null : session.author.name,
            isRoomy ? <Age key="age" at={session.createdAt} /> : null,
            session.usage === null ? null : <Spent key="spent" usage={session.usage} />,
          ]}
        />
      </div>
      <div className="flex items-center gap-1.5 sm:col-start-2 sm:row-span-2 sm:row-start-1">
        {isRoomy || people.length > 1 ? <Participants people={people} /> : null}
        <PullRequestControl session={session} actions={actions} />
        <StopButton session={session} actions={actions} />
        <ArchiveButton session={session} actions={actions} />
      </div>
    </header>
  );
}

function Title({ session, actions }: { session: SessionView; actions: SessionActions }) {
  const [text, setText] = useState<string | null>(null);
  const rename = useRef<HTMLButtonElement>(null);
  const save = () => {
    const title = text?.trim() ?? "";
    if (title !== "" && title !== session.title) actions.rename.mutate(title);
    setText(null);
  };
  function onKeyDown(event: KeyboardEvent): void {
    if (event.key === "Enter") save();
    else if (event.key === "Escape") setText(null);
    else return;
    event.preventDefault();
    event.stopPropagation();
    focusNext(() => rename.current);
  }
  if (text !== null) {
    return (
      <input
        aria-label="Title"
        // biome-ignore lint/a11y/noAutofocus: it was opened to be written in
        autoFocus
        value={text}
        maxLength={200}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={onKeyDown}
        onBlur={save}
        className="h-8 min-w-0 flex-1 rounded-md border border-control bg-raised px-2 font-semibold text-base"
      />
    );
  }
  return (
    <>
      <h1 className="min-w-0 truncate font-semibold text-lg tracking-tight" title={session.title}>
        {session.title}
      </h1>
      <Button
        ref={rename}
        look="ghost"
        size="icon"
        className="size-7"
        aria-label="Rename"
        title="Rename"
        onClick={() => setText(session.title)}
      >
        <Pencil aria-hidden="true" className="size-3.5" />
      </Button>
    </>
  );
}

const shownPeople = 4;

function Participants({ people }: { people: readonly Person[] }) {
  if (people.length === 0) return null;
  const names = people.map(({ name }) => name).join(", ");
  return (
    <span role="img" aria-label={`Watching: ${names}`} title={`Watching: ${names}`} className="mr-1 flex -space-x-1.5">
      {people.slice(0, shownPeople).map((person, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: two may have the same name
        <Avatar key={index} person={person} className="ring-2 ring-bg" />
      ))}
      {people.length > shownPeople ? (
        <span className="inline-flex size-6 items-center justify-center rounded-full bg-hover text-[0.625rem] text-muted ring-2 ring-bg">
          +{people.length - shownPeople}
        </span>
      ) : null}
    </span>
  );
}

function StopButton({ session, actions: { stop } }: { session: SessionView; actions: SessionActions }) {
  const isOver = isSessionEnded(session.status) || session.status === "stopping" || session.status === "snapshotting";
  return (
    <>
      {stop.isError && !isOver ? (
        <span role="alert" className="max-w-56 text-bad text-xs">
          {stop.error.message}
        </span>
      ) : null}
      <Button
        aria-label="Stop session"
        title="Saves the workspace and stops the sandbox; the next prompt resumes it"
        disabled={isOver || stop.isPending}
        onClick={() => stop.mutate()}
      >
        {stop.isPending ? <LoaderCircle aria-hidden="true" className="animate-spin" /> : <CircleStop aria-hidden="true" />}
        <span className="max-md:sr-only">Stop session</span>
      </Button>
    </>
  );
}

function ArchiveButton({ session, actions }: { session: SessionView; actions: SessionActions }) {
  const isArchived = session.archivedAt !== null;
  const { isPending, isError, error, mutate } = isArchived ? actions.restore : actions.archive;
  return (
    <>
      {isError ? (
        <span role="alert" className="max-w-56 text-bad text-xs">
          {error.message}
        </span>
      ) : null}
      <Button
        look="ghost"
        size="icon"
        aria-label={isArchived ? "Restore" : "Archive"}
        title={isArchived ? "Restore" : "Archive: takes it off the list and stops its sandbox"}
        disabled={isPending}
        onClick={() => mutate()}
      >
        {isArchived ? <ArchiveRestore aria-hidden="true" /> : <Archive aria-hidden="true" />}
      </Button>
    </>
  );
}
