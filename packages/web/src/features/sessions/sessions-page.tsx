/** The first page: start a session, and all sessions, newest first. */
import { type SessionSummary } from "@open-inspect/protocol";
import { Link } from "@tanstack/react-router";
import { MessagesSquare } from "lucide-react";
import { useTitle } from "../../lib/clock.ts";
import { useSessions } from "../../lib/queries.ts";
import { formatDuration } from "../../lib/time.ts";
import { sessionWords } from "../../lib/words.ts";
import { Age } from "../../ui/age.tsx";
import { StatusBadge } from "../../ui/badge.tsx";
import { Card, EmptyState, ErrorNotice, Page, SectionTitle, SkeletonRows } from "../../ui/page.tsx";
import { NewSessionForm } from "./new-session-form.tsx";

export function SessionsPage() {
  useTitle("Sessions");
  const { data, error, refetch } = useSessions();
  return (
    <Page title="Sessions">
      <SectionTitle>New session</SectionTitle>
      <NewSessionForm repository={null} />
      <div className="mt-8">
        <SectionTitle
          aside={
            data !== undefined && data.sessions.length > 0 ? (
              <span className="text-faint text-xs">{data.sessions.length}</span>
            ) : null
          }
        >
          All sessions
        </SectionTitle>
        {error !== null && data === undefined ? (
          <ErrorNotice error={error} onRetry={() => void refetch()} />
        ) : (
          <Card aria-label="All sessions">
            {data === undefined ? (
              <SkeletonRows rows={5} label="Loading sessions" />
            ) : data.sessions.length === 0 ? (
              <NoSessions />
            ) : (
              <ul aria-label="Sessions" className="divide-y divide-line">
                {data.sessions.map((session) => (
                  <SessionRow key={session.id} session={session} />
                ))}
              </ul>
            )}
          </Card>
        )}
      </div>
    </Page>
  );
}

function NoSessions() {
  return (
    <EmptyState icon={<MessagesSquare />} title="No session yet">
      Switch a repository on in{" "}
      <Link to="/settings/images" className="text-link">
        Settings &gt; Images
      </Link>{" "}
      so that its sessions start in seconds, then{" "}
      <Link to="/sessions/new" className="text-link">
        start a new session
      </Link>
      .
    </EmptyState>
  );
}

function SessionRow({ session }: { session: SessionSummary }) {
  const { owner, name } = session.repository;
  return (
    <li data-session={session.id}>
      <Link
        to="/sessions/$id"
        params={{ id: session.id }}
        className="flex flex-col gap-x-4 gap-y-1 px-4 py-3 hover:bg-hover focus-visible:-outline-offset-2 sm:flex-row sm:items-center"
      >
        <span className="min-w-0 flex-1">
          <span className="block truncate font-medium">{session.title}</span>
          <span className="block truncate text-muted text-sm">
            {owner}/{name} · {session.branch}
          </span>
        </span>
        <span className="flex flex-wrap items-center gap-x-4 gap-y-1 text-muted text-sm">
          {session.startedFrom === null ? null : (
            <span className="whitespace-nowrap sm:w-48 sm:text-right">
              {session.startMs === null ? null : <span className="text-fg">{formatDuration(session.startMs)} </span>}
              {session.startedFrom === "image" ? "from image" : "from base (cold)"}
            </span>
          )}
          <span className="sm:w-20 sm:text-right">
            <Age at={session.createdAt} />
          </span>
          <span className="sm:flex sm:w-24 sm:justify-end">
            <StatusBadge status={session.status} {...sessionWords[session.status]} />
          </span>
        </span>
      </Link>
    </li>
  );
}
