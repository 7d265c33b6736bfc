/** A live log: follows its end, marks gaps, and stays usable when it is long by drawing chunks and capping what is in the page. */
import { memo, useEffect, useRef, useState, useSyncExternalStore } from "react";
import { parseAnsi } from "../lib/ansi.ts";
import { cn } from "../lib/cn.ts";
import { type LogBuffer, type LogLine } from "../lib/log-lines.ts";
import { formatClock } from "../lib/time.ts";
import { phaseNames } from "../lib/words.ts";
import { Button } from "./button.tsx";

const chunkLines = 200;
/** The most lines in the page until a person asks for more. */
const shownLines = 2_000;

interface LogViewProps {
  buffer: LogBuffer;
  label: string;
  /** said while there is no line */
  empty: string;
  /** scrolls along with new lines from the beginning */
  follow?: boolean;
  className?: string;
}

export function LogView({ buffer, label, empty, follow: followAtFirst = true, className }: LogViewProps) {
  const { lines, dropped } = useSyncExternalStore(buffer.subscribe, buffer.snapshot);
  const [follow, setFollow] = useState(followAtFirst);
  const [extra, setExtra] = useState(0);
  const region = useRef<HTMLElement>(null);
  const previousTop = useRef(0);

  // Chunks keep their borders as the log grows, so that a finished one is drawn once.
  const from = Math.max(0, Math.floor((lines.length - shownLines - extra) / chunkLines) * chunkLines);
  const chunks: { key: string; lines: readonly LogLine[] }[] = [];
  for (let index = from; index < lines.length; index += chunkLines) {
    const part = lines.slice(index, index + chunkLines);
    chunks.push({ key: part[0]?.key ?? String(index), lines: part });
  }

  useEffect(() => {
    const element = region.current;
    if (follow && element !== null && lines.length > 0) element.scrollTop = element.scrollHeight;
  }, [follow, lines]);

  function onScroll(): void {
    const element = region.current;
    if (element === null) return;
    const atEnd = element.scrollHeight - element.scrollTop - element.clientHeight < 24;
    if (atEnd) setFollow(true);
    else if (element.scrollTop < previousTop.current) setFollow(false);
    previousTop.current = element.scrollTop;
  }

  return (
    <div className={cn("overflow-hidden rounded-lg border border-line bg-sunken", className)}>
      <div className="flex items-center justify-between gap-3 border-line border-b px-3 py-1.5 text-muted text-xs">
        <span>{lines.length + dropped === 1 ? "1 line" : `${(lines.length + dropped).toLocaleString("en")} lines`}</span>
        <label className="flex items-center gap-1.5">
          <input
            type="checkbox"
            className="accent-accent"
            checked={follow}
            onChange={(event) => setFollow(event.target.checked)}
          />
          Follow
        </label>
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
          <Gap text={`${dropped.toLocaleString("en")} earlier lines are not kept in this page`} />
        ) : null}
        {lines.length === 0 ? <p className="px-3 py-1 font-sans text-faint text-sm">{empty}</p> : null}
        {chunks.map((chunk) => (
          <Chunk key={chunk.key} lines={chunk.lines} />
        ))}
      </section>
    </div>
  );
}

function Gap({ text }: { text: string }) {
  return (
    <div data-stream="gap" className="my-1 flex items-center gap-3 px-3 font-sans text-faint">
      <span aria-hidden="true" className="h-px flex-1 bg-line-strong" />
      {text}
      <span aria-hidden="true" className="h-px flex-1 bg-line-strong" />
    </div>
  );
}

interface ChunkProps {
  lines: readonly LogLine[];
}

const Chunk = memo(
  function Chunk({ lines }: ChunkProps) {
    return (
      <div className={lines.length === chunkLines ? "log-chunk" : undefined}>
        {lines.map((line) =>
          line.stream === "gap" ? <Gap key={line.key} text={line.text} /> : <Line key={line.key} line={line} />,
        )}
      </div>
    );
  },
  // A chunk changes at its end alone: it grows, or its last line does.
  (before, after) =>
    before.lines.length === after.lines.length &&
    before.lines[0]?.key === after.lines[0]?.key &&
    before.lines.at(-1) === after.lines.at(-1),
);

function Line({ line }: { line: LogLine }) {
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
        {parseAnsi(line.text).map((span, index) =>
          span.className === "" ? (
            span.text
          ) : (
            // biome-ignore lint/suspicious/noArrayIndexKey: the spans of a line never change their order
            <span key={index} className={span.className}>
              {span.text}
            </span>
          ),
        )}
      </span>
    </div>
  );
}
