/** Keys that do something on the page, and the list of them. Not while somebody writes, nor with a modifier, nor behind a dialog. */
import { useEffect, useRef } from "react";
import { useServices } from "./services.tsx";

export interface Shortcut {
  /** one key as `KeyboardEvent.key` has it, or two after one another: "g s" */
  keys: string;
  /** how the list names it; the same words twice are listed once with both keys */
  label: string;
  /** false: it was not for this */
  run: () => unknown;
  /** also while a field has the focus */
  whileWriting?: boolean;
}

/** The second key of two has to follow so soon. */
const pairMs = 1_200;

export interface Shortcuts {
  /** @returns what takes them back */
  add(shortcuts: () => readonly Shortcut[]): () => void;
  list(): readonly Shortcut[];
  /** @returns true when something was done */
  press(event: Pick<KeyboardEvent, "key" | "ctrlKey" | "metaKey" | "altKey" | "target" | "timeStamp">): boolean;
}

const isField = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement &&
  (target.isContentEditable || target instanceof HTMLInputElement || target.matches("textarea, select, [role=combobox]"));

export function createShortcuts(): Shortcuts {
  const sets = new Set<() => readonly Shortcut[]>();
  let first: { key: string; at: number } | null = null;
  const list = () => [...sets].flatMap((set) => set());
  return {
    add(shortcuts) {
      sets.add(shortcuts);
      return () => void sets.delete(shortcuts);
    },
    list,
    press(event) {
      if (event.ctrlKey || event.metaKey || event.altKey) return false;
      const writing = isField(event.target);
      const pair = first !== null && event.timeStamp - first.at < pairMs ? `${first.key} ${event.key}` : null;
      first = writing ? null : { key: event.key, at: event.timeStamp };
      // What came last lies on top: a page's keys before the frame's.
      const all = list().toReversed();
      for (const keys of pair === null ? [event.key] : [pair, event.key]) {
        for (const shortcut of all) {
          if (shortcut.keys !== keys || (writing && shortcut.whileWriting !== true)) continue;
          if (shortcut.run() === false) continue;
          first = null;
          return true;
        }
      }
      return false;
    },
  };
}

/** Keeps these keys as long as the component is there. */
export function useShortcuts(shortcuts: readonly Shortcut[]): void {
  const { shortcuts: store } = useServices();
  const latest = useRef(shortcuts);
  useEffect(() => {
    latest.current = shortcuts;
  });
  useEffect(() => store.add(() => latest.current), [store]);
}
