/**
 * Events on their way to the control plane: numbered without gaps, resent after a reconnect, acknowledged
 * cumulatively, bounded. Pure: knows no socket and no clock.
 *
 * An event gets its number when it enters the window of what may be in flight, not before. What still waits can
 * therefore be merged, superseded or left out without a gap in the numbers.
 */
import { bridgeFrameMaxBytes, logChunkMaxBytes, type RuntimeEvent } from "@open-inspect/protocol";
import { gapText, logFrameMaxBytes } from "./log-budget.ts";
import { utf8Bytes } from "./text.ts";

export interface OutboxLimits {
  /** numbered events that may be unacknowledged at once */
  windowEvents: number;
  windowBytes: number;
  /** memory for what waits behind the window */
  pendingBytes: number;
}
/** The window holds more than the sixteen log events that are acknowledged together, be they as large as they may. */
export const outboxLimits: OutboxLimits = { windowEvents: 512, windowBytes: 5 * 1024 * 1024, pendingBytes: 8 * 1024 * 1024 };

interface Pending {
  at: number;
  event: RuntimeEvent;
  /** of the frame; text that was merged in is counted without the whole being measured again */
  bytes: number;
  /** output bytes that this entry, a gap, stands for */
  gapBytes: number;
}

/** Deltas of one part that wait become one up to this size. */
const deltaMaxBytes = 32 * 1024;
/** A delta of at most this size stays when deltas are dropped, if it is its part's first: it holds the part's place. */
const placeMaxBytes = 1024;

const partOf = (event: RuntimeEvent): string | null => {
  if (event.type === "prompt.part") return `${event.promptId} ${event.part.id}`;
  return event.type === "prompt.delta" ? `${event.promptId} ${event.partId}` : null;
};

const isTakenBack = (event: RuntimeEvent): boolean =>
  event.type === "prompt.part" && event.part.kind !== "tool" && event.part.text === "";

const sizeOf = (event: RuntimeEvent): number => utf8Bytes(JSON.stringify(event)) + 64;

