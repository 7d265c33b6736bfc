/** What a browser is told first: everything since the cursor that it knows, or the view as a snapshot. It reads; nothing is stored or decided here. */
import { type SessionEvent, type SessionView } from "@open-inspect/protocol";
import { type FactStore } from "../adapters/sqlite/fact-store.ts";
import { type PartStore } from "../adapters/sqlite/part-store.ts";
import { type PromptStore } from "../adapters/sqlite/prompt-store.ts";

export interface History {
  prompts: Pick<PromptStore, "list">;
  parts: Pick<PartStore, "changed">;
  facts: Pick<FactStore, "changed">;
}

/**
 * With a cursor of this session that is everything since, each thing whole and in the order in which it began; only the last of these events
 * has the new cursor, so that a cut in between loses nothing.
 * @param known the browser's cursor; null: it knows nothing
 * @param upTo the session's cursor now
 */
export function* eventsSince(
  known: number | null,
  upTo: number,
  { prompts, parts, facts }: History,
  view: () => SessionView,
): Generator<string> {
  if (known === null || known === 0 || known > upTo) {
    yield JSON.stringify({ type: "snapshot", cursor: upTo, session: view() } satisfies SessionEvent);
    return;
  }
  const events: ((at: number) => string)[] = [];
  for (const prompt of prompts.list()) {
    const isChanged = prompt.cursor > known;
    if (!isChanged && prompt.status !== "running") continue;
    const { head } = prompt;
    if (isChanged) events.push((at) => JSON.stringify({ type: "prompt", cursor: at, prompt: head } satisfies SessionEvent));
    for (const part of parts.changed(prompt.id, known)) {
      events.push((at) => JSON.stringify({ type: "part", cursor: at, promptId: prompt.id, part } satisfies SessionEvent));
    }
  }
  for (const { key, json } of facts.changed(known)) events.push((at) => `{"type":"${key}","cursor":${at},"${key}":${json}}`);
  for (const [place, event] of events.entries()) yield event(place === events.length - 1 ? upTo : known);
}
