/** Every build of a repository, newest first, page by page; runs of checks that built nothing are folded. */
import { type BuildView, type RepositoryView } from "@open-inspect/protocol";
import { useMemo } from "react";
import { describeChecks, foldChecks, joinPages } from "../../lib/history.ts";
import { useBuilds } from "../../lib/queries.ts";
import { skipWords } from "../../lib/words.ts";
import { Age } from "../../ui/age.tsx";
import { Button } from "../../ui/button.tsx";
import { CommitLink } from "../../ui/commit.tsx";
import { Disclosure } from "../../ui/disclosure.tsx";
import { Card, EmptyNote, ErrorNotice, SkeletonRows } from "../../ui/page.tsx";
import { BuildRow } from "./build-row.tsx";
import { PhaseLegend } from "./phase-bar.tsx";

export function History({ repository }: { repository: RepositoryView }) {
  const { data, error, refetch, fetchNextPage, hasNextPage, isFetchingNextPage, isFetchNextPageError } = useBuilds(repository);
  const { latestBuild } = repository.image;
  const builds = useMemo(() => joinPages(data?.pages ?? [], latestBuild), [data, latestBuild]);
  if (data === undefined && error !== null) return <ErrorNotice error={error} onRetry={() => void refetch()} />;
  const entries = foldChecks(builds);
  const longestMs = Math.max(0, ...builds.map(phasesMs));
  return (
    <Card>
      {data === undefined ? (
        <SkeletonRows rows={4} label="Loading the history" />
      ) : entries.length === 0 ? (
        <EmptyNote>Nothing was built yet. The first build begins when images are switched on.</EmptyNote>
      ) : (
        <>
          <div className="border-line border-b px-4 py-2">
            <PhaseLegend />
          </div>
          <ol aria-label="Builds" className="divide-y divide-line">
            {entries.map((entry) =>
              entry.kind === "build" ? (
                <BuildRow key={entry.build.id} build={entry.build} repository={repository} longestMs={longestMs} />
              ) : (
                <ChecksRow key={entry.key} checks={entry.checks} count={entry.count} cloneUrl={repository.cloneUrl} />
              ),
            )}
          </ol>
          {isFetchNextPageError ? <ErrorNotice error={error} onRetry={() => void fetchNextPage()} className="m-3" /> : null}
          {hasNextPage && !isFetchNextPageError ? (
            <div className="border-line border-t p-2 text-center">
              <Button
                look="ghost"
                disabled={isFetchingNextPage}
                aria-busy={isFetchingNextPage}
                onClick={() => void fetchNextPage()}
              >
                {isFetchingNextPage ? "Loading…" : "Show earlier builds"}
              </Button>
            </div>
          ) : null}
        </>
      )}
    </Card>
  );
}

const phasesMs = (build: BuildView) =>
  build.phases.reduce((sum, { durationMs, outcome }) => sum + (outcome === "skipped" ? 0 : (durationMs ?? 0)), 0);

interface ChecksRowProps {
  checks: readonly BuildView[];
  count: number;
  cloneUrl: string;
}

/** Comparisons of heads that built nothing; opened, each with its reason and the commits that were compared. */
function ChecksRow({ checks, count, cloneUrl }: ChecksRowProps) {
  const newest = checks[0];
  return (
    <li data-checks={count} className="px-4 py-2.5">
      <Disclosure
        summary={
          <span className="flex min-w-0 flex-1 flex-wrap items-baseline justify-between gap-x-4">
            {describeChecks(checks, count)}
            {newest === undefined ? null : (
              <span className="text-faint">
                last <Age at={newest.finishedAt ?? newest.requestedAt} />
              </span>
            )}
          </span>
        }
      >
        <ul className="mt-1.5 space-y-1 pl-5 text-muted text-sm">
          {checks.map((check) => (
            <li key={check.id} className="flex flex-wrap items-baseline gap-x-2">
              <span>{check.skipped === null ? "Not built" : skipWords[check.skipped.reason]}</span>
              {check.sha === null ? null : <CommitLink cloneUrl={cloneUrl} sha={check.sha} fromSha={check.fromSha} />}
              {check.skipped !== null && check.skipped.count > 1 ? (
                <span>
                  · {check.skipped.count.toLocaleString("en")} times since <Age at={check.requestedAt} />
                </span>
              ) : (
                <span>
                  · <Age at={check.requestedAt} />
                </span>
              )}
            </li>
          ))}
        </ul>
      </Disclosure>
    </li>
  );
}
