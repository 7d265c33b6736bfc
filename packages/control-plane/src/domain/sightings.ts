/** Who saw a head: one entry of the ledger. Pure. */
export interface Sighting {
  scope: string;
  sha: string;
  /** when GitHub says that it was pushed; null when it does not say */
  pushedAt: number | null;
  pushAt: number | null;
  tickAt: number | null;
  personAt: number | null;
  firstBy: "push" | "tick" | "person";
  firstAt: number;
}

/** What one of the three saw. Entries of one head are merged: each keeps its first moment, and the earliest of all was first. */
export function sightingOf(
  by: Sighting["firstBy"],
  { scope, sha, at, pushedAt }: { scope: string; sha: string; at: number; pushedAt: number | null },
): Sighting {
  const seenBy = (who: Sighting["firstBy"]): number | null => (who === by ? at : null);
  return {
    ...{ scope, sha, pushedAt },
    pushAt: seenBy("push"),
    tickAt: seenBy("tick"),
    personAt: seenBy("person"),
    firstBy: by,
    firstAt: at,
  };
}
