/** How sessions began lately: time that images saved, how fresh they were, and why some sessions started cold. */
import { type Insights, type RepositoryRef, type Standing } from "@open-inspect/protocol";
import { type ReactNode } from "react";
import { useInsights } from "../../lib/queries.ts";
import { formatDuration } from "../../lib/time.ts";
import { StatusBadge } from "../../ui/badge.tsx";
import { Fact } from "../../ui/fact.tsx";
import { Hint } from "../../ui/hint.tsx";
import { Card, EmptyNote, ErrorNotice, SkeletonRows } from "../../ui/page.tsx";

interface InsightsCardProps {
  /** null: all of them */
  repository: RepositoryRef | null;
  /** stands below what is said */
  children?: ReactNode;
}

export function InsightsCard({ repository, children }: InsightsCardProps) {
  const { data, error, refetch } = useInsights(repository);
  if (data === undefined && error !== null) return <ErrorNotice error={error} onRetry={() => void refetch()} />;
  return (
    <Card>
      {data === undefined ? <SkeletonRows rows={2} label="Loading how sessions began" /> : <Sums insights={data} />}
      {children}
    </Card>
  );
}

function Sums({ insights }: { insights: Insights }) {
  const { starts, coldReasons, days } = insights;
  const began = starts.image + starts.cold;
  if (began === 0) return <EmptyNote>No session began in the last {days} days.</EmptyNote>;
  return (
    <>
      <p data-savings="" className="px-4 pt-3.5 text-sm">
        <Savings insights={insights} />
      </p>
      <StartFacts insights={insights} />
      {coldReasons.length === 0 ? null : <ColdReasons reasons={coldReasons} />}
    </>
  );
}

const plural = (count: number, one: string, many: string) => `${count.toLocaleString("en")} ${count === 1 ? one : many}`;

function Savings({ insights: { saved, starts, days } }: { insights: Insights }) {
  const rest = (
    <span className="text-muted">
      {" "}
      {plural(starts.image, "start", "starts")} from an image, {starts.cold.toLocaleString("en")} cold
      {starts.failed > 0 ? `, ${starts.failed.toLocaleString("en")} of them failed` : ""}, in the last {days} days.
    </span>
  );
  if (saved.sessions === 0 || saved.medianMs === null) return <>Time saved: not known yet.{rest}</>;
  if (saved.totalMs <= 0) return <>Images saved no time: there is little to do ahead of it.{rest}</>;
  return (
    <>
      <strong className="font-semibold">Images saved {formatDuration(saved.totalMs)}</strong>
      {saved.medianMs > 0 ? `, ${formatDuration(saved.medianMs)} in a typical session.` : "."}
      {rest}
    </>
  );
}

function StartFacts({ insights: { startTimes, staleness } }: { insights: Insights }) {
  const { target, beforeSync, afterSync, medianBehindMs, medianBehindCommits } = staleness;
  const times = (of: Insights["startTimes"]["image"]) =>
    of === null ? "none yet" : `${formatDuration(of.medianMs)}, 95 % within ${formatDuration(of.p95Ms)}`;
  return (
    <dl className="grid grid-cols-1 gap-x-6 gap-y-3 px-4 py-3.5 text-sm sm:grid-cols-2">
      <Fact name="Typical start from an image">{times(startTimes.image)}</Fact>
      <Fact name="Typical cold start">{times(startTimes.cold)}</Fact>
      <Fact name={`At most ${formatDuration(target.withinMs)} behind before the sync`}>
        <StandingNote standing={beforeSync} wanted={target.share} />
        {medianBehindMs === null || medianBehindCommits === null ? null : (
          <span className="text-muted">
            {" "}
            {medianBehindCommits === 0
              ? "Typically not at all."
              : `Typically ${formatDuration(medianBehindMs)}, ${plural(medianBehindCommits, "commit", "commits")}.`}
          </span>
        )}
      </Fact>
      <Fact name="At the head of the branch at the first edit">
        <StandingNote standing={afterSync} wanted={1} />
      </Fact>
    </dl>
  );
}

const percent = (share: number) => `${Math.floor(share * 1000) / 10} %`;

function StandingNote({ standing: { known, share, isMet }, wanted }: { standing: Standing; wanted: number }) {
  if (share === null || isMet === null) return <>not known yet</>;
  return (
    <>
      {percent(share)} of {plural(known, "start", "starts")}{" "}
      <StatusBadge
        status={isMet ? "met" : "missed"}
        tone={isMet ? "ok" : "bad"}
        word={isMet ? `Target ${percent(wanted)} met` : `Target ${percent(wanted)} missed`}
      />
    </>
  );
}

function ColdReasons({ reasons }: { reasons: Insights["coldReasons"] }) {
  return (
    <div className="border-line border-t px-4 py-3 text-sm">
      <h3 className="text-faint text-xs">Why sessions started cold</h3>
      <ul aria-label="Why sessions started cold" className="mt-1 space-y-1.5">
        {reasons.map(({ code, message, hint, count }) => (
          <li key={code} data-cold={code} className="grid grid-cols-[2.5rem_minmax(0,1fr)] break-words">
            <span className="font-medium">
              {count.toLocaleString("en")}
              <span className="sr-only"> {count === 1 ? "session" : "sessions"}:</span>
            </span>
            <span>
              {message}{" "}
              <span className="text-muted">
                <Hint text={hint} />
              </span>
            </span>
          </li>
        ))}
      </ul>
    </div>
  );
}