export function createOutbox(limits: OutboxLimits = outboxLimits) {
  const window: { seq: number; frame: string; bytes: number }[] = [];
  let windowBytes = 0;
  /** how many of the window's first frames this connection has carried */
  let sent = 0;
  let nextSeq = 1;
  let pending: Pending[] = [];
  let pendingBytes = 0;
  /** how many entries wait for each part of an answer */
  const waiting = new Map<string, number>();

  const count = (event: RuntimeEvent, step: 1 | -1) => {
    const part = partOf(event);
    if (part === null) return;
    const left = (waiting.get(part) ?? 0) + step;
    if (left > 0) waiting.set(part, left);
    else waiting.delete(part);
  };
  const append = (at: number, event: RuntimeEvent, gapBytes = 0) => {
    const bytes = sizeOf(event);
    pending.push({ at, event, bytes, gapBytes });
    pendingBytes += bytes;
    count(event, 1);
  };
  const keep = (wanted: (entry: Pending) => boolean) => {
    pending = pending.filter((entry) => {
      if (wanted(entry)) return true;
      count(entry.event, -1);
      return false;
    });
    pendingBytes = pending.reduce((sum, entry) => sum + entry.bytes, 0);
  };

  /** A whole part takes the place of everything that waits for the same part, where that begins; small writes of one stream become one. */
  const merged = (event: RuntimeEvent): boolean => {
    if (event.type === "prompt.part") {
      const part = partOf(event);
      if (part === null || !waiting.has(part)) return false;
      let first: Pending | null = null;
      keep((entry) => {
        // What is said after a part was taken back begins anew.
        if (partOf(entry.event) !== part || isTakenBack(entry.event)) return true;
        first ??= entry;
        return entry === first;
      });
      // Parts are shown in the order in which they began.
      const place = pending.find((entry) => entry === first);
      if (!place) return false;
      place.event = event;
      pendingBytes -= place.bytes;
      place.bytes = sizeOf(event);
      pendingBytes += place.bytes;
      return true;
    }
    const last = pending.at(-1);
    if (!last) return false;
    const old = last.event;
    if (event.type === "prompt.delta" && old.type === "prompt.delta") {
      if (old.promptId !== event.promptId || old.partId !== event.partId || last.bytes > deltaMaxBytes) return false;
      last.event = { ...old, delta: old.delta + event.delta };
      const more = utf8Bytes(JSON.stringify(event.delta)) - 2;
      last.bytes += more;
      pendingBytes += more;
      return true;
    } else if (event.type === "log" && old.type === "log" && event.stream !== "gap") {
      if (old.phase !== event.phase || old.stream !== event.stream) return false;
      if (utf8Bytes(old.text) + utf8Bytes(event.text) > logChunkMaxBytes) return false;
      if (last.bytes + sizeOf(event) > logFrameMaxBytes) return false;
      last.event = { ...old, text: old.text + event.text };
    } else return false;
    pendingBytes -= last.bytes;
    last.bytes = sizeOf(last.event);
    pendingBytes += last.bytes;
    return true;
  };

  /** Makes room in the order of what is missed least: deltas, then output, then what tools printed. */
  const shrink = () => {
    if (pendingBytes <= limits.pendingBytes) return;
    const placed = new Set<string>();
    keep((entry) => {
      const part = partOf(entry.event);
      const isFirst = part !== null && !placed.has(part);
      if (part !== null) placed.add(part);
      return entry.event.type !== "prompt.delta" || (isFirst && entry.bytes <= placeMaxBytes);
    });
    // Down to three quarters at once, so that the next events do not each pay for a pass over the queue.
    const goal = limits.pendingBytes * 0.75;
    if (pendingBytes > goal) {
      const kept: Pending[] = [];
      let size = pendingBytes;
      for (const entry of pending) {
        const { event } = entry;
        if (size <= goal || event.type !== "log" || event.stream === "system") {
          kept.push(entry);
          continue;
        }
        size -= entry.bytes;
        const before = kept.at(-1);
        const gap = before?.gapBytes && before.event.type === "log" && before.event.phase === event.phase ? before : null;
        const gapBytes = (gap?.gapBytes ?? 0) + (entry.gapBytes || utf8Bytes(event.text));
        const text: RuntimeEvent = { type: "log", phase: event.phase, stream: "gap", text: gapText(gapBytes) };
        if (gap) Object.assign(gap, { event: text, gapBytes });
        else {
          const bytes = sizeOf(text);
          size += bytes;
          kept.push({ at: entry.at, event: text, bytes, gapBytes });
        }
      }
      pending = kept;
      pendingBytes = kept.reduce((sum, entry) => sum + entry.bytes, 0);
    }
    if (pendingBytes > limits.pendingBytes) {
      for (const entry of pending) {
        if (entry.event.type !== "prompt.part" || entry.event.part.kind !== "tool") continue;
        const part = { ...entry.event.part, input: "", output: "(left out: the connection was away for too long)" };
        entry.event = { ...entry.event, part };
        pendingBytes -= entry.bytes;
        entry.bytes = sizeOf(entry.event);
        pendingBytes += entry.bytes;
        if (pendingBytes <= goal) return;
      }
    }
  };

  return {
    /** Takes an event that happened at `at`. */
    push(event: RuntimeEvent, at: number): void {
      if (!merged(event)) append(at, event);
      shrink();
    },
    /** Forgets what the other side has applied. */
    acknowledge(seq: number): void {
      let done = 0;
      while (done < window.length && (window[done]?.seq ?? Number.POSITIVE_INFINITY) <= seq) done++;
      for (const entry of window.splice(0, done)) windowBytes -= entry.bytes;
      sent = Math.max(0, sent - done);
    },
    /** A new connection: everything unacknowledged is to be sent again. */
    rewind(): void {
      sent = 0;
    },
    /** The next frame to put on the wire, or null when there is none or the window is full. */
    next(): string | null {
      const again = window[sent];
      if (again) {
        sent++;
        return again.frame;
      }
      if (window.length >= limits.windowEvents || windowBytes >= limits.windowBytes) return null;
      const first = pending.shift();
      if (!first) return null;
      pendingBytes -= first.bytes;
      count(first.event, -1);
      let frame = frameOf(nextSeq, first.at, first.event);
      let bytes = utf8Bytes(frame);
      if (bytes > bridgeFrameMaxBytes) {
        frame = frameOf(nextSeq, first.at, leftOut(first.event, bytes));
        bytes = utf8Bytes(frame);
      }
      window.push({ seq: nextSeq, frame, bytes });
      windowBytes += bytes;
      nextSeq++;
      sent = window.length;
      return frame;
    },
    /** Everything that was pushed has been acknowledged. */
    isDrained: (): boolean => window.length === 0 && pending.length === 0,
    /** Something was sent on this connection and is not acknowledged yet. */
    isAwaitingAck: (): boolean => sent > 0,
    size: () => ({ windowEvents: window.length, windowBytes, pendingEvents: pending.length, pendingBytes }),
  };
}
const frameOf = (seq: number, at: number, event: RuntimeEvent): string => JSON.stringify({ type: "event", seq, at, event });

/** What is said instead of an event that the other side would refuse together with the connection. */
function leftOut(event: RuntimeEvent, bytes: number): RuntimeEvent {
  const text = `An event "${event.type}" of ${bytes} bytes was left out: messages to the control plane end at ${bridgeFrameMaxBytes}.\n`;
  return { type: "log", phase: "phase" in event ? event.phase : "agent", stream: "system", text };
}

export type Outbox = ReturnType<typeof createOutbox>;
