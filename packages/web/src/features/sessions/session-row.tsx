/** A session in a list: what it is about, where it stands, what it came to and cost. */
import { type SessionSummary } from "@open-inspect/protocol";
import { Link } from "@tanstack/react-router";
import { CornerDownRight } from "lucide-react";
import { useMedia } from "../../lib/media.ts";
import { describeTokens, describeUsage } from "../../lib/session-sentences.ts";
import { formatDuration } from "../../lib/time.ts";
import { sessionWords } from "../../lib/words.ts";
import { Age } from "../../ui/age.tsx";
import { Avatar } from "../../ui/avatar.tsx";
import { StatusBadge } from "../../ui/badge.tsx";
import { Facts } from "../../ui/facts.tsx";
import { PullRequestBadge } from "../../ui/pull-request-badge.tsx";

/** The list is in the order of beginnings; work that went on for longer is told beside it. */
const laterMs = 5 * 60_000;

function describeSource({ startMs, startedFrom }: SessionSummary): string | null {
  if (startedFrom === null) return null;
  const from = { image: "from image", base: "from base (cold)", snapshot: "from snapshot" }[startedFrom];
  return `${startMs === null ? "" : `${formatDuration(startMs)} `}${from}`;
}

export function SessionRow({ session }: { session: SessionSummary }) {
  const { owner, name } = session.repository;
  const { author, usage, pullRequest, promptCount } = session;
  const word =
    session.isWorking && session.status === "ready"
      ? ({ word: "Working", tone: "warn", busy: true } as const)
      : sessionWords[session.status];
  const spent = describeUsage(usage);
  const isRoomy = useMedia("(min-width: 40rem)");
  return (
    <li data-session={session.id} className="list-row">
      <Link
        to="/sessions/$id"
        params={{ id: session.id }}
        className="flex items-start gap-3 px-4 py-2.5 hover:bg-hover focus-visible:-outline-offset-2 max-sm:px-3"
      >
        {author === null ? null : <Avatar person={author} className="mt-px" />}
        <span className="min-w-0 flex-1">
          <span className="flex min-w-0 items-center gap-2">
            {session.parentId === null ? null : (
              <CornerDownRight role="img" aria-label="Begun by another session" className="size-3.5 shrink-0 text-faint" />
            )}
            <span className="min-w-0 truncate font-medium">{session.title}</span>
            {pullRequest === null ? null : <PullRequestBadge pullRequest={pullRequest} />}
            {isRoomy ? null : (
              <span className="ml-auto shrink-0">
                <StatusBadge status={session.status} {...word} />
              </span>
            )}
          </span>
          <span className="block text-muted text-xs">
            <Facts
              facts={[
                isRoomy ? null : <Age key="age" at={session.createdAt} />,
                `${owner}/${name} · ${session.branch}`,
                promptCount === 0 ? null : promptCount === 1 ? "1 prompt" : `${promptCount} prompts`,
                spent === null || usage === null ? null : (
                  <span key="spent" title={describeTokens(usage)}>
                    {spent}
                  </span>
                ),
                describeSource(session),
                session.activeAt - session.createdAt < laterMs ? null : (
                  <span key="active">
                    active <Age at={session.activeAt} />
                  </span>
                ),
              ]}
            />
          </span>
        </span>
        {isRoomy ? (
          <span className="flex shrink-0 items-center gap-3 text-faint text-xs">
            <Age at={session.createdAt} />
            <span className="flex w-24 justify-end">
              <StatusBadge status={session.status} {...word} />
            </span>
          </span>
        ) : null}
      </Link>
    </li>
  );
}
