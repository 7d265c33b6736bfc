/** The pure parts of a tick: the rate limit, what a row comes to, paths that are ignored. */
import { expect, it } from "vitest";
import { allowedAt, mergeAllowances, readAllowance, requestsLeft, unknownAllowance } from "../../src/domain/allowance.ts";
import { rankOf } from "../../src/domain/build-slots.ts";
import { isIgnored, matchesGlob } from "../../src/domain/ignored-paths.ts";
import { stepImage } from "../../src/domain/image-scope.ts";
import { emptyScope } from "../../src/domain/image-scope-state.ts";
import { planCheck, planSkip, type TickRowFacts } from "../../src/domain/tick-plan.ts";
import { storedImage } from "../fakes/stored-image.ts";

const sha = (digit: string): string => digit.repeat(40);
const day = 86_400_000;

it("[TK9] what GitHub's headers leave: a reserve is kept, a wait is obeyed, a new window counts anew", () => {
  const answer = (headers: Record<string, string>, status = 200) => readAllowance((name) => headers[name] ?? null, status, 0);
  const plenty = answer({ "x-ratelimit-limit": "5000", "x-ratelimit-remaining": "4000", "x-ratelimit-reset": "60" });
  expect(requestsLeft(plenty, 0)).toBe(3_500);
  const scarce = mergeAllowances(plenty, { ...plenty, remaining: 500 });
  expect(requestsLeft(scarce, 0)).toBe(0);
  expect(allowedAt(scarce, 0)).toBe(60_000);
  expect(requestsLeft(scarce, 60_000)).toBe(Number.POSITIVE_INFINITY);
  expect(mergeAllowances(scarce, plenty).remaining, "an answer that was overtaken").toBe(500);
  expect(requestsLeft({ ...plenty, limit: 60, remaining: 10 }, 0), "a tenth of a small limit").toBe(4);
  const waiting = mergeAllowances(plenty, answer({ "retry-after": "30" }, 403));
  expect([requestsLeft(waiting, 29_999), allowedAt(waiting, 0)]).toEqual([0, 30_000]);
  expect(answer({}, 429).blockedUntil).toBe(60_000);
  expect(requestsLeft(mergeAllowances(unknownAllowance, answer({}, 502)), 0)).toBe(Number.POSITIVE_INFINITY);
});

const row = (more: Partial<TickRowFacts> = {}): TickRowFacts => ({
  ...{ activeSha: sha("a"), activeBranch: "main", expiresAt: 30 * day, runtimeRevision: 1, ignorePaths: [] },
  ...{ failing: null, pin: null, buildStatus: "ready", buildSha: sha("a"), buildRequestedAt: 0 },
  ...{ skipId: null, skipReason: null, skipSha: null, skipFromSha: null, skipLastAt: null },
  ...more,
});
const head = (digit: string) => ({ branch: "main", sha: sha(digit), archived: false });

it("[TK7] a row is recorded where nothing is to be done, and its object woken where something is or D1 may be behind", () => {
  const plan = (more: Partial<TickRowFacts>, digit = "a") => planCheck(row(more), head(digit), 1, 0);
  expect(plan({})).toEqual({ do: "record", outcome: "unchanged" });
  expect(plan({}, "b")).toEqual({ do: "wake" });
  expect(plan({ activeSha: null })).toEqual({ do: "wake" });
  expect(plan({ expiresAt: day })).toEqual({ do: "wake" });
  expect(plan({ pin: { until: 1 } }, "b")).toEqual({ do: "record", outcome: "pinned" });
  expect(plan({ pin: { until: 0 } }, "b"), "a pin that is over").toEqual({ do: "wake" });
  expect(plan({ failing: { sha: sha("b"), nextTryAt: 1 } }, "b")).toEqual({ do: "record", outcome: "backing_off" });
  expect(plan({ buildStatus: "running", buildSha: sha("b") }, "b")).toEqual({ do: "record", outcome: "building" });
  expect(plan({ buildStatus: "queued", buildSha: null }, "b"), "which head it is for is not in D1").toEqual({ do: "wake" });
  expect(planCheck(row(), null, 1, 0)).toEqual({ do: "record", outcome: "unavailable" });
});

