/** The object's own stores, the redacting log, and the runner on a store that can be looked into. */
import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { expect, it, vi } from "vitest";
import { createImageRows } from "../../src/adapters/d1/image-rows.ts";
import { createLog, redact } from "../../src/adapters/log.ts";
import { createEffectStore, type EffectStore } from "../../src/adapters/sqlite/effect-store.ts";
import { createLogStore } from "../../src/adapters/sqlite/log-store.ts";
import { createRunner, type Performed } from "../../src/objects/runner.ts";
import { createMemoryEffectStore } from "../fakes/memory-effect-store.ts";
import { storedImage } from "../fakes/stored-image.ts";
import { imageObject } from "./harness.ts";

const inObject = <T>(work: (storage: DurableObjectStorage) => T): Promise<T> =>
  runInDurableObject(imageObject("repo:stores/test"), (_, ctx) => work(ctx.storage));

type Store = EffectStore<{ n: number }, string>;
const stores: Record<string, (work: (store: Store) => void) => Promise<void> | void> = {
  memory: (work) => work(createMemoryEffectStore()),
  sqlite: (work) =>
    inObject((storage) =>
      work(createEffectStore(storage, { state: (json) => JSON.parse(json), effect: (json) => JSON.parse(json) })),
    ),
};

for (const [name, withStore] of Object.entries(stores)) {
  it(`[FX8] the ${name} store: heads of lanes in order, replacement by key, forgetting by number`, async () => {
    await withStore((store) => {
      expect(store.loadState()).toBeNull();
      store.saveState({ n: 1 });
      expect(store.loadState()).toEqual({ n: 1 });
      store.owe({ key: "a", lane: "one", effect: "a1", dueAt: 5 });
      store.owe({ key: "b", lane: "one", effect: "b1", dueAt: 1 });
      store.owe({ key: "c", lane: "two", effect: "c1", dueAt: 9 });
      expect(store.lanes().map((row) => [row.key, row.lane, row.effect, row.dueAt, row.tries])).toEqual([
        ["a", "one", "a1", 5, 0],
        ["c", "two", "c1", 9, 0],
      ]);
      const [older] = store.lanes();
      if (!older) throw new Error("no row");
      store.postpone(older, 20);
      expect(store.lanes()[0]).toMatchObject({ dueAt: 20, tries: 1 });
      store.owe({ key: "a", lane: "one", effect: "a2", dueAt: 6 });
      store.forget(older);
      expect(
        store.lanes().map((row) => row.effect),
        "the newer one stays",
      ).toEqual(["b1", "c1"]);
      const [b] = store.lanes();
      if (b) store.forget(b);
      expect(store.lanes().find((row) => row.lane === "one")).toMatchObject({ effect: "a2", tries: 0 });
      expect(store.isOwed("two")).toBe(true);
      expect(store.isOwed("three")).toBe(false);
    });
  });

  it(`[FX1] the ${name} store: a transaction that throws leaves nothing`, async () => {
    await withStore((store) => {
      store.saveState({ n: 1 });
      const half = () =>
        store.transaction(() => {
          store.saveState({ n: 2 });
          store.owe({ key: "a", lane: "one", effect: "a", dueAt: 0 });
          throw new Error("crash");
        });
      expect(half).toThrow("crash");
      expect(store.loadState()).toEqual({ n: 1 });
      expect(store.isOwed("one")).toBe(false);
    });
  });
}

function createCounter(perform: (effect: string) => Promise<Performed<string>>, tries: number | null = 3, limitMs = 5_000) {
  const store = createMemoryEffectStore<string[], string>();
  let now = 0;
  let alarmAt: number | null = null;
  const boot = () =>
    createRunner<string[], string, string>({
      step(state, input) {
        if (input === "clock" && state.includes("broken")) throw new Error("a bug");
        return { state: [...state, input], effects: input.startsWith("owe ") ? [input.slice(4)] : [] };
      },
      initial: [],
      store,
      address: (effect) => ({ key: effect, lane: effect[0] ?? "", delayMs: 0 }),
      policy: () => ({ tries, firstPauseMs: 100, maxPauseMs: 1_000, limitMs }),
      isWanted: (_, effect) => !effect.includes("unwanted"),
      perform,
      derive: () => [],
      nextWakeAt: () => null,
      clock: () => "clock",
      setAlarm: (at) => {
        alarmAt = at;
      },
      background: () => {},
      now: () => now,
      log: { info() {}, warn() {}, error() {} },
    });
  return { boot, store, alarmAt: () => alarmAt, pass: (ms: number) => (now += ms) };
}
const turn = () => new Promise((resolve) => setTimeout(resolve, 1));

