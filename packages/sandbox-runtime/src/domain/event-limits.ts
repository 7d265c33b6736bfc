/** Keeps every event within the bridge's frame limit. Pure: an event in, an event out. */
import { bridgeFrameMaxBytes, type PromptPart, type RuntimeEvent } from "@open-inspect/protocol";
import { splitByBytes, tailByBytes, utf8Bytes } from "./text.ts";

/** Room for the envelope around the event. */
const eventMaxBytes = bridgeFrameMaxBytes - 4096;
const detailMaxBytes = 2048;
const toolInputMaxBytes = 16 * 1024;
const toolOutputMaxBytes = 64 * 1024;
const cutMark = "… (cut) …\n";

const head = (text: string, maxBytes: number): string =>
  utf8Bytes(text) <= maxBytes ? text : `${splitByBytes(text, maxBytes)[0] ?? ""}\n${cutMark}`;
const tail = (text: string, maxBytes: number): string =>
  utf8Bytes(text) <= maxBytes ? text : cutMark + tailByBytes(text, maxBytes);

function fitPart(part: PromptPart, share: number): PromptPart {
  switch (part.kind) {
    case "text":
    case "reasoning":
      return { ...part, text: head(part.text, Math.floor(eventMaxBytes * share)) };
    case "tool":
      return {
        ...part,
        title: head(part.title, detailMaxBytes),
        input: head(part.input, Math.floor(toolInputMaxBytes * share)),
        output: tail(part.output, Math.floor(toolOutputMaxBytes * share)),
      };
  }
}

/** Cuts what is too long; JSON escapes can make text six times as long, so the cut is repeated until it fits. */
export function fitEvent(event: RuntimeEvent): RuntimeEvent {
  if (event.type === "phase.finished" && event.detail !== undefined)
    return { ...event, detail: head(event.detail, detailMaxBytes) };
  if (event.type === "prompt.finished" && event.error !== null) return { ...event, error: head(event.error, 8 * 1024) };
  if (event.type !== "prompt.part") return event;
  for (let share = 1; share > 0.01; share /= 2) {
    const fitted = { ...event, part: fitPart(event.part, share) };
    if (utf8Bytes(JSON.stringify(fitted)) <= eventMaxBytes) return fitted;
  }
  return { ...event, part: { kind: "text", id: event.part.id, text: cutMark } };
}
