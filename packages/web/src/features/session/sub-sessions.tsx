/** Sessions that the agent of this one has begun. Nothing where there is none. */
import { Link } from "@tanstack/react-router";
import { useSessions } from "../../lib/queries.ts";
import { sessionWords } from "../../lib/words.ts";
import { StatusBadge } from "../../ui/badge.tsx";
import { Card, SectionTitle } from "../../ui/page.tsx";

export function SubSessions({ id }: { id: string }) {
  const { data } = useSessions({ parent: id });
  const sessions = data?.pages.flatMap((page) => page.sessions) ?? [];
  if (sessions.length === 0) return null;
  return (
    <section className="mt-5">
      <SectionTitle>Sessions that it began</SectionTitle>
      <Card>
        <ul aria-label="Sessions that it began" className="divide-y divide-line">
          {sessions.map((session) => (
            <li key={session.id}>
              <Link
                to="/sessions/$id"
                params={{ id: session.id }}
                className="flex items-center gap-3 px-3 py-2 text-sm hover:bg-hover focus-visible:-outline-offset-2"
              >
                <span className="min-w-0 flex-1 truncate">{session.title}</span>
                <StatusBadge status={session.status} {...sessionWords[session.status]} />
              </Link>
            </li>
          ))}
        </ul>
      </Card>
    </section>
  );
}
