/** The object that gives slots away, with image objects behind it. Two builds may run at once in these tests. */
import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { type BuildView, type ImageState } from "@open-inspect/protocol";
import { expect, it, vi } from "vitest";
import { createSlotStore } from "../../src/adapters/sqlite/slot-store.ts";
import { chooseNext } from "../../src/domain/build-slots.ts";
import { createRandom } from "../fakes/random.ts";
import { connectRuntime, eventually, github, json, playWholeBuild, someSha, startedSandbox } from "./harness.ts";

const slots = () => env.BUILD_SLOTS.getByName("slots");

async function switchOn(name: string): Promise<BuildView> {
  const { body } = await json<ImageState>("PUT", `/api/repositories/acme/${name}/image`, { enabled: true });
  if (!body.latestBuild) throw new Error(`no build of ${name}`);
  return body.latestBuild;
}
const buildOf = async (id: string) => (await json<BuildView>("GET", `/api/builds/${id}`)).body;

it("[BS1] [BS3] a build waits while all slots are taken, begins when one is free, and gives its own back", async () => {
  const repositories = ["a", "b", "c"].map((name) => ({
    owner: "acme",
    name,
    defaultBranch: "main",
    branches: { main: someSha("a") },
  }));
  await github({ do: "repositories", repositories });
  await json("GET", "/api/repositories");
  const [first, second, third] = [await switchOn("a"), await switchOn("b"), await switchOn("c")];
  const running = await connectRuntime((await startedSandbox(first.id)).config);
  await startedSandbox(second.id);
  expect(await slots().counts()).toEqual({ running: 2, waiting: 1 });
  expect(await buildOf(third.id)).toMatchObject({ status: "queued", startedAt: null });
  await playWholeBuild(running);
  await startedSandbox(third.id);
  expect(await slots().counts()).toEqual({ running: 2, waiting: 0 });
  for (const name of ["b", "c"]) await json("PUT", `/api/repositories/acme/${name}/image`, { enabled: false });
  await eventually(async () => (await slots().counts()).running === 0, "cancelled builds give theirs back");
  await slots().release(first.id);
  expect(await slots().counts()).toEqual({ running: 0, waiting: 0 });
});

it("[BS3] a slot that nobody wants any more goes on to the next", async () => {
  for (const one of ["1", "2", "3"]) {
    await slots().request({ buildId: `bld_${one}`, scope: "repo:acme/other", owner: "acme", trigger: "push" });
  }
  await eventually(async () => {
    const { running, waiting } = await slots().counts();
    return running + waiting === 0;
  }, "all are given back");
});

it("[BS2] whatever is asked and given back in whatever order, no build gets a slot before one that goes first", async () => {
  await runInDurableObject(env.BUILD_SLOTS.getByName("of this test"), (_, { storage }) => {
    const random = createRandom(7);
    const any = (below: number) => Math.floor(random.next() * below);
    const store = createSlotStore(storage.sql);
    const caps = { total: 6, perOwner: 3 };
    const asked = new Map<string, { owner: string; rank: number; dueAt: number; serial: number }>();
    const running = new Map<string, string>();
    const many = (owner: string) => [...running.values()].filter((one) => one === owner).length;
    let [serial, given] = [0, 0];
    for (let now = 0; now < 400; now++) {
      for (let count = any(3); count > 0; count--) {
        const one = { owner: `o${any(4)}`, rank: any(4), dueAt: now + any(60), serial: ++serial };
        const buildId = `bld_${serial}`;
        asked.set(buildId, one);
        store.add({ buildId, scope: `repo:${one.owner}/r`, owner: one.owner, rank: one.rank, notBefore: one.dueAt });
      }
      for (const buildId of [...running.keys()].slice(0, any(3))) {
        running.delete(buildId);
        store.remove(buildId);
      }
      for (let next = chooseNext(store.firsts(now), store.running(), caps); next; ) {
        const able = [...asked].filter(([, one]) => one.dueAt <= now && many(one.owner) < caps.perOwner);
        const [best] = able.sort(
          ([, a], [, b]) => many(a.owner) - many(b.owner) || a.rank - b.rank || a.dueAt - b.dueAt || a.serial - b.serial,
        );
        expect(next.buildId).toBe(best?.[0]);
        store.grant(next.buildId, now);
        running.set(next.buildId, next.owner);
        asked.delete(next.buildId);
        given += 1;
        next = chooseNext(store.firsts(now), store.running(), caps);
      }
    }
    expect(given).toBeGreaterThan(300);
  });
});

it("[BS5] who waits since when, who gets a slot and who gives it back are lines of the log, once each", async () => {
  const lines: Record<string, unknown>[] = [];
  const spy = vi.spyOn(console, "log").mockImplementation((line: string) => void lines.push(JSON.parse(line)));
  const told = (event: string) => lines.filter((line) => line.event === event && line.buildId === "bld_told");
  try {
    const stub = env.BUILD_SLOTS.getByName("another of this test");
    await stub.request({ buildId: "bld_told", scope: "repo:acme/nobody", owner: "acme", trigger: "push" });
    await eventually(async () => told("slot.freed").length > 0, "it is given back");
    await stub.release("bld_told");
  } finally {
    spy.mockRestore();
  }
  expect(told("slot.asked")).toEqual([expect.objectContaining({ owner: "acme", rank: 1, dueAt: expect.any(Number), serial: 1 })]);
  expect(told("slot.granted")).toEqual([expect.objectContaining({ at: expect.any(Number), waitedMs: expect.any(Number) })]);
  expect(told("slot.freed")).toHaveLength(1);
});
