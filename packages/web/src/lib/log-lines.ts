/** A growing log as lines: dedupes by cursor, bounds memory, cuts entries into lines. Knows no socket and no page. */
import { type LogEntry, type Phase } from "@open-inspect/protocol";

export interface LogLine {
  /** stable: the entry's seq and the line's place in it */
  key: string;
  at: number;
  phase: Phase;
  stream: LogEntry["stream"];
  text: string;
}

export interface LogLines {
  lines: readonly LogLine[];
  /** lines that were let go because the log is longer than a page should hold */
  dropped: number;
}

/** The most lines that stay in memory. */
export const keptLines = 20_000;

export interface LogBuffer {
  append(entries: readonly LogEntry[]): void;
  /** cursor for reading on: the highest seq seen, or null at the beginning */
  after(): number | null;
  subscribe(listener: () => void): () => void;
  snapshot(): LogLines;
}

/** A progress bar overwrites its line with carriage returns: what a terminal would show is the last version. */
function lastVersion(line: string): string {
  const trimmed = line.endsWith("\r") ? line.slice(0, -1) : line;
  return trimmed.slice(trimmed.lastIndexOf("\r") + 1);
}

function toLines(entry: LogEntry): LogLine[] {
  const text = entry.text.endsWith("\n") ? entry.text.slice(0, -1) : entry.text;
  return text.split("\n").map((line, index) => ({
    key: `${entry.seq}.${index}`,
    at: entry.at,
    phase: entry.phase,
    stream: entry.stream,
    text: lastVersion(line),
  }));
}

/** Listeners hear of a change once per `notify`, so that a flood of messages is drawn once per frame. */
export function createLogBuffer(notify: (flush: () => void) => void = (flush) => void requestAnimationFrame(flush)): LogBuffer {
  let last: number | null = null;
  let current: LogLines = { lines: [], dropped: 0 };
  let waiting: LogLine[] = [];
  let scheduled = false;
  const listeners = new Set<() => void>();

  function flush(): void {
    scheduled = false;
    const all = [...current.lines, ...waiting];
    waiting = [];
    const excess = Math.max(0, all.length - keptLines);
    current = { lines: excess > 0 ? all.slice(excess) : all, dropped: current.dropped + excess };
    for (const listener of listeners) listener();
  }

  return {
    append(entries) {
      for (const entry of entries) {
        // After a reconnect the server may send again what is here already.
        if (last !== null && entry.seq <= last) continue;
        last = entry.seq;
        waiting.push(...toLines(entry));
      }
      if (waiting.length > 0 && !scheduled) {
        scheduled = true;
        notify(flush);
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