/** Up to a quarter is taken off, a share of its own for each effect. */
function expectPause(alarmAt: number | null, from: number, pauseMs: number): void {
  expect(alarmAt).toBeGreaterThanOrEqual(from + 0.75 * pauseMs);
  expect(alarmAt).toBeLessThanOrEqual(from + pauseMs);
}

it("[FX3] lanes do not wait for each other, effects of one lane do", async () => {
  const begun: string[] = [];
  const ends = new Map<string, () => void>();
  const { boot } = createCounter((effect) => {
    begun.push(effect);
    return new Promise((resolve) => ends.set(effect, () => resolve({ done: null })));
  });
  const runner = boot();
  for (const effect of ["a1", "a2", "b1"]) runner.dispatch(`owe ${effect}`);
  expect(begun).toEqual(["a1", "b1"]);
  ends.get("a1")?.();
  await turn();
  expect(begun).toEqual(["a1", "b1", "a2"]);
});

it("[FX5] failures are tried again with growing pauses up to their tries, then come back as an input", async () => {
  const performed: string[] = [];
  const { boot, alarmAt, pass } = createCounter(async (effect) => {
    performed.push(effect);
    return { retry: "gave up", cause: "x" };
  });
  const runner = boot();
  runner.dispatch("owe a");
  await turn();
  expectPause(alarmAt(), 0, 100);
  pass(100);
  runner.wake();
  await turn();
  expectPause(alarmAt(), 100, 200);
  pass(200);
  runner.wake();
  await turn();
  expect(performed).toHaveLength(3);
  expect(runner.state().at(-1)).toBe("gave up");
  expect(alarmAt()).toBeNull();
});

it("[FX2] [FX7] an effect under way in a process that died is performed again by the next one", async () => {
  let performed = 0;
  const { boot, alarmAt, store } = createCounter(() => {
    performed += 1;
    return new Promise(() => {});
  });
  boot().dispatch("owe a");
  expect(alarmAt()).toBe(5_000);
  boot().wake();
  expect(performed).toBe(2);
  expect(store.isOwed("a")).toBe(true);
});

it("[FX2] [FX9] the next life performs what is owed and due when it begins, and leaves a pause between tries alone", async () => {
  const performed: string[] = [];
  const { boot, alarmAt, pass } = createCounter((effect) => {
    performed.push(effect);
    return effect === "a" ? new Promise(() => {}) : Promise.resolve({ retry: null, cause: "x" });
  });
  const first = boot();
  first.dispatch("owe a");
  first.dispatch("owe b");
  await turn();
  expect(performed).toEqual(["a", "b"]);
  pass(50);
  boot().resume();
  expect(performed).toEqual(["a", "b", "a"]);
  expectPause(alarmAt(), 0, 100);
});

it("[FX7] [FX9] a long attempt does not put the alarm off to its limit, and is not performed twice by one life", async () => {
  let performed = 0;
  const perform = () => {
    performed += 1;
    return new Promise<Performed<string>>(() => {});
  };
  const { boot, alarmAt, pass } = createCounter(perform, 3, 90_000);
  const runner = boot();
  runner.dispatch("owe a");
  expect(alarmAt()).toBe(10_000);
  pass(10_000);
  runner.wake();
  expect(performed).toBe(1);
  expect(alarmAt()).toBe(20_000);
  pass(75_000);
  runner.wake();
  expect(alarmAt(), "the end of its longest time comes first").toBe(90_000);
});

it("[FX6] what serves nothing any more is dropped, and what throws is tried again", async () => {
  let performed = 0;
  const { boot, store } = createCounter(async () => {
    performed += 1;
    throw new Error("a bug");
  }, null);
  const runner = boot();
  runner.dispatch("owe x unwanted");
  await turn();
  expect(performed).toBe(0);
  expect(store.isOwed("x")).toBe(false);
  runner.dispatch("owe a");
  await turn();
  expect(performed).toBe(1);
  expect(store.rows()[0]).toMatchObject({ tries: 1 });
});