it("[TK7] a run of skipped comparisons ends with another commit, image or reason, and with a build", () => {
  const known = { skipId: "build_1", skipReason: "unchanged", skipSha: sha("a"), skipFromSha: sha("a"), skipLastAt: 5 } as const;
  expect(planSkip(row(known), "unchanged", sha("a"))).toEqual({ reason: "unchanged", again: "build_1" });
  expect(planSkip(row(known), "pinned", sha("a"))?.again).toBeNull();
  expect(planSkip(row(known), "unchanged", sha("b"))?.again).toBeNull();
  expect(planSkip(row({ ...known, activeSha: sha("b") }), "unchanged", sha("a"))?.again).toBeNull();
  expect(planSkip(row({ ...known, buildRequestedAt: 6 }), "unchanged", sha("a"))?.again).toBeNull();
  expect(planSkip(row(known), "unavailable", sha("a"))).toBeNull();
});

it("[TK12] a moved head is compared once when paths are ignored, unless the image has to be renewed anyway", () => {
  const plan = (more: Partial<TickRowFacts>) => planCheck(row({ ignorePaths: ["docs/**"], ...more }), head("b"), 1, 0);
  expect(plan({})).toEqual({ do: "compare", base: sha("a") });
  expect(plan({ skipReason: "ignored_paths", skipSha: sha("b"), skipFromSha: sha("a") })).toEqual({
    do: "record",
    outcome: "ignored_paths",
  });
  expect(plan({ expiresAt: day })).toEqual({ do: "wake" });
  expect(plan({ failing: { sha: sha("c"), nextTryAt: 0 } })).toEqual({ do: "wake" });
  expect(plan({ activeBranch: "old" })).toEqual({ do: "wake" });
});

it.each([
  ["docs/**", "docs/a/b.md", true],
  ["docs/**", "src/docs/a.md", false],
  ["**/*.md", "readme.md", true],
  ["**/*.md", "a/b/c.md", true],
  ["*.md", "a/b.md", false],
  ["*.md", ".hidden.md", true],
  ["a?c", "abc", true],
  ["a?c", "a/c", false],
  ["a/**/z", "a/z", true],
  ["a/**/z", "a/b/c/z", true],
  ["a/**/z", "a/bz", false],
  ["[x].{a,b}", "[x].{a,b}", true],
  ["[x].{a,b}", "x.a", false],
  ["a.c", "abc", false],
])("[TK12] the glob %s and the path %s: %s", (glob, path, fits) => {
  expect(matchesGlob(path, glob)).toBe(fits);
});

it("[TK12] a hostile pattern costs no more than its length", () => {
  const startedAt = performance.now();
  expect(matchesGlob("a".repeat(1_000), `${"*a".repeat(99)}b`)).toBe(false);
  expect(performance.now() - startedAt).toBeLessThan(1_000);
});

it("[TK12] a force push, a change too large to be listed, and one other file are never ignored", () => {
  const globs = ["docs/**", "*.md"];
  expect(isIgnored({ isAhead: true, paths: ["docs/a", "b.md"] }, globs)).toBe(true);
  expect(isIgnored({ isAhead: true, paths: ["docs/a", "b.ts"] }, globs)).toBe(false);
  expect(isIgnored({ isAhead: false, paths: ["docs/a"] }, globs)).toBe(false);
  expect(isIgnored({ isAhead: true, paths: null }, globs)).toBe(false);
  expect(isIgnored({ isAhead: true, paths: ["docs/a"] }, [])).toBe(false);
});

it("[TK16] an image below the floor is renewed before the tick's other builds", () => {
  expect(planCheck(row({ runtimeRevision: 1 }), head("a"), 2, 0)).toEqual({ do: "wake" });
  expect(rankOf("schedule", true)).toBeLessThan(rankOf("schedule", false));
  expect(rankOf("schedule", true)).toBeGreaterThan(rankOf("push"));
  const image = storedImage({ sha: sha("a"), runtimeRevision: 1, expiresAt: 30 * day });
  const target = { owner: "acme", name: "shop", branch: "main", private: false, cloneUrl: "http://x/y.git", installationId: 1 };
  const state = { ...emptyScope, target, enabled: true, images: [image], activeId: image.id, order: 1 };
  const plan = { buildId: "build_1", imageId: "image_2", attempts: ["1", "2", "3", "4"], limitMs: 60_000 };
  const { effects } = stepImage(state, { type: "head", head: head("a"), runtimeFloor: 2, plan }, 0);
  expect(effects).toContainEqual(expect.objectContaining({ type: "slot.request", trigger: "schedule", servingRevision: 1 }));
});
