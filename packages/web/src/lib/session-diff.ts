/** Unified hunks as numbered lines, and the lines of a replacement. Pure; knows no page. */

export interface DiffLine {
  kind: "same" | "added" | "removed";
  /** line numbers on either side; null where the side has no such line */
  before: number | null;
  after: number | null;
  text: string;
  /** the file ends here without a newline */
  isUnended?: boolean;
}
export interface DiffHunk {
  /** what stands after the second @@: mostly the function that it is in */
  place: string;
  lines: DiffLine[];
}

const header = /^@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@ ?(.*)$/;

/** Lines before the first header are left out: they name the file, which the caller knows. */
export function parseHunks(text: string): DiffHunk[] {
  const hunks: DiffHunk[] = [];
  let before = 0;
  let after = 0;
  for (const raw of text.replace(/\n$/, "").split("\n")) {
    const found = header.exec(raw);
    const hunk = hunks.at(-1);
    if (found) {
      before = Number(found[1]);
      after = Number(found[2]);
      hunks.push({ place: found[3] ?? "", lines: [] });
    } else if (hunk !== undefined) {
      const line = raw.slice(1);
      if (raw.startsWith("+")) hunk.lines.push({ kind: "added", before: null, after: after++, text: line });
      else if (raw.startsWith("-")) hunk.lines.push({ kind: "removed", before: before++, after: null, text: line });
      else if (raw.startsWith("\\")) {
        const last = hunk.lines.at(-1);
        if (last !== undefined) last.isUnended = true;
      } else hunk.lines.push({ kind: "same", before: before++, after: after++, text: line });
    }
  }
  return hunks;
}

/** A text that took another's place, what both begin and end with shown once. Line numbers are not known. */
export function compareTexts(before: string, after: string): DiffLine[] {
  const split = (text: string) => (text === "" ? [] : text.replace(/\n$/, "").split("\n"));
  const old = split(before);
  const fresh = split(after);
  let head = 0;
  while (head < old.length && head < fresh.length && old[head] === fresh[head]) head += 1;
  let tail = 0;
  while (tail < old.length - head && tail < fresh.length - head && old.at(-1 - tail) === fresh.at(-1 - tail)) tail += 1;
  const line = (kind: DiffLine["kind"]) => (text: string) => ({ kind, before: null, after: null, text });
  return [
    ...old.slice(0, head).map(line("same")),
    ...old.slice(head, old.length - tail).map(line("removed")),
    ...fresh.slice(head, fresh.length - tail).map(line("added")),
    ...old.slice(old.length - tail).map(line("same")),
  ];
}

/** How many lines of each kind there are. */
export function countChanges(lines: readonly DiffLine[]): { additions: number; deletions: number } {
  return {
    additions: lines.filter(({ kind }) => kind === "added").length,
    deletions: lines.filter(({ kind }) => kind === "removed").length,
  };
}
