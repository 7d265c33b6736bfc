/** Who saw a head: one entry of the ledger. Pure. */
import { type HeadSeer, type HeadSighting, headSeers } from "@open-inspect/protocol";

export interface Sighting {
  scope: string;
  sha: string;
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
  { scope, sha, at, pushedAt }: { scope: string; sha: string; at: number; pushedAt: number | null },
): Sighting {
  const seenBy = (who: HeadSeer): number | null => (who === by ? at : null);
  return {
    ...{ scope, sha, pushedAt },
    pushAt: seenBy("push"),
    tickAt: seenBy("tick"),
    personAt: seenBy("person"),
    firstBy: by,
    firstAt: at,
  };
}

/** An entry as it is shown: the first one, then the others with how late they were. */
export function sightingView({ sha, pushedAt, firstBy, firstAt, ...seen }: Omit<Sighting, "scope">): HeadSighting {
  const at: Record<HeadSeer, number | null> = { push: seen.pushAt, tick: seen.tickAt, person: seen.personAt };
  const later = headSeers.flatMap((by) => {
    const when = at[by];
    return by === firstBy || when === null ? [] : [{ by, at: when, lateMs: Math.max(0, when - firstAt) }];
  });
  return { sha, pushedAt, firstBy, firstAt, later: later.sort((a, b) => a.at - b.at) };
}
