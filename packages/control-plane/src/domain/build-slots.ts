/** Decides who builds next when many want to: a global and a per-owner cap, and a fair order among owners. Pure. */
import { type BuildTrigger } from "@open-inspect/protocol";

export interface SlotCaps {
  /** builds of the installation that run at once */
  total: number;
  /** builds of one owner that run at once */
  perOwner: number;
}

/** An owner's first in line. */
export interface Waiting {
  buildId: string;
  owner: string;
  /** lower goes first */
  rank: number;
  /** from when on it may build, milliseconds since the epoch: it asked then, or its share of the tick's spread has passed */
  dueAt: number;
  /** order of asking */
  serial: number;
}

/**
 * A person waits for the first three; the tick's builds fill what is left, those first without which sessions start cold.
 * @param belowFloor the image that there is has a runtime that is not used any more
 */
export function rankOf(trigger: BuildTrigger, belowFloor = false): number {
  switch (trigger) {
    case "refresh":
    case "enable":
    case "configuration":
      return 0;
    case "push":
      return 1;
    case "schedule":
      return belowFloor ? 2 : 3;
  }
}

/**
 * The build that gets the next slot: of the owner who has the fewest running ones, then by rank, then who is due for longest.
 * @param firsts each owner's first in line
 * @param running running builds by owner
 */
export function chooseNext(firsts: readonly Waiting[], running: ReadonlyMap<string, number>, caps: SlotCaps): Waiting | null {
  const total = [...running.values()].reduce((sum, count) => sum + count, 0);
  if (total >= caps.total) return null;
  const of = (one: Waiting): number => running.get(one.owner) ?? 0;
  const able = firsts.filter((one) => of(one) < caps.perOwner);
  return able.reduce<Waiting | null>((best, one) => (best === null || compare(one, best) < 0 ? one : best), null);

  function compare(a: Waiting, b: Waiting): number {
    return of(a) - of(b) || a.rank - b.rank || a.dueAt - b.dueAt || a.serial - b.serial;
  }
}

/** A stable fraction of the spread for each repository, so that not all of them build in the same second. */
export function jitterMs(scope: string, spreadMs: number): number {
  let hash = 2_166_136_261;
  for (const byte of new TextEncoder().encode(scope)) hash = Math.imul(hash ^ byte, 16_777_619);
  // FNV leaves the last letters in the low bits; names that differ in them alone are to be spread, too.
  hash = Math.imul(hash ^ (hash >>> 16), 2_246_822_507);
  hash = Math.imul(hash ^ (hash >>> 13), 3_266_489_909);
  hash = (hash ^ (hash >>> 16)) >>> 0;
  return Math.floor((hash / 2 ** 32) * spreadMs);
}
