/**
 * The log of builds or of a session in the object's SQLite: beginning and end are kept, a gap entry stands for what was left
 * out of the middle. Entries are numbered per owner from 1; it knows nothing of sockets.
 */
import { failureLinesMax, type LogEntry, type Phase } from "@open-inspect/protocol";

export interface LogStore {
  append(owner: string, entry: Omit<LogEntry, "seq">): LogEntry;
  /** entries after the cursor, at most about `maxBytes`; `next` is the cursor to read on from */
  read(owner: string, after: number, maxBytes: number): { entries: LogEntry[]; next: number; end: boolean };
  /** the last lines that were printed, colours removed */
  lastLines(owner: string): string[];
  /** forgets the logs of all owners but the newest `count` */
  keepNewest(count: number): void;
}

interface Extent {
  nextSeq: number;
  /** last entry of the beginning that stays; null while the beginning grows */
  headEnd: number | null;
  headBytes: number;
  tailBytes: number;
  droppedThrough: number;
  droppedBytes: number;
}

type Row = { seq: number; at: number; phase: string; stream: string; text: string };

const encoder = new TextEncoder();
const bytesOf = (text: string): number => encoder.encode(text).byteLength;
/** How far beyond a cap an entry is looked for that ends with a line, so that a gap cuts none. */
const lineReachBytes = 512 * 1024;
/** A gap that is left out stands for the bytes that it tells of. */
const gapBytes = (text: string): number => Number.parseInt(text, 10) || 0;

