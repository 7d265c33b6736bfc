/** Decides which sandboxes nobody owns any more, and which of them are ended. Pure. */
import { deadlines } from "./deadlines.ts";

export interface ListedSandbox {
  sandboxId: string;
  tags: Record<string, string>;
}

export interface StrayDecision {
  /** seen without an owner for the first time */
  remember: string[];
  /** seen so before, long enough ago */
  terminate: string[];
  /** known as strays, and owned or gone now */
  forget: string[];
}

/**
 * @param owners ids of the builds and sessions that have not ended
 * @param known first sightings of strays, milliseconds since the epoch
 */
export function decideStrays(
  listed: readonly ListedSandbox[],
  owners: ReadonlySet<string>,
  known: ReadonlyMap<string, number>,
  now: number,
): StrayDecision {
  const strays = listed.filter(({ tags }) => ![tags.build, tags.session].some((id) => id !== undefined && owners.has(id)));
  const ids = new Set(strays.map(({ sandboxId }) => sandboxId));
  const seenAt = (id: string): number => known.get(id) ?? now;
  return {
    remember: [...ids].filter((id) => !known.has(id)),
    terminate: [...ids].filter((id) => known.has(id) && now - seenAt(id) >= deadlines.strayGraceMs),
    forget: [...known.keys()].filter((id) => !ids.has(id)),
  };
}