it("[FX2] a bug that throws at the alarm or when the object wakes leaves another alarm behind", async () => {
  const { boot, alarmAt } = createCounter(async () => ({ done: null }));
  const runner = boot();
  runner.dispatch("broken");
  expect(alarmAt()).toBeNull();
  runner.wake();
  expect(alarmAt()).toBe(60_000);
});

it("[FX4] an effect that is owed again while it is performed is performed again", async () => {
  const ends: (() => void)[] = [];
  const { boot, store } = createCounter(() => new Promise((resolve) => ends.push(() => resolve({ done: null }))));
  const runner = boot();
  runner.dispatch("owe a");
  runner.dispatch("owe a");
  ends[0]?.();
  await turn();
  expect(ends).toHaveLength(2);
  expect(store.isOwed("a")).toBe(true);
  ends[1]?.();
  await turn();
  expect(store.isOwed("a")).toBe(false);
});

const line = (text: string) => ({ at: 1, phase: "setup", stream: "stdout", text }) as const;

it("[LG1] a log keeps beginning and end, and says how much is missing in between", async () => {
  await inObject((storage) => {
    const open = () => createLogStore(storage.sql, { headBytes: 1_000, tailBytes: 2_000 });
    let logs = open();
    for (let index = 0; index < 100; index++) {
      logs.append("b", line(`${String(index).padStart(3, "0")}${"x".repeat(96)}\n`));
      if (index === 50) logs = open();
    }
    const { entries, end } = logs.read("b", 0, 1_000_000);
    expect(end).toBe(true);
    const gap = entries.findIndex((entry) => entry.stream === "gap");
    expect(gap).toBe(10);
    const kept = entries.filter((entry) => entry.stream !== "gap").reduce((sum, entry) => sum + entry.text.length, 0);
    expect(kept).toBeLessThanOrEqual(3_200);
    expect(entries[gap]?.text).toContain(String(10_000 - kept));
    expect(entries.at(-1)?.text.startsWith("099")).toBe(true);
    expect(entries.map((entry) => entry.seq)).toEqual([...entries.map((entry) => entry.seq)].sort((a, b) => a - b));
  });
});

it("[LG1] a gap counts bytes, also those that a gap of the sandbox stood for, and across a restart", async () => {
  await inObject((storage) => {
    const open = () => createLogStore(storage.sql, { headBytes: 100, tailBytes: 300 });
    let logs = open();
    const parts = Array.from({ length: 40 }, (_, index) => `${String(index).padStart(2, "0")} ${"ä".repeat(10)}\n`);
    let printed = 0;
    for (const [index, text] of parts.entries()) {
      logs.append("b", line(text));
      printed += new TextEncoder().encode(text).byteLength;
      if (index === 15) {
        logs.append("b", { ...line("5000 bytes of output left out"), stream: "gap" });
        printed += 5_000;
      }
      if (index % 9 === 0) logs = open();
    }
    const { entries } = logs.read("b", 0, 1_000_000);
    const gaps = entries.filter(({ stream }) => stream === "gap");
    const kept = entries.filter(({ stream }) => stream === "stdout").map(({ text }) => text);
    const gapAt = entries.findIndex(({ stream }) => stream === "gap");
    expect(gaps).toHaveLength(1);
    expect(Number.parseInt(gaps[0]?.text ?? "", 10)).toBe(printed - new TextEncoder().encode(kept.join("")).byteLength);
    expect(new TextEncoder().encode(kept.join("")).byteLength).toBeLessThanOrEqual(100 + 300 + 24);
    const [before, after] = [kept.slice(0, gapAt), kept.slice(gapAt)];
    expect(before).toEqual(parts.slice(0, before.length));
    expect(after).toEqual(parts.slice(-after.length));
  });
});

it("[LG1] a gap is between whole lines, however the output was cut into entries", async () => {
  await inObject((storage) => {
    const logs = createLogStore(storage.sql, { headBytes: 1_000, tailBytes: 2_000 });
    const text = Array.from({ length: 2_000 }, (_, index) => `line ${index}\n`).join("");
    // Four of five entries end within a line.
    for (let at = 0; at < text.length; ) {
      const next = at % 5 === 0 ? text.indexOf("\n", at) + 1 : Math.min(at + 37, text.length);
      logs.append("b", line(text.slice(at, next)));
      at = next;
    }
    const { entries } = logs.read("b", 0, 1_000_000);
    const shown = entries.map(({ stream, text: piece }) => (stream === "gap" ? "GAP\n" : piece)).join("");
    const numbers = shown.trim().split("\n");
    const gapAt = numbers.indexOf("GAP");
    expect(gapAt).toBeGreaterThan(0);
    for (const [index, one] of numbers.entries()) {
      if (index === gapAt) continue;
      const expected = index < gapAt ? index : 2_000 - numbers.length + index;
      expect(one).toBe(`line ${expected}`);
    }
    expect(shown.length).toBeLessThanOrEqual(1_000 + 2_000 + 2 * 500);
  });
});

