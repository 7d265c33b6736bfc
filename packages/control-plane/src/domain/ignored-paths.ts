/**
 * Decides whether a change touches only files that an image does not depend on. Pure.
 * The patterns come from repositories: they are matched in time that grows with path times pattern, which regular expressions
 * made of them do not promise.
 */
import { type Comparison } from "./ports.ts";

/** `*` and `?` stay within a folder, `**` crosses folders, nothing else is special. */
export function matchesGlob(path: string, glob: string): boolean {
  // Positions in the glob that the path so far may have come to.
  let reached = closure(new Set([0]), glob);
  for (const letter of path) {
    const next = new Set<number>();
    for (const at of reached) {
      const token = glob[at];
      if (token === "*") {
        const crosses = glob[at + 1] === "*";
        if (crosses || letter !== "/") next.add(at);
      } else if (token === letter || (token === "?" && letter !== "/")) next.add(at + 1);
    }
    reached = closure(next, glob);
    if (reached.size === 0) return false;
  }
  return reached.has(glob.length);
}

/** A star may stand for nothing, and `**` with its slash for no folder at all. */
function closure(positions: Set<number>, glob: string): Set<number> {
  for (const at of positions) {
    if (glob[at] !== "*") continue;
    if (glob[at + 1] !== "*") positions.add(at + 1);
    else {
      positions.add(at + 2);
      const beginsFolder = at === 0 || glob[at - 1] === "/";
      if (beginsFolder && glob[at + 2] === "/") positions.add(at + 3);
    }
  }
  return positions;
}

export const touchesOnly = (paths: readonly string[], globs: readonly string[]): boolean =>
  globs.length > 0 && paths.every((path) => globs.some((glob) => matchesGlob(path, glob)));

/** A head that is no descendant, or a change that is too large to be listed, is never ignored. */
export const isIgnored = ({ isAhead, paths }: Comparison, globs: readonly string[]): boolean =>
  isAhead && paths !== null && touchesOnly(paths, globs);
