/** The first page: start a session, and all sessions, newest first, searched and narrowed. */
import { Link, useNavigate } from "@tanstack/react-router";
import { MessagesSquare, SearchX } from "lucide-react";
import { useRef } from "react";
import { useTitle } from "../../lib/clock.ts";
import { useRepositories, useSessions } from "../../lib/queries.ts";
import { isFiltered, type SessionFilters } from "../../lib/session-filters.ts";
import { useShortcuts } from "../../lib/shortcuts.ts";
import { Button } from "../../ui/button.tsx";
import { Card, EmptyState, ErrorNotice, Page, SectionTitle, SkeletonRows } from "../../ui/page.tsx";
import { NewSessionForm } from "./new-session-form.tsx";
import { ArchivedSwitch, SessionFilterBar } from "./session-filter-bar.tsx";
import { SessionRow } from "./session-row.tsx";
import { StartingSession, useStartSession } from "./start-session.tsx";

export function SessionsPage({ filters }: { filters: SessionFilters }) {
  useTitle("Sessions");
  const navigate = useNavigate({ from: "/" });
  const start = useStartSession();
  const repositories = useRepositories();
  const { data, error, refetch, fetchNextPage, hasNextPage, isFetchingNextPage } = useSessions(filters);
  const sessions = data?.pages.flatMap((page) => page.sessions);
  const search = useRef<HTMLInputElement>(null);
  const list = useRef<HTMLUListElement>(null);
  useShortcuts([
    { keys: "/", label: "Search the sessions", run: () => search.current?.focus() },
    { keys: "j", label: "Next session", run: () => moveFocus(list.current, 1) },
    { keys: "k", label: "Previous session", run: () => moveFocus(list.current, -1) },
  ]);

  const authors = [...new Set((sessions ?? []).flatMap(({ author }) => (author === null ? [] : [author.name])))].sort();
  const narrow = (next: SessionFilters) => void navigate({ search: next, replace: true, resetScroll: false });
  const isNarrowed = isFiltered(filters);
  return (
    <>
      {start.isPending && start.variables !== undefined ? <StartingSession request={start.variables} /> : null}
      <div hidden={start.isPending}>
        <Page title="Sessions">
          <NewSessionForm repository={filters.repository ?? null} start={start} />
          <div className="mt-8">
            <SectionTitle aside={<ArchivedSwitch filters={filters} onFilters={narrow} />}>
              {filters.archived ? "Archived sessions" : "All sessions"}
            </SectionTitle>
            <SessionFilterBar
              filters={filters}
              onFilters={narrow}
              repositories={repositories.data?.repositories ?? []}
              authors={authors}
              field={search}
            />
            {error !== null && sessions === undefined ? (
              <ErrorNotice error={error} onRetry={() => void refetch()} />
            ) : (
              <Card aria-label="All sessions">
                {sessions === undefined ? (
                  <SkeletonRows rows={5} label="Loading sessions" />
                ) : sessions.length === 0 ? (
                  isNarrowed ? (
                    <NothingFound onClear={() => void navigate({ search: {} })} />
                  ) : (
                    <NoSessions />
                  )
                ) : (
                  <ul ref={list} aria-label="Sessions" className="divide-y divide-line">
                    {sessions.map((session) => (
                      <SessionRow key={session.id} session={session} />
                    ))}
                  </ul>
                )}
              </Card>
            )}
            {error !== null && sessions !== undefined ? (
              <ErrorNotice className="mt-3" error={error} onRetry={() => void refetch()} />
            ) : hasNextPage ? (
              <div className="mt-3 text-center">
                <Button disabled={isFetchingNextPage} onClick={() => void fetchNextPage()}>
                  {isFetchingNextPage ? "Loading…" : "Load more"}
                </Button>
              </div>
            ) : null}
          </div>
        </Page>
      </div>
    </>
  );
}

function moveFocus(list: HTMLElement | null, by: 1 | -1): void {
  const links = [...(list?.querySelectorAll<HTMLElement>("[data-session] > a") ?? [])];
  const at = links.findIndex((link) => link.contains(document.activeElement));
  links[Math.min(links.length - 1, Math.max(0, at + by))]?.focus();
}

function NothingFound({ onClear }: { onClear: () => void }) {
  return (
    <EmptyState icon={<SearchX />} title="No session is like that">
      <p className="mb-4">Nothing fits all of the filters.</p>
      <Button onClick={onClear}>Show all sessions</Button>
    </EmptyState>
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
