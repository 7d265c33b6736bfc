/** What the repository's sessions started from, and the time that its images have saved them. */
import { type RepositoryView, type SessionSummary, type StartReceipt } from "@open-inspect/protocol";
import { Link } from "@tanstack/react-router";
import { useSession, useSessions } from "../../lib/queries.ts";
import { summarizeSavings } from "../../lib/savings.ts";
import { formatDuration } from "../../lib/time.ts";
import { Age } from "../../ui/age.tsx";
import { Button } from "../../ui/button.tsx";
import { Card, EmptyNote, ErrorNotice, SkeletonRows } from "../../ui/page.tsx";

const shownSessions = 5;

export function Starts({ repository: { owner, name } }: { repository: RepositoryView }) {
  const { data, error, refetch } = useSessions();
  const sessions = data?.sessions.filter((each) => each.repository.owner === owner && each.repository.name === name) ?? [];
  // The receipt of the newest start from an image says what a cold start costs: the lists do not.
  const newest = sessions.find((each) => each.startedFrom === "image" && each.startMs !== null);
  const { data: told } = useSession(newest?.id ?? null);
  const cold = told?.receipt?.cold ?? null;
  if (data === undefined && error !== null) return <ErrorNotice error={error} onRetry={() => void refetch()} />;
  return (
    <Card>
      {data === undefined ? (
        <SkeletonRows rows={2} label="Loading the sessions" />
      ) : sessions.length === 0 ? (
        <EmptyNote>
          <p className="mb-3">No session yet. Here stands how fast each one started, and what the image has saved.</p>
          <NewSession owner={owner} name={name} />
        </EmptyNote>
      ) : (
        <>
          <div className="flex flex-wrap items-center justify-between gap-x-6 gap-y-2 border-line border-b px-4 py-3">
            <p data-savings="" className="min-w-0 flex-1 basis-64 text-sm">
              <Savings sessions={sessions} cold={cold} />
            </p>
            <NewSession owner={owner} name={name} />
          </div>
          <ul aria-label="Newest sessions" className="divide-y divide-line">
            {sessions.slice(0, shownSessions).map((session) => (
              <StartRow key={session.id} session={session} coldMs={cold?.ms ?? null} />
            ))}
          </ul>
        </>
      )}
    </Card>
  );
}

function NewSession({ owner, name }: { owner: string; name: string }) {
  return (
    <Button asChild>
      <Link to="/sessions/new" search={{ repository: `${owner}/${name}` }}>
        New session
      </Link>
    </Button>
  );
}

function Savings({ sessions, cold }: { sessions: readonly SessionSummary[]; cold: StartReceipt["cold"] }) {
  const { warm, coldStarts, savedMs } = summarizeSavings(sessions, cold?.ms ?? null);
  if (warm === 0) return <>No session has started from an image yet; {coldStarts} started cold.</>;
  const starts = `${warm.toLocaleString("en")} ${warm === 1 ? "start" : "starts"} from an image`;
  if (savedMs === null || cold === null) return <>{starts}. No cold start was measured to compare with.</>;
  if (savedMs <= 0) return <>{starts}, no faster than cold ones: there is little to do ahead of time.</>;
  return (
    <>
      <strong className="font-semibold">Saved {formatDuration(savedMs)}</strong>{" "}
      <span className="text-muted">
        in {starts}, {formatDuration(savedMs / warm)} each: a cold start takes {cold.source === "build" ? "about " : ""}
        {formatDuration(cold.ms, true)}
        {cold.source === "build" ? ", estimated from the last build" : ""}.
        {coldStarts > 0 ? ` ${coldStarts.toLocaleString("en")} started cold.` : ""}
      </span>
    </>
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
