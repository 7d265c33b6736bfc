/** Decisions of a warm pool, step by step. */
import { defaultSessionSettings, type SessionSettings } from "@open-inspect/protocol";
import { expect, it } from "vitest";
import { deadlines, limits } from "../../src/domain/deadlines.ts";
import { isTimeZone, localHour } from "../../src/domain/local-hour.ts";
import {
  emptyPool,
  isFilling,
  nextMember,
  nextPoolWakeAt,
  type PoolEffect,
  type PoolInput,
  stepPool,
} from "../../src/domain/warm-pool.ts";
import { type PoolState, poolViewOf } from "../../src/domain/warm-pool-state.ts";
import { poolSource } from "../fakes/pool-source.ts";

const scope = "repo:acme/shop";
const hourMs = 3_600_000;
const settings = (change: Partial<SessionSettings> = {}): SessionSettings => ({
  ...defaultSessionSettings,
  poolSize: 2,
  ...change,
});

function createPool() {
  let state: PoolState = emptyPool;
  let now = 100 * hourMs;
  let serial = 0;
  const pool = {
    state: () => state,
    now: () => now,
    hour: (at = now) => localHour(at, state.settings.poolTimeZone),
    do(input: PoolInput): PoolEffect[] {
      const step = stepPool(state, input, now, () => `ses_${++serial}`);
      state = step.state;
      return step.effects;
    },
    set: (change: Partial<SessionSettings> = {}) =>
      pool.do({ type: "settings", scope, settings: settings(change), hour: localHour(now, change.poolTimeZone ?? "UTC") }),
    source: (imageId: string | null) =>
      pool.do({ type: "source", ask: state.ask, source: imageId === null ? { cold: "images_disabled" } : poolSource(imageId) }),
    pass(ms: number) {
      now += ms;
      return pool.do({ type: "clock", hour: pool.hour() });
    },
    take(branch = "main") {
      const id = nextMember(state, branch);
      if (id !== null) pool.do({ type: "take", id });
      return id;
    },
    at: (status: string) => state.members.filter((one) => one.at === status).map((one) => one.id),
    view: () => poolViewOf(state, isFilling(state)),
  };
  return pool;
}
const named = (effects: PoolEffect[], type: PoolEffect["type"]) =>
  effects.flatMap((one) => (one.type === type && "id" in one ? [one.id] : []));

it("[WP1] a pool is filled to its size from the active image, and refilled when a member is taken", () => {
  const pool = createPool();
  expect(pool.set().map((one) => one.type)).toEqual(["settings.record", "source.read"]);
  expect(named(pool.source("img_1"), "member.create")).toEqual(["ses_1", "ses_2"]);
  pool.do({ type: "member.ready", id: "ses_2" });
  expect(pool.view()).toMatchObject({ ready: 1, starting: 1, problem: null });
  expect(pool.take(), "a ready one before one that starts").toBe("ses_2");
  expect(pool.at("starting")).toEqual(["ses_1", "ses_3"]);
});

it("[WP2] a member is given away once, and none of another branch", () => {
  const pool = createPool();
  pool.set();
  pool.source("img_1");
  expect(pool.take("feature")).toBeNull();
  const given = [pool.take(), pool.take(), pool.take(), pool.take()];
  expect(new Set(given).size).toBe(4);
  const before = pool.state();
  pool.do({ type: "take", id: given[0] ?? "" });
  expect(pool.state().members, "who has it keeps it").toEqual(before.members);
});

it("[WP2] a member that was given away and not claimed is ended; one that was claimed is the session's own", () => {
  const pool = createPool();
  pool.set();
  pool.source("img_1");
  const [lost, claimed] = [pool.take() ?? "", pool.take() ?? ""];
  pool.do({ type: "member.claimed", id: claimed });
  expect(nextPoolWakeAt(pool.state())).toBe(100 * hourMs + deadlines.poolTakenMs);
  expect(named(pool.pass(deadlines.poolTakenMs), "member.stop")).toEqual([lost]);
  pool.do({ type: "member.stopped", id: lost });
  expect(pool.state().members.map((one) => one.id)).toEqual(["ses_3", "ses_4"]);
});

it("[WP3] another active image drains the pool and refills it, once it is known", () => {
  const pool = createPool();
  pool.set();
  pool.source("img_1");
  pool.do({ type: "member.ready", id: "ses_1" });
  expect(pool.do({ type: "source.changed", scope })).toMatchObject([{ type: "source.read", ask: 2 }]);
  expect(pool.do({ type: "source", ask: 1, source: poolSource("img_old") }), "an answer that comes late").toEqual([]);
  const effects = pool.source("img_2");
  expect(named(effects, "member.stop")).toEqual(["ses_1", "ses_2"]);
  expect(named(effects, "member.create")).toEqual(["ses_3", "ses_4"]);
  expect(nextMember(pool.state(), "main")).toBe("ses_3");
  pool.do({ type: "member.ready", id: "ses_1" });
  expect(pool.at("ending"), "one that ends does not get ready any more").toEqual(["ses_1", "ses_2"]);
});

it("[WP3] without an image, or with the size 0, a pool is drained; the first is said", () => {
  const pool = createPool();
  pool.set();
  pool.source("img_1");
  expect(named(pool.source(null), "member.stop")).toEqual(["ses_1", "ses_2"]);
  expect(pool.view().problem).toContain("switched off");
  pool.source("img_1");
  expect(named(pool.set({ poolSize: 0 }), "member.stop")).toEqual(["ses_3", "ses_4"]);
  expect(pool.view()).toMatchObject({ ready: 0, starting: 0, problem: null });
  expect(pool.do({ type: "source.changed", scope }), "no pool: nothing is looked at").toEqual([]);
  for (const id of ["ses_1", "ses_2", "ses_3", "ses_4"]) pool.do({ type: "member.stopped", id });
  expect(nextPoolWakeAt(pool.state())).toBeNull();
});

