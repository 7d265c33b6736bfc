/** Who saw a head: one entry of the ledger. Pure. */
import { type CommitInfo, type HeadSeer, type HeadSighting, headSeers } from "@open-inspect/protocol";

export interface Sighting {
  scope: string;
  sha: string;
  /** null when nobody read it */
  commit: CommitInfo | null;
  /** when GitHub says that it was pushed; null when it does not say */
  pushedAt: number | null;
  pushAt: number | null;
  tickAt: number | null;
  personAt: number | null;
  firstBy: HeadSeer;
  firstAt: number;
}

/** What one of the three saw. Entries of one head are merged: each keeps its first moment, and the earliest of all was first. */
export function sightingOf(
  by: HeadSeer,
  seen: { scope: string; sha: string; commit: CommitInfo | null; at: number; pushedAt: number | null },
): Sighting {
  const { scope, sha, commit, at, pushedAt } = seen;
  const seenBy = (who: HeadSeer): number | null => (who === by ? at : null);
  return {
    ...{ scope, sha, commit, pushedAt },
    pushAt: seenBy("push"),
    tickAt: seenBy("tick"),
    personAt: seenBy("person"),
    firstBy: by,
    firstAt: at,
  };
}

const authorLength = 200;
const headlineLength = 500;

/** What is kept of a commit; null when it names no author. */
export function commitInfo({
  author,
  login,
  message,
}: {
  author: string;
  login: string | null;
  message: string;
}): CommitInfo | null {
  const [headline = ""] = message.split("\n");
  return author === "" ? null : { author: author.slice(0, authorLength), login, headline: headline.slice(0, headlineLength) };
}

/** An entry as it is shown: the first one, then the others with how late they were. */
export function sightingView({ sha, pushedAt, firstBy, firstAt, ...seen }: Omit<Sighting, "scope" | "commit">): HeadSighting {
  const at: Record<HeadSeer, number | null> = { push: seen.pushAt, tick: seen.tickAt, person: seen.personAt };
  const later = headSeers.flatMap((by) => {
    const when = at[by];
    return by === firstBy || when === null ? [] : [{ by, at: when, lateMs: Math.max(0, when - firstAt) }];
  });
  return { sha, pushedAt, firstBy, firstAt, later: later.sort((a, b) => a.at - b.at) };
}