export function createLogStore(sql: SqlStorage, caps: { headBytes: number; tailBytes: number }): LogStore {
  sql.exec(`
    CREATE TABLE IF NOT EXISTS log (
      owner TEXT NOT NULL, seq INTEGER NOT NULL, at INTEGER NOT NULL, phase TEXT NOT NULL, stream TEXT NOT NULL, text TEXT NOT NULL,
      PRIMARY KEY (owner, seq)
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS log_extent (
      owner TEXT PRIMARY KEY, created INTEGER NOT NULL, head_end INTEGER, dropped_through INTEGER NOT NULL, dropped_bytes INTEGER NOT NULL
    );
  `);
  const extents = new Map<string, Extent>();
  const reach = Math.min(lineReachBytes, caps.tailBytes / 4);

  function extentOf(owner: string): Extent {
    const known = extents.get(owner);
    if (known) return known;
    const [stored] = sql
      .exec<{ head_end: number | null; dropped_through: number; dropped_bytes: number }>(
        "SELECT head_end, dropped_through, dropped_bytes FROM log_extent WHERE owner = ?",
        owner,
      )
      .toArray();
    const headEnd = stored?.head_end ?? null;
    const { last, head, tail } = sql
      .exec<{ last: number; head: number; tail: number }>(
        `SELECT coalesce(max(seq), 0) AS last, coalesce(sum(octet_length(text)) FILTER (WHERE seq <= ?2), 0) AS head,
           coalesce(sum(octet_length(text)) FILTER (WHERE seq > ?2), 0) AS tail FROM log WHERE owner = ?1`,
        owner,
        headEnd ?? Number.MAX_SAFE_INTEGER,
      )
      .one();
    const extent: Extent = {
      nextSeq: last + 1,
      headEnd,
      headBytes: head,
      tailBytes: tail,
      droppedThrough: stored?.dropped_through ?? 0,
      droppedBytes: stored?.dropped_bytes ?? 0,
    };
    if (!stored) {
      sql.exec(
        "INSERT INTO log_extent (owner, created, head_end, dropped_through, dropped_bytes) SELECT ?, coalesce(max(created), 0) + 1, NULL, 0, 0 FROM log_extent",
        owner,
      );
    }
    extents.set(owner, extent);
    return extent;
  }

  /** Drops the oldest of the tail until a tenth of it is free, so that dropping is rare, and then to the end of a line. */
  function trim(owner: string, extent: Extent): void {
    const from = Math.max(extent.headEnd ?? 0, extent.droppedThrough);
    const goal = caps.tailBytes * 0.9;
    let endsLine = true;
    for (const row of sql.exec<{ seq: number; bytes: number; end: string; gap: string | null }>(
      `SELECT seq, octet_length(text) AS bytes, substr(text, -1) AS end, iif(stream = 'gap', text, NULL) AS gap
         FROM log WHERE owner = ? AND seq > ? ORDER BY seq`,
      owner,
      from,
    )) {
      if (extent.tailBytes <= goal && (endsLine || extent.tailBytes <= goal - reach)) break;
      endsLine = row.end === "\n" || row.gap !== null;
      extent.tailBytes -= row.bytes;
      extent.droppedBytes += row.gap === null ? row.bytes : gapBytes(row.gap);
      extent.droppedThrough = row.seq;
    }
    sql.exec("DELETE FROM log WHERE owner = ? AND seq > ? AND seq <= ?", owner, extent.headEnd ?? 0, extent.droppedThrough);
  }

  function saveExtent(owner: string, extent: Extent): void {
    sql.exec(
      "UPDATE log_extent SET head_end = ?, dropped_through = ?, dropped_bytes = ? WHERE owner = ?",
      extent.headEnd,
      extent.droppedThrough,
      extent.droppedBytes,
      owner,
    );
  }

  const toEntry = (row: Row): LogEntry => ({
    seq: row.seq,
    at: row.at,
    phase: row.phase as Phase,
    stream: row.stream as LogEntry["stream"],
    text: row.text,
  });

  return {
    append(owner, entry) {
      const extent = extentOf(owner);
      const seq = extent.nextSeq++;
      const { at, phase, stream, text } = entry;
      sql.exec(
        "INSERT INTO log (owner, seq, at, phase, stream, text) VALUES (?, ?, ?, ?, ?, ?)",
        owner,
        seq,
        at,
        phase,
        stream,
        text,
      );
      if (extent.headEnd === null) {
        extent.headBytes += bytesOf(text);
        const isFull = extent.headBytes >= caps.headBytes;
        if (isFull && (text.endsWith("\n") || extent.headBytes >= caps.headBytes + reach)) {
          extent.headEnd = seq;
          saveExtent(owner, extent);
        }
      } else {
        extent.tailBytes += bytesOf(text);
        if (extent.tailBytes > caps.tailBytes) {
          trim(owner, extent);
          saveExtent(owner, extent);
        }
      }
      return { seq, ...entry };
    },
    read(owner, after, maxBytes) {
      const extent = extentOf(owner);
      const entries: LogEntry[] = [];
      let bytes = 0;
      let gapOwed = extent.droppedThrough > after;
      let end = true;
      for (const row of sql.exec<Row>(
        "SELECT seq, at, phase, stream, text FROM log WHERE owner = ? AND seq > ? ORDER BY seq",
        owner,
        after,
      )) {
        if (bytes > maxBytes) {
          end = false;
          break;
        }
        if (gapOwed && row.seq > extent.droppedThrough) {
          const text = `${extent.droppedBytes} bytes of output were left out here.`;
          entries.push({ ...toEntry(row), seq: extent.droppedThrough, stream: "gap", text });
          gapOwed = false;
        }
        entries.push(toEntry(row));
        bytes += row.text.length;
      }
      return { entries, next: entries.at(-1)?.seq ?? after, end };
    },
    lastLines(owner) {
      let text = "";
      for (const row of sql.exec<Row>(
        "SELECT * FROM log WHERE owner = ? AND stream IN ('stdout', 'stderr') ORDER BY seq DESC LIMIT 200",
        owner,
      )) {
        text = row.text + text;
        if (text.length > 16_384) break;
      }
      const plain = text.replace(/\u001b\[[0-9;?]*[ -/]*[@-~]/g, "").replace(/[^\n]*\r(?!\n)/g, "");
      return plain
        .split(/\r?\n/)
        .filter((line) => line.trim() !== "")
        .slice(-failureLinesMax);
    },
    keepNewest(count) {
      const old = sql
        .exec<{ owner: string }>("SELECT owner FROM log_extent ORDER BY created DESC LIMIT -1 OFFSET ?", count)
        .toArray();
      for (const { owner } of old) {
        sql.exec("DELETE FROM log WHERE owner = ?", owner);
        sql.exec("DELETE FROM log_extent WHERE owner = ?", owner);
        extents.delete(owner);
      }
    },
  };
}
