/** Random lives of a warm pool with the real runner: crashes between effects, lost and late answers, sessions that come, images that change. */
import { defaultSessionSettings } from "@open-inspect/protocol";
import { expect, it } from "vitest";
import { localHour } from "../../src/domain/local-hour.ts";
import {
  emptyPool,
  isPoolEffectWanted,
  nextMember,
  nextPoolWakeAt,
  type PoolEffect,
  type PoolInput,
  stepPool,
  targetOf,
} from "../../src/domain/warm-pool.ts";
import { type PoolState } from "../../src/domain/warm-pool-state.ts";
import { poolAddress, poolPolicy } from "../../src/objects/pool-effects.ts";
import { createMachineWorld } from "../fakes/machine-world.ts";
import { poolSource } from "../fakes/pool-source.ts";
import { createRandom } from "../fakes/random.ts";

const scope = "repo:acme/shop";

/** A member's session as it is on its own side, whatever the pool knows of it. */
interface Session {
  imageId: string;
  status: "starting" | "ready" | "ended";
  claimed: boolean;
  /** what it tells the pool and has not been able to */
  owes: PoolInput[];
}

async function runSeed(seed: number): Promise<string[]> {
  const random = createRandom(seed);
  const sessions = new Map<string, Session>();
  const given = new Set<string>();
  let activeImage: string | null = "img_1";
  let serial = 0;
  const seen: string[] = [];

  const machine: ReturnType<typeof createMachineWorld<PoolState, PoolInput, PoolEffect>> = createMachineWorld(
    random,
    {
      step: (state, input, now) => stepPool(state, input, now, () => `ses_${++serial}`),
      initial: emptyPool,
      address: poolAddress,
      policy: poolPolicy,
      isWanted: isPoolEffectWanted,
      derive: () => [],
      nextWakeAt: nextPoolWakeAt,
      clock: (state) => ({ type: "clock", hour: localHour(machine.now(), state.settings.poolTimeZone) }),
    },
    (effect) => {
      switch (effect.type) {
        case "member.create":
          if (!sessions.has(effect.id)) {
            sessions.set(effect.id, { imageId: effect.source.image.id, status: "starting", claimed: false, owes: [] });
          }
          return { done: null };
        case "member.stop": {
          const session = sessions.get(effect.id);
          // What was never made is never made any more.
          if (!session) sessions.set(effect.id, { imageId: "", status: "ended", claimed: false, owes: [] });
          else if (!session.claimed) session.status = "ended";
          return { done: { type: "member.stopped", id: effect.id } };
        }
        case "source.read":
          return {
            done: { type: "source", ask: effect.ask, source: activeImage ? poolSource(activeImage) : { cold: "no_image_yet" } },
          };
        case "settings.record":
          return { done: null };
      }
    },
  );

  const setSettings = async (poolSize: number) => {
    const hour = localHour(machine.now(), "UTC");
    const poolHours = random.chance(0.8) ? [] : [hour.hour, (hour.hour + 2) % 24];
    await machine.input({ type: "settings", scope, settings: { ...defaultSessionSettings, poolSize, poolHours }, hour });
  };
  const changeImage = async (imageId: string | null) => {
    activeImage = imageId;
    await machine.input({ type: "source.changed", scope });
  };
  const deliver = async () => {
    for (const session of sessions.values()) for (const input of session.owes.splice(0)) await machine.input(input);
  };
  const check = (when: string) => {
    const state = machine.state();
    const free = state.members.filter((one) => one.at === "starting" || one.at === "ready");
    expect(free.length, `seed ${seed}, ${when}: more than the target`).toBeLessThanOrEqual(targetOf(state));
    const ids = new Set(state.members.map((one) => one.id));
    const owed = [...machine.store.rows().map((row) => row.effect), ...machine.pendingEffects()];
    for (const [id, session] of sessions) {
      if (session.status === "ended" || session.claimed) continue;
      const willEnd = owed.some((one) => one.type === "member.stop" && one.id === id);
      expect(ids.has(id) || willEnd, `seed ${seed}, ${when}: ${id} belongs to nobody`).toBe(true);
    }
    if (free.length > 0) expect(machine.alarmAt(), `seed ${seed}, ${when}: members without an alarm`).not.toBeNull();
  };

  await setSettings(random.pick([1, 2, 5]) ?? 1);
  for (let action = 0; action < 60; action++) {
    const dice = random.next();
    const [id, session] = random.pick([...sessions].filter(([, one]) => one.status !== "ended")) ?? [];
    if (dice < 0.35) await machine.perform();
    else if (dice < 0.5 && id && session?.status === "starting") {
      session.status = "ready";
      session.owes.push({ type: "member.ready", id });
    } else if (dice < 0.56 && id && session && !session.claimed) {
      session.status = "ended";
      session.owes.push({ type: "member.ended", id, problem: "fuzz" });
    } else if (dice < 0.68) {
      const taken = nextMember(machine.state(), "main");
      if (taken !== null) {
        await machine.input({ type: "take", id: taken });
        expect(given.has(taken), `seed ${seed}: ${taken} is given twice`).toBe(false);
        given.add(taken);
        seen.push("taken");
        const mine = sessions.get(taken);
        // Whoever took it may die before the claim, and the claim may find it ended.
        if (mine && mine.status !== "ended" && random.chance(0.7)) {
          mine.claimed = true;
          mine.owes.push({ type: "member.claimed", id: taken });
        }
      }
    } else if (dice < 0.72) await changeImage(random.pick(["img_1", "img_2", "img_3", null]) ?? null);
    else if (dice < 0.75) await setSettings(random.pick([0, 1, 3, 5]) ?? 0);
    else if (dice < 0.8) await machine.crash();
    else if (dice < 0.9) await deliver();
    else await machine.pass(random.pick([10, 5_000, 31_000, 600_000, 3_600_000]) ?? 10);
    check(`action ${action}`);
  }

  const rested = () => machine.state().members.every((one) => one.at === "starting" || one.at === "ready");
  await deliver();
  await changeImage("img_9");
  await setSettings(2);
  expect(await machine.settle(rested), `seed ${seed}: the pool never comes to rest`).toBe(true);
  const alive = [...sessions].filter(([, one]) => one.status !== "ended" && !one.claimed);
  const members = machine.state().members.filter((one) => one.at === "starting" || one.at === "ready");
  expect(new Set(alive.map(([id]) => id)), `seed ${seed}: a member without an owner`).toEqual(
    new Set(members.map((one) => one.id)),
  );
  expect(
    alive.every(([, one]) => one.imageId === "img_9"),
    `seed ${seed}: a member of an old image`,
  ).toBe(true);
  expect(members.length, `seed ${seed}: the pool is not full`).toBe(targetOf(machine.state()));
  await setSettings(0);
  expect(await machine.settle(() => machine.state().members.length === 0), `seed ${seed}: it cannot be emptied`).toBe(true);
  expect(
    [...sessions.values()].filter((one) => one.status !== "ended" && !one.claimed),
    `seed ${seed}: left`,
  ).toEqual([]);
  return seen;
}

it("[WP7] whatever happens, no member is given twice, none is without an owner, and there are never more than wanted", async () => {
  let taken = 0;
  for (let seed = 1; seed <= 400; seed++) taken += (await runSeed(seed)).length;
  expect(taken, "the runs give members away").toBeGreaterThan(200);
}, 30_000);