it("[LG2] reading on from a cursor neither leaves out nor repeats, and pages end", async () => {
  await inObject((storage) => {
    const logs = createLogStore(storage.sql, { headBytes: 1_000_000, tailBytes: 1_000_000 });
    for (let index = 0; index < 50; index++) logs.append("b", line(`${index}\n`));
    logs.append("other", line("not mine\n"));
    const seen: string[] = [];
    for (let cursor = 0, end = false; !end; ) {
      const page = logs.read("b", cursor, 20);
      seen.push(...page.entries.map((entry) => entry.text.trim()));
      ({ next: cursor, end } = page);
    }
    expect(seen).toEqual(Array.from({ length: 50 }, (_, index) => String(index)));
    expect(logs.lastLines("b").at(-1)).toBe("49");
    logs.keepNewest(1);
    expect(logs.read("b", 0, 1_000).entries).toEqual([]);
    expect(logs.read("other", 0, 1_000).entries).toHaveLength(1);
  });
});

it("[LG1] last lines are plain: colours and overwritten progress removed", async () => {
  await inObject((storage) => {
    const logs = createLogStore(storage.sql, { headBytes: 10_000, tailBytes: 10_000 });
    logs.append("b", line("\u001b[32mok\u001b[0m\nprogress 1%\rprogress 99%\rdone\n\nlast"));
    expect(logs.lastLines("b")).toEqual(["ok", "done", "last"]);
  });
});

it("[LG3] log lines carry no credential", () => {
  const lines: string[] = [];
  const spy = vi.spyOn(console, "error").mockImplementation((text: string) => void lines.push(text));
  createLog().error("x", {
    authorization: "Bearer abc",
    apiKey: "abc",
    error: new Error("cannot fetch https://x-access-token:ghs_0123456789abcdef@github.com/a with ghs_0123456789abcdef"),
    fine: "visible",
  });
  spy.mockRestore();
  expect(lines[0]).not.toMatch(/abc|ghs_/);
  expect(lines[0]).toContain("visible");
  expect(redact(`ses_${"0".repeat(26)}.${"a".repeat(32)}.${"b".repeat(64)}`)).toBe("[redacted]");
});

it("[IB4] the rows of a scope: order and pin guard the switch, a bar fences what arrives late, a pin serves until it ends", async () => {
  const rows = createImageRows(env.DB, "repo:acme/rows");
  const image = (id: string, order: number) => storedImage({ id, order, providerImageId: `im-${id}` });
  const active = async () =>
    (
      await env.DB.prepare("SELECT active_image_id AS id FROM image_scopes WHERE scope = 'repo:acme/rows'").first<{
        id: string | null;
      }>()
    )?.id;
  expect(await rows.activate(image("img_2", 2), 2, true), "the first, before the switch's own row").toBe(true);
  expect(await rows.activate(image("img_1", 1), 1, true), "an older one").toBe(false);
  expect(await rows.activate(image("img_2", 2), 2, true), "the same again").toBe(true);
  await rows.bar(4);
  expect(await active()).toBeNull();
  expect(await rows.activate(image("img_4", 4), 4, true), "of a build that the bar was set for").toBe(false);
  await rows.serve("img_2");
  expect(await active()).toBe("img_2");
  const pin = { imageId: "img_1", reason: "r", by: "dev", at: 1, until: null };
  await rows.pin(pin, 5);
  expect(await active()).toBe("img_1");
  expect(await rows.activate(image("img_6", 6), 6, true), "while another is pinned").toBe(false);
  await rows.unpin();
  expect(await rows.activate(image("img_5", 5), 5, true), "of before the pin").toBe(false);
  expect(await rows.activate(image("img_6", 6), 6, true)).toBe(true);
  expect(await rows.activate(image("img_7", 7), 7, false), "kept, not active").toBe(false);
  expect(await active()).toBe("img_6");
  expect(await rows.runningSessions("img_6")).toBe(0);
});
