/** What is being written survives a reload and a change of page: drafts by session, in the browser's own storage. */
import { useCallback, useState } from "react";

const prefix = "open-inspect.draft.";

function read(name: string): string {
  try {
    return localStorage.getItem(prefix + name) ?? "";
  } catch {
    return "";
  }
}

/** Of the session that is not there yet. */
export const newSessionDraft = "new";

export function dropDraft(name: string): void {
  try {
    localStorage.removeItem(prefix + name);
  } catch {
    // Storage is switched off: there is no draft.
  }
}

/** For whoever comes after: nothing of what was being written stays in this browser. */
export function dropAllDrafts(): void {
  try {
    for (const name of Object.keys(localStorage)) if (name.startsWith(prefix)) localStorage.removeItem(name);
  } catch {
    // Storage is switched off: there are none.
  }
}

/** @param name of what is written: a session's id */
export function useDraft(name: string): [string, (text: string) => void] {
  const [text, setText] = useState(() => read(name));
  const change = useCallback(
    (next: string) => {
      setText(next);
      try {
        if (next === "") localStorage.removeItem(prefix + name);
        else localStorage.setItem(prefix + name, next);
      } catch {
        // Storage is full or switched off: the draft lives as long as the page.
      }
    },
    [name],
  );
  return [text, change];
}
