/** Finds a text in a log's lines, as it is read and not as it was coloured. Pure but for a memory of plain texts. */
import { type AnsiSpan, stripAnsi } from "./ansi.ts";
import { type LogLine } from "./log-lines.ts";

export interface LogMatch {
  /** the line's place among the lines that were searched */
  index: number;
  key: string;
  /** characters of the plain text */
  from: number;
  to: number;
}

/** More than a person steps through; a search for one letter must not fill the memory. */
export const matchesMax = 10_000;

/** Lines never change, they are replaced: each is stripped once, however often the log grows while it is searched. */
const plainTexts = new WeakMap<LogLine, string>();

function plainText(line: LogLine): string {
  let text = plainTexts.get(line);
  if (text === undefined) {
    text = stripAnsi(line.text).toLowerCase();
    plainTexts.set(line, text);
  }
  return text;
}

/** Whatever the case, oldest first, at most `matchesMax`. Gaps are ours and are not searched. */
export function findMatches(lines: readonly LogLine[], query: string): LogMatch[] {
  const wanted = query.toLowerCase();
  const matches: LogMatch[] = [];
  if (wanted === "") return matches;
  for (const [index, line] of lines.entries()) {
    if (line.stream === "gap") continue;
    const text = plainText(line);
    for (let from = text.indexOf(wanted); from >= 0; from = text.indexOf(wanted, from + wanted.length)) {
      matches.push({ index, key: line.key, from, to: from + wanted.length });
      if (matches.length === matchesMax) return matches;
    }
  }
  return matches;
}

export interface MarkedSpan extends AnsiSpan {
  mark: "match" | "current" | null;
}

/** Coloured spans cut where matches begin and end. `current` is the match that a person has stepped to. */
export function markSpans(
  spans: readonly AnsiSpan[],
  matches: readonly LogMatch[],
  current: { from: number } | null,
): MarkedSpan[] {
  const marked: MarkedSpan[] = [];
  let at = 0;
  for (const { text, className } of spans) {
    const end = at + text.length;
    let from = at;
    const push = (to: number, mark: MarkedSpan["mark"]) => {
      if (to > from) marked.push({ text: text.slice(from - at, to - at), className, mark });
      from = Math.max(from, to);
    };
    for (const match of matches) {
      if (match.to <= at || match.from >= end) continue;
      push(Math.max(at, match.from), null);
      push(Math.min(end, match.to), match.from === current?.from ? "current" : "match");
    }
    push(end, null);
    at = end;
  }
  return marked;
}
