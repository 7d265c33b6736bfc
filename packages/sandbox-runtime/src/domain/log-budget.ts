/**
 * What of a phase's output is sent: the first part as it comes, then only the end, with one gap in between that says
 * how much was left out. Pure: no clock, no sockets.
 */
import { logChunkMaxBytes, type RuntimeEvent } from "@open-inspect/protocol";
import { splitByBytes, tailByBytes, utf8Bytes } from "./text.ts";

export type LogEvent = Extract<RuntimeEvent, { type: "log" }>;
type Phase = LogEvent["phase"];
type Stream = "stdout" | "stderr" | "system";

export const logBudget = { headBytes: 1024 * 1024, tailBytes: 128 * 1024 } as const;

export function gapText(bytes: number): string {
  return `${bytes} bytes of output left out`;
}

export function logEvents(phase: Phase, stream: LogEvent["stream"], text: string): LogEvent[] {
  return splitByBytes(text, logChunkMaxBytes).map((piece) => ({ type: "log", phase, stream, text: piece }));
}

/**
 * `push` returns what is to be sent now; `finish` what is owed at the end of the phase (the gap and the tail).
 * Memory is bounded by twice the tail, whatever is pushed.
 */
export function createLogBudget(phase: Phase, limits: { headBytes: number; tailBytes: number } = logBudget) {
  let sentBytes = 0;
  let gapBytes = 0;
  let tail: { stream: Stream; text: string; bytes: number }[] = [];
  let tailBytes = 0;

  const trim = () => {
    while (tailBytes > limits.tailBytes) {
      const oldest = tail[0];
      if (!oldest) return;
      const over = tailBytes - limits.tailBytes;
      if (oldest.bytes <= over) {
        tail.shift();
        tailBytes -= oldest.bytes;
        gapBytes += oldest.bytes;
      } else {
        const text = tailByBytes(oldest.text, oldest.bytes - over);
        const bytes = utf8Bytes(text);
        gapBytes += oldest.bytes - bytes;
        tailBytes -= oldest.bytes - bytes;
        tail[0] = { stream: oldest.stream, text, bytes };
      }
    }
  };

  return {
    push(stream: Stream, text: string): LogEvent[] {
      if (text === "") return [];
      const bytes = utf8Bytes(text);
      // Our own lines are few and always matter.
      if (stream === "system") return logEvents(phase, stream, text);
      if (tail.length === 0 && sentBytes + bytes <= limits.headBytes) {
        sentBytes += bytes;
        return logEvents(phase, stream, text);
      }
      const first = tail.length === 0 && gapBytes === 0;
      const last = tail.at(-1);
      // Pieces of a few KiB keep the list short under tiny writes and the trimming cheap under large ones.
      if (last && last.stream === stream && last.bytes + bytes <= 4096) {
        last.text += text;
        last.bytes += bytes;
      } else tail.push({ stream, text, bytes });
      tailBytes += bytes;
      // Trimming late makes it linear: each byte is copied at most once on its way out.
      if (tailBytes > 2 * limits.tailBytes) trim();
      return first
        ? [{ type: "log", phase, stream: "system", text: "A lot of output: from here on only its end is kept.\n" }]
        : [];
    },
    finish(): LogEvent[] {
      trim();
      const events: LogEvent[] = gapBytes > 0 ? [{ type: "log", phase, stream: "gap", text: gapText(gapBytes) }] : [];
      for (const piece of tail) events.push(...logEvents(phase, piece.stream, piece.text));
      tail = [];
      tailBytes = 0;
      gapBytes = 0;
      return events;
    },
  };
}
