/** A stretch of a log's lines with the headings of phases between them; drawn anew only when something in it changed. */
import { type PhaseRecord } from "@open-inspect/protocol";
import { Fragment, memo } from "react";
import { parseAnsi } from "../lib/ansi.ts";
import { cn } from "../lib/cn.ts";
import { type LogLine } from "../lib/log-lines.ts";
import { type LogMatch, markSpans } from "../lib/log-search.ts";
import { formatClock, formatDuration } from "../lib/time.ts";
import { phaseNames } from "../lib/words.ts";
import { Elapsed } from "./age.tsx";

export const chunkLines = 200;

export function LogGap({ text }: { text: string }) {
  return (
    <div data-stream="gap" className="my-1 flex items-center gap-3 px-3 font-sans text-faint">
      <span aria-hidden="true" className="h-px flex-1 bg-line-strong" />
      {text}
      <span aria-hidden="true" className="h-px flex-1 bg-line-strong" />
    </div>
  );
}

interface LogChunkProps {
  lines: readonly LogLine[];
  /** null draws no headings */
  phases: readonly PhaseRecord[] | null;
  /** lines before it are not drawn: it begins with the heading of its phase all the same */
  isFirst: boolean;
  matches: readonly LogMatch[];
  current: LogMatch | null;
}

export const LogChunk = memo(
  function LogChunk({ lines, phases, isFirst, matches, current }: LogChunkProps) {
    return (
      <div className={lines.length === chunkLines ? "log-chunk" : undefined}>
        {lines.map((line, index) => {
          const heads = phases !== null && (line.begins || (isFirst && index === 0));
          const ofLine = matches.length === 0 ? matches : matches.filter((match) => match.key === line.key);
          return (
            <Fragment key={line.key}>
              {heads ? <PhaseHeading line={line} phases={phases} /> : null}
              {line.stream === "gap" ? (
                <LogGap text={line.text} />
              ) : (
                <Line line={line} matches={ofLine} current={current?.key === line.key ? current : null} />
              )}
            </Fragment>
          );
        })}
      </div>
    );
  },
  // A chunk changes at its end alone: it grows, or its last line does.
  (before, after) =>
    before.lines.length === after.lines.length &&
    before.lines[0]?.key === after.lines[0]?.key &&
    before.lines.at(-1) === after.lines.at(-1) &&
    before.phases === after.phases &&
    before.isFirst === after.isFirst &&
    before.current === after.current &&
    isSame(before.matches, after.matches),
);

/** Matches are found anew whenever the log grows; those of a finished chunk stay what they were. */
const isSame = (before: readonly LogMatch[], after: readonly LogMatch[]) =>
  before.length === after.length &&
  before.every((match, index) => {
    const other = after[index];
    return other !== undefined && match.key === other.key && match.from === other.from && match.to === other.to;
  });

/** A line's clock and a phase's clock may differ by this much. */
const clockSkewMs = 2_000;

function PhaseHeading({ line, phases }: { line: LogLine; phases: readonly PhaseRecord[] }) {
  const ofName = phases.filter((each) => each.phase === line.phase);
  const record = ofName.findLast((each) => each.startedAt <= line.at + clockSkewMs) ?? ofName[0];
  return (
    <h3
      data-heading={line.phase}
      className="mt-3 mb-1 flex items-baseline justify-between gap-3 border-line border-b px-3 pb-1 font-medium font-sans text-fg text-sm first:mt-0"
    >
      {phaseNames[line.phase]}
      {record === undefined ? null : (
        <span className={cn("font-normal text-xs", record.outcome === "failed" ? "text-bad" : "text-muted")}>
          {record.outcome === "failed" ? "failed after " : ""}
          {record.durationMs === null ? <Elapsed from={record.startedAt} /> : formatDuration(record.durationMs, true)}
        </span>
      )}
    </h3>
  );
}

const markStyles = { match: "rounded-xs bg-warn-dot/30", current: "rounded-xs bg-warn-dot text-black" };

interface LineProps {
  line: LogLine;
  matches: readonly LogMatch[];
  current: LogMatch | null;
}

function Line({ line, matches, current }: LineProps) {
  return (
    <div data-stream={line.stream} className="flex gap-3 px-3 hover:bg-hover">
      <time
        dateTime={new Date(line.at).toISOString()}
        title={phaseNames[line.phase]}
        className="hidden w-[6.5rem] shrink-0 select-none text-faint sm:block"
      >
        {formatClock(line.at)}
      </time>
      <span className={cn("min-w-0 flex-1 whitespace-pre-wrap break-words", line.stream === "system" && "text-accent")}>
        {markSpans(parseAnsi(line.text), matches, current).map(({ text, className, mark }, index) => {
          if (mark !== null) {
            return (
              // biome-ignore lint/suspicious/noArrayIndexKey: the spans of a line never change their order
              <mark key={index} data-mark={mark} className={cn("text-inherit", className, markStyles[mark])}>
                {text}
              </mark>
            );
          }
          if (className === "") return text;
          return (
            // biome-ignore lint/suspicious/noArrayIndexKey: the spans of a line never change their order
            <span key={index} className={className}>
              {text}
            </span>
          );
        })}
      </span>
    </div>
  );
}
