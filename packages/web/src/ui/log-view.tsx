/** A live log: follows its end, is searched, marks gaps, and stays usable when it is long by drawing chunks and capping what is in the page. */
import { type PhaseRecord } from "@open-inspect/protocol";
import { type ReactNode, useDeferredValue, useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";
import { cn } from "../lib/cn.ts";
import { type LogBuffer, type LogLine } from "../lib/log-lines.ts";
import { findMatches, type LogMatch } from "../lib/log-search.ts";
import { Button } from "./button.tsx";
import { chunkLines, LogChunk, LogGap } from "./log-chunk.tsx";
import { LogSearchBox } from "./log-search-box.tsx";

/** The most lines in the page until a person asks for more. */
const shownLines = 2_000;

const noMatches: readonly LogMatch[] = [];

interface LogViewProps {
  buffer: LogBuffer;
  label: string;
  /** said while there is no line */
  empty: string;
  /** scrolls along with new lines from the beginning */
  follow?: boolean;
  /** heads each phase's lines with its name and duration; without them there are no headings */
  phases?: readonly PhaseRecord[];
  /** stand at the end of the bar */
  actions?: ReactNode;
  className?: string;
}

export function LogView({ buffer, label, empty, follow: followAtFirst = true, phases, actions, className }: LogViewProps) {
  const { lines, dropped } = useSyncExternalStore(buffer.subscribe, buffer.snapshot);
  const [follow, setFollow] = useState(followAtFirst);
  const [extra, setExtra] = useState(0);
  /** the first line that was drawn when following ended: what is being read must not slip away as the log grows */
  const [held, setHeld] = useState<number | null>(null);
  const region = useRef<HTMLElement>(null);
  const previousTop = useRef(0);
  const search = useLogSearch(lines);

  // Chunks keep their borders as the log grows, so that a finished one is drawn once.
  const newest = Math.max(0, Math.floor((lines.length - shownLines - extra) / chunkLines) * chunkLines);
  const from = held === null ? newest : Math.min(newest, held);
  const chunks: { key: string; lines: readonly LogLine[]; matches: readonly LogMatch[] }[] = [];
  let match = search.matches.findIndex(({ index }) => index >= from);
  for (let index = from; index < lines.length; index += chunkLines) {
    const part = lines.slice(index, index + chunkLines);
    const first = match;
    while (match >= 0 && (search.matches[match]?.index ?? Number.POSITIVE_INFINITY) < index + chunkLines) match += 1;
    chunks.push({
      key: part[0]?.key ?? String(index),
      lines: part,
      matches: match > first ? search.matches.slice(first, match) : noMatches,
    });
  }

  useEffect(() => {
    const element = region.current;
    if (follow && element !== null && lines.length > 0) element.scrollTop = element.scrollHeight;
  }, [follow, lines]);

  useEffect(() => {
    if (search.current === null) return;
    scrollToMatch(region.current);
    // Lines that were never on the screen get their height when they come near it: once more from there.
    const frame = requestAnimationFrame(() => scrollToMatch(region.current));
    return () => cancelAnimationFrame(frame);
  }, [search.current]);

  function changeFollow(next: boolean): void {
    setFollow(next);
    setHeld(next ? null : from);
  }

  function onScroll(): void {
    const element = region.current;
    if (element === null) return;
    const atEnd = element.scrollHeight - element.scrollTop - element.clientHeight < 24;
    if (atEnd && !follow) changeFollow(true);
    else if (!atEnd && follow && element.scrollTop < previousTop.current) changeFollow(false);
    previousTop.current = element.scrollTop;
  }

  function step(by: 1 | -1): void {
    const reached = search.step(by);
    if (reached === null) return;
    changeFollow(false);
    if (reached.index < from) setExtra(lines.length - shownLines - reached.index);
  }

  return (
    <div className={cn("overflow-hidden rounded-lg border border-line bg-sunken", className)}>
      <div className="flex flex-wrap items-center justify-between gap-x-4 gap-y-1 border-line border-b px-3 py-1 text-muted text-xs">
        <span>{lines.length + dropped === 1 ? "1 line" : `${(lines.length + dropped).toLocaleString("en")} lines`}</span>
        <div className="flex min-w-0 flex-wrap items-center gap-x-3 gap-y-1">
          <LogSearchBox
            query={search.query}
            onQuery={search.setQuery}
            count={search.matches.length}
            current={search.currentIndex}
            onStep={step}
          />
          <label className="flex items-center gap-1.5">
            <input
              type="checkbox"
              className="accent-accent"
              checked={follow}
              onChange={(event) => changeFollow(event.target.checked)}
            />
            Follow
          </label>
          {actions}
        </div>
      </div>
      <section
        ref={region}
        aria-label={label}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard
        tabIndex={0}
        onScroll={onScroll}
        className="max-h-[36rem] overflow-auto py-1.5 font-mono text-xs leading-5"
      >
        {from > 0 ? (
          <div className="px-3 py-1">
            <Button look="ghost" onClick={() => setExtra((value) => value + shownLines)}>
              Show {Math.min(shownLines, from).toLocaleString("en")} earlier lines of {from.toLocaleString("en")}
            </Button>
          </div>
        ) : null}
        {from === 0 && dropped > 0 ? (
          <LogGap text={`${dropped.toLocaleString("en")} earlier lines are not kept in this page`} />
        ) : null}
        {lines.length === 0 ? <p className="px-3 py-1 font-sans text-faint text-sm">{empty}</p> : null}
        {chunks.map((chunk, index) => (
          <LogChunk
            key={chunk.key}
            lines={chunk.lines}
            phases={phases ?? null}
            isFirst={index === 0}
            matches={chunk.matches}
            current={chunk.matches.some(({ key }) => key === search.current?.key) ? search.current : null}
          />
        ))}
      </section>
    </div>
  );
}

/** Brings the match that was stepped to into the middle of the log, without moving the page around it. */
function scrollToMatch(region: HTMLElement | null): void {
  const mark = region?.querySelector('[data-mark="current"]');
  if (!region || !mark) return;
  const { top } = mark.getBoundingClientRect();
  region.scrollTop += top - region.getBoundingClientRect().top - region.clientHeight / 2;
}

/** The text that is searched for, what was found, and where one has stepped to. Typing stays quick however long the log is. */
function useLogSearch(lines: readonly LogLine[]) {
  const [query, setQuery] = useState("");
  const [current, setCurrent] = useState<LogMatch | null>(null);
  const wanted = useDeferredValue(query);
  const matches = useMemo(() => findMatches(lines, wanted), [lines, wanted]);
  const index = current === null ? -1 : matches.findIndex(({ key, from }) => key === current.key && from === current.from);

  return {
    query,
    matches,
    current: index < 0 ? null : current,
    currentIndex: index < 0 ? null : index,
    setQuery(next: string): void {
      setQuery(next);
      setCurrent(null);
    },
    /** round the ends; null where nothing was found */
    step(by: 1 | -1): LogMatch | null {
      const from = index < 0 && by < 0 ? 0 : index;
      const next = matches[(from + by + matches.length) % matches.length] ?? null;
      setCurrent(next);
      return next;
    },
  };
}
