/**
 * Events on their way to the control plane: numbered without gaps, resent after a reconnect, acknowledged
 * cumulatively, bounded. Pure: knows no socket and no clock.
 *
 * An event gets its number when it enters the window of what may be in flight, not before. What still waits can
 * therefore be merged, superseded or left out without a gap in the numbers.
 */
import { logChunkMaxBytes, type RuntimeEvent } from "@open-inspect/protocol";
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
  bytes: number;
  /** output bytes that this entry, a gap, stands for */
  gapBytes: number;
}

const sizeOf = (event: RuntimeEvent): number => utf8Bytes(JSON.stringify(event)) + 64;

export function createOutbox(limits: OutboxLimits = outboxLimits) {
  const window: { seq: number; frame: string; bytes: number }[] = [];
  let windowBytes = 0;
  /** how many of the window's first frames this connection has carried */
  let sent = 0;
  let nextSeq = 1;
  let pending: Pending[] = [];
  let pendingBytes = 0;

  const append = (at: number, event: RuntimeEvent, gapBytes = 0) => {
    const bytes = sizeOf(event);
    pending.push({ at, event, bytes, gapBytes });
    pendingBytes += bytes;
  };
  const keep = (wanted: (entry: Pending) => boolean) => {
    pending = pending.filter(wanted);
    pendingBytes = pending.reduce((sum, entry) => sum + entry.bytes, 0);
  };

  /** A whole part replaces everything that waits for the same part; small writes of one stream become one. */
  const merged = (event: RuntimeEvent): boolean => {
    if (event.type === "prompt.part") {
      const { promptId, part } = event;
      const replaced = ({ event: old }: Pending) =>
        (old.type === "prompt.part" && old.promptId === promptId && old.part.id === part.id) ||
        (old.type === "prompt.delta" && old.promptId === promptId && old.partId === part.id);
      if (pending.some(replaced)) keep((entry) => !replaced(entry));
      return false;
    }
    const last = pending.at(-1);
    if (!last) return false;
    const old = last.event;
    if (event.type === "prompt.delta" && old.type === "prompt.delta") {
      if (old.promptId !== event.promptId || old.partId !== event.partId || last.bytes > logChunkMaxBytes) return false;
      last.event = { ...old, delta: old.delta + event.delta };
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
    keep((entry) => entry.event.type !== "prompt.delta");
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
      const frame = JSON.stringify({ type: "event", seq: nextSeq, at: first.at, event: first.event });
      const bytes = utf8Bytes(frame);
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
export type Outbox = ReturnType<typeof createOutbox>;
