/** Build time and image size over the last builds: two charts, and the same as a table. */
import { type BuildView, type RepositoryView } from "@open-inspect/protocol";
import { Link } from "@tanstack/react-router";
import { joinPages } from "../../lib/history.ts";
import { useBuilds } from "../../lib/queries.ts";
import { formatBytes, formatDuration, formatMoment, shortSha } from "../../lib/time.ts";
import { buildWords, modeWords } from "../../lib/words.ts";
import { type Bar, BarChart } from "../../ui/bar-chart.tsx";
import { Disclosure } from "../../ui/disclosure.tsx";
import { Card } from "../../ui/page.tsx";

/** As many as the charts show. */
const shownBuilds = 30;

interface TimedBuild extends BuildView {
  durationMs: number;
}
const isTimed = (build: BuildView): build is TimedBuild =>
  build.durationMs !== null && (build.status === "ready" || build.status === "failed");

export function Trends({ repository }: { repository: RepositoryView }) {
  const { data } = useBuilds(repository);
  const newestFirst = joinPages(data?.pages ?? [], repository.image.latestBuild)
    .filter(isTimed)
    .slice(0, shownBuilds);
  // One bar is no trend.
  if (newestFirst.length < 2) return null;
  const builds = newestFirst.toReversed();
  const bars = (measure: (build: TimedBuild) => number | null, format: (value: number) => string): Bar[] =>
    builds.map((build) => {
      const value = measure(build);
      const what = build.status === "failed" ? "failed" : build.mode === null ? "" : modeWords[build.mode].toLowerCase();
      return {
        key: build.id,
        value,
        fill: build.status === "failed" ? "fill-bad-dot" : build.mode === "incremental" ? "fill-ok-dot" : "fill-phase-setup",
        title: `${value === null ? "not measured" : format(value)}, ${what}, ${formatMoment(build.requestedAt)}`,
      };
    });
  const times = bars((build) => build.durationMs, formatDuration);
  const sizes = bars((build) => build.sizeBytes, formatBytes);
  return (
    <section aria-label="Build time and size">
      <h2 className="mb-2 font-medium text-muted text-sm">Build time and size</h2>
      <Card>
        <div className="space-y-4 px-4 py-3.5">
          <div className="grid gap-x-8 gap-y-5 sm:grid-cols-2">
            <BarChart title="Time" label={describe("Build time", times, formatDuration)} bars={times} format={formatDuration} />
            {sizes.some((bar) => bar.value !== null) ? (
              <BarChart title="Size" label={describe("Image size", sizes, formatBytes)} bars={sizes} format={formatBytes} />
            ) : null}
          </div>
          <Legend builds={builds} />
          <Disclosure summary="Show as a table">
            <BuildTable builds={newestFirst} />
          </Disclosure>
        </div>
      </Card>
    </section>
  );
}

function describe(what: string, bars: readonly Bar[], format: (value: number) => string): string {
  const values = bars.map((bar) => bar.value).filter((value) => value !== null);
  const least = format(Math.min(...values));
  const most = format(Math.max(...values));
  return `${what} of the last ${values.length} builds, from ${least} to ${most}; the newest ${format(values.at(-1) ?? 0)}`;
}

function Legend({ builds }: { builds: readonly BuildView[] }) {
  const kinds = [
    {
      name: "Full",
      colour: "bg-phase-setup",
      is: (build: BuildView) => build.status === "ready" && build.mode !== "incremental",
    },
    {
      name: "Incremental",
      colour: "bg-ok-dot",
      is: (build: BuildView) => build.status === "ready" && build.mode === "incremental",
    },
    { name: "Failed", colour: "bg-bad-dot", is: (build: BuildView) => build.status === "failed" },
  ].filter((kind) => builds.some(kind.is));
  return (
    <p aria-hidden="true" className="flex flex-wrap gap-x-3 gap-y-1 text-faint text-xs">
      {kinds.map(({ name, colour }) => (
        <span key={name} className="inline-flex items-center gap-1.5">
          <span className={`size-2 rounded-full ${colour}`} />
          {name}
        </span>
      ))}
      <span className="ml-auto">oldest to newest</span>
    </p>
  );
}

const cellStyles = "py-1.5 pr-4 text-left font-normal whitespace-nowrap";

function BuildTable({ builds }: { builds: readonly TimedBuild[] }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls sideways must be reachable by keyboard
    <section aria-label="Builds as a table" tabIndex={0} className="mt-2 overflow-x-auto">
      <table className="w-full text-sm">
        <thead>
          <tr className="border-line border-b text-faint text-xs">
            {["Asked for", "Commit", "Mode", "Time", "Size", "Outcome"].map((name) => (
              <th key={name} scope="col" className={cellStyles}>
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody className="divide-y divide-line">
          {builds.map((build) => (
            <tr key={build.id}>
              <th scope="row" className={cellStyles}>
                <Link to="/builds/$id" params={{ id: build.id }} className="text-link">
                  {formatMoment(build.requestedAt)}
                </Link>
              </th>
              <td className={`${cellStyles} font-mono text-xs`}>{build.sha === null ? "unknown" : shortSha(build.sha)}</td>
              <td className={cellStyles}>{build.mode === null ? "not begun" : modeWords[build.mode]}</td>
              <td className={cellStyles}>{formatDuration(build.durationMs)}</td>
              <td className={cellStyles}>{build.sizeBytes === null ? "not measured" : formatBytes(build.sizeBytes)}</td>
              <td className={cellStyles}>{buildWords[build.status].word}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