it("[WP3] a smaller size ends those that start before those that are ready", () => {
  const pool = createPool();
  pool.set({ poolSize: 3 });
  pool.source("img_1");
  pool.do({ type: "member.ready", id: "ses_2" });
  expect(named(pool.set({ poolSize: 1 }), "member.stop")).toEqual(["ses_1", "ses_3"]);
});

it("[WP4] a pool stands in its hours, by the repository's time zone", () => {
  const pool = createPool();
  const { hour } = localHour(100 * hourMs, "Asia/Kolkata");
  pool.set({ poolHours: [(hour + 1) % 24], poolTimeZone: "Asia/Kolkata" });
  expect(named(pool.source("img_1"), "member.create")).toEqual([]);
  expect(named(pool.source(null), "member.create")).toEqual([]);
  expect(pool.view().problem, "it is to be empty").toBeNull();
  pool.source("img_1");
  const wakeAt = nextPoolWakeAt(pool.state()) ?? 0;
  expect(wakeAt - 100 * hourMs, "Kolkata is half an hour beside UTC").toBe(hourMs / 2);
  expect(named(pool.pass(hourMs / 2), "member.create")).toHaveLength(2);
  expect(named(pool.pass(hourMs), "member.stop")).toHaveLength(2);
});

it("[WP4] an hour of the day is that of the time zone, across its change of time", () => {
  const at = (text: string) => Date.parse(text);
  expect(localHour(at("2026-03-29T00:59:59.500Z"), "Europe/Berlin")).toEqual({ hour: 1, endsAt: at("2026-03-29T01:00:00Z") });
  expect(localHour(at("2026-03-29T01:00:00Z"), "Europe/Berlin").hour, "there is no third hour").toBe(3);
  expect(localHour(at("2026-01-01T00:10:00Z"), "UTC")).toEqual({ hour: 0, endsAt: at("2026-01-01T01:00:00Z") });
  expect([isTimeZone("Europe/Berlin"), isTimeZone("Mars/Base")]).toEqual([true, false]);
  expect(localHour(at("2026-01-01T00:10:00Z"), "Mars/Base").hour).toBe(0);
});

it("[WP5] members are replaced well before the end of their sandbox", () => {
  expect(2 * deadlines.poolMemberMs).toBeLessThanOrEqual(deadlines.sessionLifetimeMs);
  const pool = createPool();
  pool.set();
  pool.source("img_1");
  pool.pass(deadlines.poolMemberMs - 1);
  expect(pool.at("ending")).toEqual([]);
  const effects = pool.pass(1);
  expect(named(effects, "member.stop")).toEqual(["ses_1", "ses_2"]);
  expect(named(effects, "member.create")).toEqual(["ses_3", "ses_4"]);
});

it("[WP6] members that fail are replaced with growing pauses, one at a time, and after a limit not at all", () => {
  const pool = createPool();
  pool.set();
  pool.source("img_1");
  pool.do({ type: "member.ended", id: "ses_1", problem: "The agent did not start." });
  expect(pool.at("starting")).toEqual(["ses_2"]);
  expect(pool.view().problem).toBe("The agent did not start.");
  const pauses: number[] = [];
  while (isFilling(pool.state())) {
    const [failing = "", ...others] = pool.at("starting");
    expect(others, "one at a time shows whether it works again").toEqual([]);
    expect(named(pool.do({ type: "member.ended", id: failing, problem: "Again." }), "member.create")).toEqual([]);
    if (!isFilling(pool.state())) break;
    const pauseMs = (nextPoolWakeAt(pool.state()) ?? 0) - pool.now();
    pauses.push(pauseMs);
    expect(named(pool.pass(pauseMs), "member.create")).toHaveLength(1);
  }
  const first = deadlines.poolRetryFirstMs;
  expect(pauses).toEqual([2 * first, 4 * first, 8 * first]);
  expect(1 + pauses.length + 1).toBe(limits.poolFillTries);
  expect(named(pool.pass(24 * hourMs), "member.create")).toEqual([]);
  expect(pool.view().problem).toContain("save the settings");
  expect(named(pool.set(), "member.create"), "a person tries again").toHaveLength(2);
});

it("[WP6] another image is a new try; a member that gets ready ends the series; one that was asked to end is none", () => {
  const pool = createPool();
  pool.set();
  pool.source("img_1");
  for (const id of ["ses_1", "ses_2"]) pool.do({ type: "member.ended", id, problem: "No." });
  expect(pool.at("starting")).toEqual([]);
  pool.do({ type: "source.changed", scope });
  expect(named(pool.source("img_2"), "member.create")).toHaveLength(2);
  expect(pool.view().problem).toBeNull();
  pool.do({ type: "member.ended", id: "ses_3", problem: "No." });
  pool.do({ type: "member.ready", id: "ses_4" });
  expect(pool.state()).toMatchObject({ failures: 0, problem: null });
  expect(pool.at("starting"), "and it is filled again").toHaveLength(1);
  pool.do({ type: "member.ended", id: "ses_4", problem: null });
  expect(pool.state().failures).toBe(0);
});

it("[WP6] a member whose order was lost is ended all the same", () => {
  const pool = createPool();
  pool.set({ poolSize: 1 });
  pool.source("img_1");
  expect(pool.do({ type: "member.create_failed", id: "ses_1", problem: "No answer." })).toEqual([
    { type: "member.stop", id: "ses_1" },
  ]);
  expect(pool.view()).toMatchObject({ starting: 0, problem: "No answer." });
});
