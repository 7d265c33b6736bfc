/** Who builds next: caps, fairness among owners, the spread of a tick. */
import { expect, it } from "vitest";
import { chooseNext, jitterMs, rankOf, type Waiting } from "../../src/domain/build-slots.ts";

const caps = { total: 4, perOwner: 2 };
const waiting = (owner: string, serial: number, rank = 2, dueAt = 0): Waiting => ({
  ...{ buildId: `${owner}${serial}`, owner, rank, dueAt, serial },
});

it("[BS1] nobody gets a slot beyond the installation's cap or the owner's", () => {
  const firsts = [waiting("a", 1)];
  expect(chooseNext(firsts, new Map(), caps)?.buildId).toBe("a1");
  expect(chooseNext(firsts, new Map([["a", 2]]), caps)).toBeNull();
  expect(
    chooseNext(
      firsts,
      new Map([
        ["b", 2],
        ["c", 2],
      ]),
      caps,
    ),
  ).toBeNull();
  expect(chooseNext([waiting("a", 1), waiting("b", 2)], new Map([["a", 2]]), caps)?.buildId).toBe("b2");
});

it("[BS2] the owner with the fewest running builds, then whom a person waits for, then arrival", () => {
  const firsts = [waiting("a", 1), waiting("b", 2)];
  expect(chooseNext(firsts, new Map(), caps)?.buildId).toBe("a1");
  expect(chooseNext(firsts, new Map([["a", 1]]), caps)?.buildId).toBe("b2");
  expect(chooseNext([waiting("a", 1), waiting("b", 2, rankOf("refresh"))], new Map(), caps)?.buildId).toBe("b2");
  expect([rankOf("enable"), rankOf("push"), rankOf("schedule")]).toEqual([0, 1, 3]);
});

it("[BS2] of two owners the one goes first whose build is due for longer, not the one that asked first", () => {
  const askedFirst = waiting("a", 1, 3, 9_000);
  const dueFirst = waiting("b", 2, 3, 4_000);
  expect(chooseNext([askedFirst, dueFirst], new Map(), caps)?.buildId).toBe("b2");
  expect(chooseNext([dueFirst, waiting("c", 3, 3, 4_000)], new Map(), caps)?.buildId).toBe("b2");
});

it("[BS4] each repository has its own share of the spread, always the same, and they fill it", () => {
  const shares = Array.from({ length: 1_000 }, (_, index) => jitterMs(`repo:acme/r${index}`, 60_000));
  expect(jitterMs("repo:acme/r7", 60_000)).toBe(shares[7]);
  expect(Math.min(...shares)).toBeGreaterThanOrEqual(0);
  expect(Math.max(...shares)).toBeLessThan(60_000);
  for (let tenth = 0; tenth < 10; tenth++) {
    const here = shares.filter((share) => Math.floor(share / 6_000) === tenth).length;
    expect(here, `tenth ${tenth}`).toBeGreaterThan(50);
  }
});
