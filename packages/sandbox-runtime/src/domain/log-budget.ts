/**
 * What of a phase's output is sent: the first part as it comes, then as much as fits a slow, steady stream, and the end; a gap says
 * wherever something was left out and how much. Cuts are at the ends of lines where these are in reach. Pure: no clock, no sockets.
 */
import { logChunkMaxBytes, type RuntimeEvent } from "@open-inspect/protocol";
import { splitByBytes, tailByBytes, utf8Bytes } from "./text.ts";

export type LogEvent = Extract<RuntimeEvent, { type: "log" }>;
type Phase = LogEvent["phase"];
type Stream = "stdout" | "stderr" | "system";

export interface LogLimits {
  /** sent as it comes */
  headBytes: number;
  /** of what came last, at the end of the phase */
  tailBytes: number;
  /** of what came last, at each catching up before that */
  catchUpBytes: number;
}
export const logBudget: LogLimits = { headBytes: 2 * 1024 * 1024, tailBytes: 128 * 1024, catchUpBytes: 16 * 1024 };
/** A line's end further away than this is not looked for. */
const lineReach = 4096;
const notice = "A lot of output: from here on it is shown with a delay, and what comes too fast is left out.\n";

/** of a log event's text as JSON */
export const logFrameMaxBytes = 2 * logChunkMaxBytes;
/** JSON makes at most six bytes of one. */
const plainMaxBytes = Math.floor(logFrameMaxBytes / 6);
const isPlain = (text: string): boolean =>
  utf8Bytes(text) <= plainMaxBytes || utf8Bytes(JSON.stringify(text)) <= logFrameMaxBytes;

export function gapText(bytes: number): string {
  return `${bytes} bytes of output left out`;
}

export function logEvents(phase: Phase, stream: LogEvent["stream"], text: string): LogEvent[] {
  return splitByBytes(text, logChunkMaxBytes)
    .flatMap((piece) => (isPlain(piece) ? [piece] : splitByBytes(piece, plainMaxBytes)))
    .map((piece) => ({ type: "log", phase, stream, text: piece }));
}

/**
 * `push` returns what is to be sent now, `catchUp` what is owed when it is called from time to time while `isHolding`, and `finish` what
 * is owed at the end of the phase. Memory is bounded by twice the tail and the largest push, whatever is pushed.
 */
export function createLogBudget(phase: Phase, limits: LogLimits = logBudget) {
  let isOver = false;
  let sentBytes = 0;
  let sentMidLine = false;
  let gapBytes = 0;
  let held: { stream: Stream; text: string; bytes: number }[] = [];
  let heldBytes = 0;

  const hold = (stream: Stream, text: string) => {
    if (text === "") return;
    const bytes = utf8Bytes(text);
    const last = held.at(-1);
    // Pieces of a few KiB keep the list short under tiny writes and the trimming cheap under large ones.
    if (last && last.stream === stream && last.bytes + bytes <= 4096) {
      last.text += text;
      last.bytes += bytes;
    } else held.push({ stream, text, bytes });
    heldBytes += bytes;
    // Trimming late makes it linear: each byte is copied at most once on its way out.
    if (heldBytes > 2 * limits.tailBytes) trim(limits.tailBytes);
  };

  const trim = (maxBytes: number) => {
    let dropped = 0;
    let over = heldBytes - maxBytes;
    for (; over > 0; dropped++) {
      const oldest = held[dropped];
      if (!oldest) break;
      if (oldest.bytes > over) {
        keepEnd(oldest, tailByBytes(oldest.text, oldest.bytes - over));
        break;
      }
      over -= oldest.bytes;
      heldBytes -= oldest.bytes;
      gapBytes += oldest.bytes;
    }
    held.splice(0, dropped);
  };
  const keepEnd = (piece: (typeof held)[number], text: string) => {
    const bytes = utf8Bytes(text);
    gapBytes += piece.bytes - bytes;
    heldBytes -= piece.bytes - bytes;
    Object.assign(piece, { text, bytes });
  };

  const release = (maxBytes: number): LogEvent[] => {
    trim(maxBytes);
    const oldest = held[0];
    const lineEnd = gapBytes > 0 && oldest ? oldest.text.slice(0, lineReach).indexOf("\n") : -1;
    const isAll = held.length === 1 && lineEnd + 1 === oldest?.text.length;
    if (oldest && lineEnd >= 0 && !isAll) keepEnd(oldest, oldest.text.slice(lineEnd + 1));
    const events = gapBytes > 0 ? logEvents(phase, "gap", gapText(gapBytes)) : [];
    for (const piece of held) events.push(...logEvents(phase, piece.stream, piece.text));
    held = [];
    heldBytes = 0;
    gapBytes = 0;
    return events;
  };

  /** What was begun on the last line stays, so that no later gap cuts it. */
  const catchUp = (): LogEvent[] => {
    const last = held.at(-1);
    const begun = last ? last.text.slice(last.text.lastIndexOf("\n") + 1) : "";
    const isKept = last !== undefined && begun !== "" && begun.length < Math.min(last.text.length, lineReach);
    if (!isKept) return release(limits.catchUpBytes);
    const bytes = utf8Bytes(begun);
    last.text = last.text.slice(0, -begun.length);
    last.bytes -= bytes;
    heldBytes -= bytes;
    const { stream } = last;
    const events = release(limits.catchUpBytes);
    hold(stream, begun);
    return events;
  };

  return {
    push(stream: Stream, text: string): LogEvent[] {
      if (text === "") return [];
      // Our own lines are few and always matter; what was printed before them comes before them.
      if (stream === "system") return [...release(limits.tailBytes), ...logEvents(phase, stream, text)];
      if (isOver) {
        hold(stream, text);
        return [];
      }
      const bytes = utf8Bytes(text);
      if (sentBytes + bytes <= limits.headBytes) {
        sentBytes += bytes;
        sentMidLine = !text.endsWith("\n");
        return logEvents(phase, stream, text);
      }
      isOver = true;
      // The line that was begun is brought to its end.
      const end = sentMidLine ? text.slice(0, lineReach).indexOf("\n") + 1 : 0;
      hold(stream, text.slice(end));
      return [...logEvents(phase, stream, text.slice(0, end)), ...logEvents(phase, "system", notice)];
    },
    /** What is pushed from now on is held. */
    isOver: () => isOver,
    /** Something waits, or was left out, that has not been told. */
    isHolding: () => heldBytes > 0 || gapBytes > 0,
    catchUp,
    finish: () => release(limits.tailBytes),
  };
}
