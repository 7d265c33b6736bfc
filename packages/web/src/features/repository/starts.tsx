/** How the repository's sessions began: the sums of the last weeks, and the newest ones with what each saved. */
import { type RepositoryView, type SessionSummary } from "@open-inspect/protocol";
import { Link } from "@tanstack/react-router";
import { SquarePen } from "lucide-react";
import { useSession, useSessions } from "../../lib/queries.ts";
import { formatDuration } from "../../lib/time.ts";
import { Age } from "../../ui/age.tsx";
import { Button } from "../../ui/button.tsx";
import { InsightsCard } from "../insights/insights-card.tsx";

const shownSessions = 5;

export function Starts({ repository }: { repository: RepositoryView }) {
  const { owner, name } = repository;
  const { data } = useSessions({ repository: `${owner}/${name}` });
  const sessions = data?.pages.flatMap((page) => page.sessions) ?? [];
  // The receipt of the newest start from an image says what a cold start costs: the list does not.
  const newest = sessions.find((each) => each.startedFrom === "image" && each.startMs !== null);
  const { data: told } = useSession(newest?.id ?? null);
  const coldMs = told?.receipt?.cold?.ms ?? null;
  return (
    <InsightsCard repository={repository}>
      {sessions.length === 0 ? null : (
        <ul aria-label="Newest sessions" className="divide-y divide-line border-line border-t">
          {sessions.slice(0, shownSessions).map((session) => (
            <StartRow key={session.id} session={session} coldMs={coldMs} />
          ))}
        </ul>
      )}
      <div className="border-line border-t px-4 py-3">
        <Button asChild>
          <Link to="/sessions/new" search={{ repository: `${owner}/${name}` }}>
            <SquarePen aria-hidden="true" />
            New session
          </Link>
        </Button>
      </div>
    </InsightsCard>
  );
}

function StartRow({ session, coldMs }: { session: SessionSummary; coldMs: number | null }) {
  const { startMs, startedFrom } = session;
  const savedMs = startedFrom === "image" && startMs !== null && coldMs !== null ? coldMs - startMs : null;
  return (
    <li>
      <Link
        to="/sessions/$id"
        params={{ id: session.id }}
        className="flex flex-wrap items-baseline gap-x-4 gap-y-0.5 px-4 py-2.5 text-sm hover:bg-hover focus-visible:-outline-offset-2"
      >
        <span className="min-w-0 flex-1 basis-48 truncate">{session.title}</span>
        <span className="text-muted">
          {startMs === null ? "not started" : formatDuration(startMs)}
          {startedFrom === null ? "" : startedFrom === "image" ? " from image" : " from base (cold)"}
          {savedMs !== null && savedMs > 0 ? <span className="text-ok"> · saved {formatDuration(savedMs)}</span> : null}
        </span>
        <span className="text-faint sm:w-20 sm:text-right">
          <Age at={session.createdAt} />
        </span>
      </Link>
    </li>
  );
}
