/** A growing log as lines: dedupes by cursor, bounds memory, makes lines of the pieces that output comes in. Knows no socket and no page. */
import { type LogEntry, type Phase } from "@open-inspect/protocol";

export interface LogLine {
  /** stable: the entry's seq and the line's place in it */
  key: string;
  at: number;
  phase: Phase;
  stream: LogEntry["stream"];
  text: string;
  /** its phase begins here */
  begins: boolean;
}

interface LogLines {
  lines: readonly LogLine[];
  /** lines that were let go because the log is longer than a page should hold */
  dropped: number;
}

/** The most lines that stay in memory. */
export const keptLines = 20_000;
/** The most characters that stay in memory: few lines may be long ones. */
const keptCharacters = 8 * 1024 * 1024;
/** Output without a newline is cut here, in characters. */
const longestLine = 64 * 1024;

export interface LogBuffer {
  append(entries: readonly LogEntry[]): void;
  /** cursor for reading on: the highest seq seen, or null at the beginning */
  after(): number | null;
  subscribe: (listener: () => void) => () => void;
  snapshot: () => LogLines;
}

/** A progress bar overwrites its line with carriage returns: what a terminal would show is the last version. */
function lastVersion(line: string): string {
  const trimmed = line.endsWith("\r") ? line.slice(0, -1) : line;
  return trimmed.slice(trimmed.lastIndexOf("\r") + 1);
}

/** A program's output comes in pieces that may end anywhere; our own entries are whole. */
const isPiece = (entry: LogEntry) => entry.stream === "stdout" || entry.stream === "stderr";

/** How many of the oldest lines have to go. */
function countExcess(lines: readonly LogLine[]): number {
  let characters = 0;
  for (let index = lines.length - 1; index >= 0; index--) {
    characters += lines[index]?.text.length ?? 0;
    if (characters > keptCharacters || lines.length - index > keptLines) return index + 1;
  }
  return 0;
}

/**
 * Says of entry after entry whether its phase begins with it. Phases follow one another; what we say later of one that was
 * there already belongs where it stands.
 */
function createPhaseWatch(): (entry: Pick<LogEntry, "phase" | "stream">) => boolean {
  const seen = new Set<Phase>();
  let current: Phase | null = null;
  return ({ phase, stream }) => {
    if (phase === current || (stream === "system" && seen.has(phase))) return false;
    seen.add(phase);
    current = phase;
    return true;
  };
}

/** Listeners hear of changes at most this often, so that a flood of messages is not drawn one by one. */
const flushEveryMs = 50;

export function createLogBuffer(): LogBuffer {
  let last: number | null = null;
  let lines: LogLine[] = [];
  let dropped = 0;
  let current: LogLines = { lines: [], dropped: 0 };
  let scheduled = false;
  /** the last line as it came, while its newline is still owed */
  let unfinished: { phase: Phase; stream: LogEntry["stream"]; raw: string } | null = null;
  const listeners = new Set<() => void>();
  const beginsPhase = createPhaseWatch();

  function add(entry: LogEntry): void {
    const { seq, at, phase, stream } = entry;
    const begins = beginsPhase(entry);
    const pieces = entry.text.split("\n");
    const tail = pieces.pop() ?? "";
    const texts = tail === "" ? pieces : [...pieces, tail];
    let raw = tail;
    texts.forEach((text, index) => {
      const before = lines.at(-1);
      if (
        index === 0 &&
        unfinished !== null &&
        before !== undefined &&
        unfinished.phase === phase &&
        unfinished.stream === stream
      ) {
        const joined = unfinished.raw + text;
        lines[lines.length - 1] = { ...before, text: lastVersion(joined) };
        if (texts.length === 1) raw = joined;
      } else {
        lines.push({
          ...{ key: `${seq}.${index}`, at, phase, stream },
          text: lastVersion(text),
          begins: index === 0 && begins,
        });
      }
    });
    if (texts.length > 0) unfinished = tail !== "" && isPiece(entry) && raw.length < longestLine ? { phase, stream, raw } : null;
  }

  function flush(): void {
    scheduled = false;
    const excess = countExcess(lines);
    if (excess > 0) lines = lines.slice(excess);
    dropped += excess;
    current = { lines: [...lines], dropped };
    for (const listener of listeners) listener();
  }

  return {
    append(entries) {
      for (const entry of entries) {
        // After a reconnect the server may send again what is here already.
        if (last !== null && entry.seq <= last) continue;
        last = entry.seq;
        add(entry);
      }
      if (!scheduled) {
        scheduled = true;
        setTimeout(flush, flushEveryMs);
      }
    },
    after: () => last,
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    snapshot: () => current,
  };
}
