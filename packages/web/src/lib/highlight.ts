/** Code as coloured spans, line by line. The highlighter is fetched when it is first wanted; until then, and for what it does not know, code is plain. */
import { useEffect, useMemo, useState } from "react";

export interface CodeSpan {
  text: string;
  /** CSS classes of styles.css, empty for plain text */
  className: string;
}
export type CodeLine = CodeSpan[];

/** Longer code stays plain: colouring it would be felt. */
const longestText = 60_000;

type Lowlight = typeof import("./highlight-languages.ts").lowlight;
let loading: Promise<Lowlight> | undefined;
let loaded: Lowlight | null = null;

function load(): Promise<Lowlight> {
  loading ??= import("./highlight-languages.ts").then(({ lowlight }) => {
    loaded = lowlight;
    return lowlight;
  });
  return loading;
}

interface Node {
  type: string;
  value?: string;
  properties?: { className?: unknown };
  children?: readonly Node[];
}

function toLines(nodes: readonly Node[]): CodeLine[] {
  const lines: CodeLine[] = [[]];
  const walk = (node: Node, className: string): void => {
    if (node.type === "text") {
      (node.value ?? "").split("\n").forEach((text, index) => {
        if (index > 0) lines.push([]);
        if (text !== "") lines.at(-1)?.push({ text, className });
      });
      return;
    }
    const own = Array.isArray(node.properties?.className) ? node.properties.className.join(" ") : "";
    for (const child of node.children ?? []) walk(child, [className, own].filter(Boolean).join(" "));
  };
  for (const node of nodes) walk(node, "");
  return lines;
}

function highlight(lowlight: Lowlight, text: string, language: string): CodeLine[] | null {
  if (!lowlight.registered(language)) return null;
  try {
    return toLines(lowlight.highlight(language, text).children);
  } catch {
    return null;
  }
}

const byName: Record<string, string> = { dockerfile: "dockerfile", makefile: "bash", gemfile: "ruby", rakefile: "ruby" };

/** What a fence or a file's extension calls a language; empty for nothing known. */
export function languageOf(path: string): string {
  const name = path.split("/").at(-1)?.toLowerCase() ?? "";
  return byName[name] ?? (name.includes(".") ? (name.split(".").at(-1) ?? "") : "");
}

/**
 * The text's lines in colour; null as long as it is plain.
 * @param language as a fence names it, or a file's extension
 */
export function useHighlight(text: string, language: string): CodeLine[] | null {
  const wanted = language !== "" && text.length <= longestText;
  const [lowlight, setLowlight] = useState(loaded);
  useEffect(() => {
    if (!wanted || lowlight !== null) return;
    let isHere = true;
    load().then(
      (value) => isHere && setLowlight(value),
      // A chunk that cannot be fetched, for instance after a deploy: the code is readable as it is.
      () => undefined,
    );
    return () => {
      isHere = false;
    };
  }, [wanted, lowlight]);
  return useMemo(
    () => (wanted && lowlight !== null ? highlight(lowlight, text, language.toLowerCase()) : null),
    [wanted, lowlight, text, language],
  );
}
