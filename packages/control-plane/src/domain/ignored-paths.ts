/**
 * Decides whether a change touches only files that an image does not depend on. Pure.
 * The patterns come from repositories: they are matched in time that grows with path times pattern, which regular expressions
 * made of them do not promise.
 */
import { type Comparison } from "./ports.ts";

/** `*` and `?` stay within a folder, `**` crosses folders, nothing else is special. */
export function matchesGlob(path: string, glob: string): boolean {
  // Positions in the glob that the path so far may have come to.
  let reached = enter(0, glob, new Set());
  for (const letter of path) {
    const next = new Set<number>();
    for (const at of reached) {
      const token = glob[at];
      if (token === "*") {
        const width = glob[at + 1] === "*" ? 2 : 1;
        if (width === 1 && letter === "/") continue;
        next.add(at);
        enter(at + width, glob, next);
      } else if (token === letter || (token === "?" && letter !== "/")) enter(at + 1, glob, next);
    }
    if (next.size === 0) return false;
    reached = next;
  }
  return reached.has(glob.length);
}

/** Adds a position that was come to: a star there may stand for nothing, and `**` with its slash for no folder at all. */
function enter(at: number, glob: string, positions: Set<number>): Set<number> {
  if (positions.has(at)) return positions;
  positions.add(at);
  if (glob[at] !== "*") return positions;
  const width = glob[at + 1] === "*" ? 2 : 1;
  enter(at + width, glob, positions);
  const beginsFolder = at === 0 || glob[at - 1] === "/";
  if (width === 2 && beginsFolder && glob[at + 2] === "/") enter(at + 3, glob, positions);
  return positions;
}

export const touchesOnly = (paths: readonly string[], globs: readonly string[]): boolean =>
  globs.length > 0 && paths.every((path) => globs.some((glob) => matchesGlob(path, glob)));

/** A head that is no descendant, or a change that is too large to be listed, is never ignored. */
export const isIgnored = ({ isAhead, paths }: Comparison, globs: readonly string[]): boolean =>
  isAhead && paths !== null && touchesOnly(paths, globs);
