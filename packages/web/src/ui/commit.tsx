/** A commit by its short name, with the full one for reading and copying. */
import { cn } from "../lib/cn.ts";
import { shortSha } from "../lib/time.ts";

export function Commit({ sha, className }: { sha: string; className?: string }) {
  return (
    <code title={sha} className={cn("font-mono text-[0.92em] text-fg", className)}>
      {shortSha(sha)}
    </code>
  );
}
