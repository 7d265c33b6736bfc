/** A commit by its short name, with the full one for reading and copying. */
import { cn } from "../lib/cn.ts";
import { changesAddress } from "../lib/repository-links.ts";
import { shortSha } from "../lib/time.ts";

export function Commit({ sha, className }: { sha: string; className?: string }) {
  return (
    <code title={sha} className={cn("font-mono text-[0.92em] text-fg", className)}>
      {shortSha(sha)}
    </code>
  );
}

interface CommitLinkProps {
  cloneUrl: string;
  sha: string;
  /** shows what lies between: `abc1234 → def5678` */
  fromSha?: string | null;
  className?: string;
}

/** Leads to the commit on the forge, or with `fromSha` to the changes since. */
export function CommitLink({ cloneUrl, sha, fromSha = null, className }: CommitLinkProps) {
  const address = changesAddress(cloneUrl, sha, fromSha);
  const isRange = fromSha !== null && fromSha !== sha;
  const text = (
    <>
      {isRange ? (
        <>
          <Commit sha={fromSha} />
          <span aria-hidden="true"> → </span>
          <span className="sr-only"> to </span>
        </>
      ) : null}
      <Commit sha={sha} />
    </>
  );
  if (address === null) return <span className={cn("whitespace-nowrap", className)}>{text}</span>;
  return (
    <a
      href={address}
      target="_blank"
      rel="noreferrer"
      title={isRange ? "What has changed, on GitHub" : "The commit on GitHub"}
      className={cn("whitespace-nowrap text-link", className)}
    >
      {text}
    </a>
  );
}
