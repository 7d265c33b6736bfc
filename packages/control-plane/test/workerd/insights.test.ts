/** Sums over sessions and builds, from rows to the answer of the API. */
import { env } from "cloudflare:workers";
import { type ColdReasonCode, type ErrorBody, type Insights, insightsSchema } from "@open-inspect/protocol";
import { drizzle } from "drizzle-orm/d1";
import { expect, it } from "vitest";
import { createHeadSightings } from "../../src/adapters/d1/head-sightings.ts";
import { insightStatements } from "../../src/adapters/d1/insights.ts";
import { builds, images, sessions, skippedChecks } from "../../src/adapters/d1/schema.ts";
import { sightingOf } from "../../src/domain/sightings.ts";
import { call, json } from "./harness.ts";

const minuteMs = 60_000;
const dayMs = 24 * 60 * minuteMs;
const db = () => drizzle(env.DB);
let serial = 0;

type Start = Partial<typeof sessions.$inferInsert>;

/** A session of a while ago. */
async function session({ scope = "repo:acme/shop", ...more }: Start): Promise<void> {
  const createdAt = more.createdAt ?? Date.now() - 1_000;
  await db()
    .insert(sessions)
    .values({
      ...{ id: `ses_${++serial}`, scope, owner: "acme", name: "shop", branch: "main", status: "ready", title: "t" },
      ...{ createdAt, readyAt: createdAt + 10 },
      ...more,
    });
}
const warm = (startMs: number, savedMs: number, more: Start = {}) =>
  session({ startedFrom: "image", imageId: "img_1", startMs, savedMs, atHead: true, behindCommits: 0, ...more });
const cold = (coldReason: ColdReasonCode, startMs: number, more: Start = {}) =>
  session({ startedFrom: "base", coldReason, startMs, coldMs: startMs, atHead: true, ...more });

async function insights(query = ""): Promise<Insights> {
  return insightsSchema.parse((await json("GET", `/api/insights${query}`)).body);
}

it("[IN1] starts and cold reasons are counted within the days, each reason with its sentence and what to do", async () => {
  await warm(100, 900);
  await cold("other_branch", 1_000);
  await cold("images_disabled", 1_000);
  await cold("other_branch", 1_000);
  await cold("lookup_failed", 0, { status: "failed", readyAt: null, startMs: null, startedFrom: null, atHead: null });
  await cold("no_image_yet", 1_000, { createdAt: Date.now() - 8 * dayMs });
  const found = await insights();
  expect(found.starts).toEqual({ image: 1, cold: 4, failed: 1 });
  expect(found.coldReasons.map(({ code, count }) => [code, count])).toEqual([
    ["other_branch", 2],
    ["images_disabled", 1],
    ["lookup_failed", 1],
  ]);
  expect(found.coldReasons[0]).toMatchObject({ message: expect.stringContaining("another branch"), hint: expect.any(String) });
  expect((await insights("?days=9")).starts.cold).toBe(5);
  expect(found).toMatchObject({ days: 7, repository: null });
});

it("[IN2] start times are medians by kind, and what images spared is summed as it is", async () => {
  for (const [startMs, savedMs] of [
    [400, 600],
    [100, 900],
    [300, 700],
    [2_000, -1_000],
  ] as const)
    await warm(startMs, savedMs);
  for (const startMs of [3_000, 1_000, 2_000]) await cold("other_branch", startMs);
  const { startTimes, saved } = await insights();
  expect(startTimes.image).toEqual({ count: 4, medianMs: 350, p95Ms: 2_000 });
  expect(startTimes.cold).toEqual({ count: 3, medianMs: 2_000, p95Ms: 3_000 });
  expect(saved).toEqual({ totalMs: 1_200, sessions: 4, medianMs: 650 });
});

it("[IN3] staleness stands against the target before the sync and against none behind after it; the unknown counts neither way", async () => {
  expect((await insights()).staleness).toEqual({
    target: { share: 0.95, withinMs: 30 * minuteMs },
    beforeSync: { known: 0, good: 0, share: null, isMet: null },
    afterSync: { known: 0, good: 0, share: null, isMet: null },
    medianBehindMs: null,
    medianBehindCommits: null,
  });
  const createdAt = Date.now() - 1_000;
  for (let one = 0; one < 19; one++) await warm(1, 1, { createdAt });
  await warm(1, 1, { createdAt, behindCommits: 4, behindOldestAt: createdAt - 31 * minuteMs });
  await warm(1, 1, { createdAt, behindCommits: null });
  const { staleness } = await insights();
  expect(staleness.beforeSync).toEqual({ known: 20, good: 19, share: 0.95, isMet: true });
  expect(staleness.afterSync).toEqual({ known: 21, good: 21, share: 1, isMet: true });
  await warm(1, 1, { createdAt, behindCommits: 2, behindOldestAt: createdAt - 40 * minuteMs, atHead: false });
  const worse = (await insights()).staleness;
  expect(worse.beforeSync).toMatchObject({ known: 21, good: 19, isMet: false });
  expect(worse.afterSync).toMatchObject({ known: 22, good: 21, isMet: false });
  expect([worse.medianBehindMs, worse.medianBehindCommits]).toEqual([0, 0]);
});

