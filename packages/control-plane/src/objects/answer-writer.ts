/**
 * Answers as they grow: stored, and told to browsers as the same text. What comes in one turn of one part is joined to one change.
 * It does not know which prompt runs, nor who may speak of it.
 */
import { type PromptPart, type SessionEvent } from "@open-inspect/protocol";
import { type Cursor } from "../adapters/sqlite/cursor.ts";
import { type PartStore } from "../adapters/sqlite/part-store.ts";

export interface AnswerWriter {
  grow(promptId: string, partId: string, kind: "text" | "reasoning", delta: string): void;
  /** Only the newest of what one part said in this turn is told, unless its place would be lost. */
  put(promptId: string, part: PromptPart): void;
  /** Stores and tells what has come; at the end of each turn, and before anything that must come after it. */
  flush(): void;
  /** Takes back the growing parts, or all of them. */
  takeBack(promptId: string, which: "growing" | "all"): void;
}

interface GrowingPart {
  promptId: string;
  partId: string;
  kind: "text" | "reasoning";
  delta: string;
  /** what it is as a whole, where that was said last */
  part: PromptPart | null;
}

export function createAnswerWriter(parts: PartStore, cursor: Cursor, say: (text: string) => void): AnswerWriter {
  /** what grew or changed last and is not stored yet; never outlives the turn */
  let growing: GrowingPart | null = null;

  function flush(): void {
    if (!growing) return;
    const { promptId, partId, kind, delta, part } = growing;
    growing = null;
    const at = cursor.next();
    if (part) {
      const json = JSON.stringify(part);
      parts.put(promptId, part, json, at);
      say(`{"type":"part","cursor":${at},"promptId":"${promptId}","part":${json}}`);
    } else {
      parts.grow(promptId, partId, kind, delta, at);
      say(JSON.stringify({ type: "delta", cursor: at, promptId, partId, kind, delta } satisfies SessionEvent));
    }
  }

  return {
    flush,
    grow(promptId, partId, kind, delta) {
      if (growing && !growing.part && growing.partId === partId && growing.promptId === promptId) growing.delta += delta;
      else {
        flush();
        growing = { promptId, partId, kind, delta, part: null };
      }
    },
    put(promptId, part) {
      if (!growing?.part || growing.partId !== part.id || growing.promptId !== promptId) flush();
      growing = { promptId, partId: part.id, kind: "text", delta: "", part };
    },
    takeBack(promptId, which) {
      const at = cursor.next();
      for (const part of parts.takeBack(promptId, which, at)) {
        say(JSON.stringify({ type: "part", cursor: at, promptId, part } satisfies SessionEvent));
      }
    },
  };
}