it("[IN3] how long an image was outdated counts from when a newer head was first seen, and by the commit where nobody saw it", async () => {
  const createdAt = Date.now() - 1_000;
  const seen = (digit: string, minutesAgo: number) => ({
    ...{ scope: "repo:acme/shop", sha: digit.repeat(40), commit: null, at: createdAt - minutesAgo * minuteMs, pushedAt: null },
  });
  const behind = async (more: Start = {}) => {
    await db().delete(sessions);
    const behindOldestAt = createdAt - 3 * dayMs;
    await warm(1, 1, { createdAt, imageId: "img_seen", behindCommits: 2, behindOldestAt, ...more });
    return ((await insights()).staleness.medianBehindMs ?? 0) / minuteMs;
  };
  await db()
    .insert(images)
    .values({
      ...{
        id: "img_seen",
        scope: "repo:acme/shop",
        buildId: "bld_seen",
        order: 1,
        providerImageId: "im-seen",
        branch: "main",
      },
      ...{ sha: "a".repeat(40), createdAt: 0, expiresAt: createdAt + dayMs, buildMs: 1, runtimeVersion: "r", bridgeProtocol: 1 },
    });
  expect(await behind(), "nobody saw a head").toBe(3 * 24 * 60);
  await createHeadSightings(env.DB).save([sightingOf("push", seen("a", 60)), sightingOf("push", seen("f", 90))]);
  expect(await behind(), "only heads that are as old as the image's").toBe(3 * 24 * 60);
  await createHeadSightings(env.DB).save([sightingOf("tick", seen("b", 20)), sightingOf("push", seen("c", 5))]);
  expect(await behind(), "the first of the heads that it lacks").toBe(20);
  expect(await behind({ behindCommits: 0 })).toBe(0);
  expect(await behind({ branch: "feature" }), "the ledger is of the default branch").toBe(3 * 24 * 60);
  expect(await behind({ behindOldestAt: null })).toBe(20);
});

it("[IN4] builds are counted by outcome, mode and cause, and each repository has its own", async () => {
  const requestedAt = Date.now() - 1_000;
  const build = (more: Partial<typeof builds.$inferInsert>) =>
    db()
      .insert(builds)
      .values({
        ...{
          id: `bld_${++serial}`,
          scope: "repo:acme/shop",
          owner: "acme",
          name: "shop",
          trigger: "push",
          phases: [],
          requestedAt,
        },
        status: "ready",
        ...more,
      });
  await build({ mode: "full", durationMs: 100 });
  await build({ mode: "incremental", durationMs: 10 });
  await build({ mode: "incremental", durationMs: 30 });
  const failure = { code: "setup_failed", message: "m", hint: "h", phase: null, lines: [], exitCode: 1 } as const;
  await build({ status: "failed", mode: "full", durationMs: 5, failure: { ...failure, lines: [] } });
  await build({ status: "cancelled" });
  await build({ status: "running" });
  await build({ scope: "repo:acme/empty", mode: "full", durationMs: 7 });
  await db()
    .insert(skippedChecks)
    .values({
      ...{ id: "bld_s", scope: "repo:acme/shop", owner: "acme", name: "shop", reason: "unchanged", count: 12 },
      ...{ firstAt: requestedAt, lastAt: requestedAt },
    });
  expect((await insights("?repository=Acme/Shop")).builds).toEqual({
    ...{ ready: 3, failed: 1, cancelled: 1, superseded: 0, open: 1, skipped: 12 },
    byMode: [
      { mode: "full", count: 1, medianMs: 100 },
      { mode: "incremental", count: 2, medianMs: 20 },
    ],
    failures: [{ code: "setup_failed", count: 1 }],
  });
  expect((await insights()).builds.ready).toBe(4);
  await warm(1, 1);
  await warm(1, 1, { scope: "repo:acme/empty" });
  const own = await insights("?repository=acme/empty");
  expect([own.starts.image, own.builds.ready, own.repository]).toEqual([1, 1, { owner: "acme", name: "empty" }]);
  expect((await json<ErrorBody>("GET", "/api/insights?days=0")).body.error.code).toBe("invalid_request");
  expect((await call("GET", "/api/insights?repository=acme/none")).status).toBe(404);
});

it("[IN5] insights walk along indexes, of all repositories and of one", async () => {
  for (const scope of [null, "repo:acme/shop"]) {
    for (const [name, text] of Object.entries(insightStatements(scope))) {
      const parameters = [0, scope, 0].slice(0, text.includes("?3") ? 3 : text.includes("?2") ? 2 : 1);
      const { results } = await env.DB.prepare(`EXPLAIN QUERY PLAN ${text}`)
        .bind(...parameters)
        .all<{ detail: string }>();
      const walks = results
        .map(({ detail }) => detail)
        .filter((detail) => /\b(?:sessions|builds|skipped_checks|images|own|later)\b/.test(detail));
      expect(walks.length, name).toBeGreaterThan(0);
      for (const walk of walks) expect(walk, `${name} of ${scope}`).toMatch(/^SEARCH .* USING (?:COVERING )?INDEX/);
    }
  }
});
