/** Random lives of an image scope: crashes between effects, lost and repeated answers, any input at any time. */
import { type Failure, type RuntimeEvent } from "@open-inspect/protocol";
import { expect, it } from "vitest";
import { activeImage, stepImage } from "../../src/domain/image-build.ts";
import { type ImageInput, isImageEffectWanted, nextImageWakeAt } from "../../src/domain/image-messages.ts";
import { deriveImageRecords } from "../../src/domain/image-records.ts";
import { emptyScope, type ScopeState, type Target } from "../../src/domain/image-scope-state.ts";
import { imageAddress, imagePolicy, type OwedImageEffect } from "../../src/objects/image-effects.ts";
import { createMachineWorld, performOnSandboxes, running, type World } from "../fakes/machine-world.ts";
import { createRandom, type Random } from "../fakes/random.ts";

const target: Target = {
  owner: "acme",
  name: "shop",
  branch: "main",
  private: false,
  cloneUrl: "http://github.test/a",
  installationId: 1,
};
const someSha = (random: Random) => (random.pick(["a", "b", "c"]) ?? "a").repeat(40);

/** the rows of D1 that the invariants speak of */
interface Database {
  active: { imageId: string; order: number } | null;
  enabled: boolean;
  statuses: Map<string, string>;
  ended: Set<string>;
}

function createScope(random: Random) {
  const database: Database = { active: null, enabled: false, statuses: new Map(), ended: new Set() };
  const machine = createMachineWorld<ScopeState, ImageInput, OwedImageEffect>(
    random,
    {
      step: stepImage,
      initial: emptyScope,
      address: imageAddress,
      policy: imagePolicy,
      isWanted: (state, effect) =>
        effect.type === "record.scope" ||
        effect.type === "record.build" ||
        effect.type === "publish" ||
        isImageEffectWanted(state, effect),
      derive: deriveImageRecords,
      nextWakeAt: (state) => nextImageWakeAt(state, null),
      clock: () => ({ type: "clock", heardAt: null, lastLines: ["last line"] }),
    },
    (effect, world) => {
      switch (effect.type) {
        case "record.scope":
          database.enabled = effect.row.enabled;
          return { done: null };
        case "record.build":
          if (!database.ended.has(effect.build.id)) database.statuses.set(effect.build.id, effect.build.status);
          if (effect.build.finishedAt !== null) database.ended.add(effect.build.id);
          return { done: null };
        case "publish":
          return { done: null };
        case "image.activate": {
          const { image, order } = effect;
          const newest = !database.active || database.active.order < order || database.active.imageId === image.id;
          const activated = database.enabled && newest;
          if (activated) database.active = { imageId: image.id, order };
          return { done: { type: "image.activated", imageId: image.id, activated } };
        }
        case "image.retire":
          if (database.active?.imageId === effect.imageId) database.active = null;
          return { done: null };
        case "image.delete":
          world.images.delete(effect.providerImageId);
          return { done: null };
        case "snapshot": {
          const sandbox = world.sandboxes.get(effect.sandboxId);
          const { attempt } = effect;
          if (sandbox?.running && sandbox.image === null) {
            sandbox.image = `im-${++world.serial}`;
            world.images.add(sandbox.image);
          }
          if (sandbox?.image) return { done: { type: "snapshot.taken", attempt, providerImageId: sandbox.image, durationMs: 1 } };
          const failure = { kind: "not_found", code: "gone", message: "gone", hint: "" } as const;
          return { done: { type: "snapshot.failed", attempt, failure } };
        }
        default: {
          const outcome = performOnSandboxes(effect, world);
          if (!("done" in outcome)) throw new Error("the fuzz world always answers");
          return { done: outcome.done?.type === "sandbox.ended" ? null : outcome.done };
        }
      }
    },
  );
  return { machine, database };
}

function randomInput(random: Random, state: ScopeState, past: ImageInput[]): ImageInput | null {
  const plan = { buildId: `bld_${random.hex(8)}`, imageId: `img_${random.hex(8)}`, attempt: random.hex(32), limitMs: 600_000 };
  const attempt = random.chance(0.9) ? (state.live?.attempt ?? "none") : random.hex(32);
  const event = (one: RuntimeEvent): ImageInput => ({ type: "runtime.event", attempt, event: one });
  const failure = { code: "setup_failed", message: "m", hint: "h", phase: "setup", lines: [], exitCode: 1 } satisfies Failure;
  const choices: (() => ImageInput | null)[] = [
    () => ({ type: "switch.on", target, plan }),
    () => ({ type: "switch.on", target, plan }),
    () => (random.chance(0.3) ? { type: "switch.off" } : null),
    () => ({
      type: "trigger",
      trigger: random.pick(["refresh", "push"] as const) ?? "push",
      target,
      plan,
      sha: random.chance(0.5) ? someSha(random) : null,
    }),
    () => ({ type: "head", head: random.chance(0.8) ? { branch: "main", sha: someSha(random) } : null, plan }),
    () => ({ type: "runtime.connected", attempt, runtimeVersion: "r1", protocol: random.chance(0.95) ? 1 : 2 }),
    () => ({ type: "runtime.connected", attempt, runtimeVersion: "r1", protocol: 1 }),
    () => event({ type: "phase.started", phase: "clone" }),
    () => event({ type: "workspace.synced", sha: someSha(random), bakedSha: null }),
    () => event({ type: "build.finished", sha: someSha(random), setupRan: true }),
    () => event({ type: "build.finished", sha: someSha(random), setupRan: true }),
    () => (random.chance(0.3) ? event({ type: "failed", failure }) : null),
    () => ({ type: "bridge.closed", attempt }),
    () => (state.images[0] && random.chance(0.2) ? { type: "image.missing", imageId: state.images[0].id, plan } : null),
    () => random.pick(past) ?? null,
  ];
  return random.pick(choices)?.() ?? null;
}

const imageOf = (world: World, sandboxId: string): string => {
  const image = world.sandboxes.get(sandboxId)?.image;
  return image ?? "";
};

const isOwned = (state: ScopeState, world: World, sandboxId: string): boolean =>
  state.images.some((image) => image.providerImageId === imageOf(world, sandboxId));

async function runSeed(seed: number): Promise<string[]> {
  const random = createRandom(seed);
  const { machine, database } = createScope(random);
  const past: ImageInput[] = [];
  const check = (when: string) => {
    const state = machine.state();
    const where = `seed ${seed}, ${when}`;
    const owed = [...machine.store.rows().map((row) => row.effect), ...machine.pendingEffects()];
    if (state.live) {
      const { attempt } = state.live;
      const waits = nextImageWakeAt(state, null) !== null || owed.some((one) => one.type === "image.activate");
      expect(waits, `${where}: a live build that nothing will wake`).toBe(true);
      expect(machine.alarmAt(), `${where}: a live build without an alarm`).not.toBeNull();
      expect(state.enabled, `${where}: a build of a disabled scope`).toBe(true);
      expect(state.last?.attempt, `${where}: a build lives after its end`).not.toBe(attempt);
    } else {
      expect(state.next, `${where}: a remembered build that nothing begins`).toBeNull();
    }
    for (const sandbox of running(machine.world)) {
      const ended = owed.some(
        (one) =>
          "attempt" in one &&
          one.attempt === sandbox.attempt &&
          ["sandbox.terminate", "sandbox.sweep", "sandbox.create"].includes(one.type),
      );
      expect(sandbox.attempt === state.live?.attempt || ended, `${where}: sandbox ${sandbox.id} belongs to nobody`).toBe(true);
    }
    if (state.activeId) expect(activeImage(state), `${where}: an active image that is not kept`).not.toBeNull();
    expect(state.images.length, `${where}: too many images kept`).toBeLessThanOrEqual(3);
  };

  for (let action = 0; action < 70; action++) {
    const dice = random.next();
    if (dice < 0.4) await machine.perform();
    else if (dice < 0.75) {
      const input = randomInput(random, machine.state(), past);
      if (input) {
        // A person does not press the same button twice with the same new ids.
        if (!("plan" in input)) past.push(input);
        await machine.input(input);
      }
    } else if (dice < 0.8) await machine.crash();
    else if (dice < 0.85) {
      const victim = random.pick(running(machine.world));
      if (victim) victim.running = false;
    } else await machine.pass(random.pick([10, 1_000, 5_000, 31_000, 95_000, 700_000]) ?? 10);
    check(`action ${action}`);
  }

  const settled = await machine.settle(() => machine.state().live === null);
  const state = machine.state();
  expect(settled, `seed ${seed}: the scope never comes to rest: ${JSON.stringify(machine.store.rows())}`).toBe(true);
  expect(running(machine.world), `seed ${seed}: a sandbox is left`).toEqual([]);
  // A snapshot that was given up without an answer may have made an image; only its TTL ends that one.
  for (const lost of machine.lost)
    if (lost.type === "snapshot" && !isOwned(state, machine.world, lost.sandboxId))
      machine.world.images.delete(imageOf(machine.world, lost.sandboxId));
  const kept = state.images.map((image) => image.providerImageId).sort();
  expect([...machine.world.images].sort(), `seed ${seed}: images at the provider that nobody owns, or the reverse`).toEqual(kept);
  expect(database.active?.imageId ?? null, `seed ${seed}: D1 serves another image`).toBe(state.activeId);
  for (const [id, status] of database.statuses) {
    expect(["ready", "failed", "cancelled", "superseded"], `seed ${seed}: build ${id} is ${status} for ever`).toContain(status);
  }
  return [...database.statuses.values()];
}

it("[IB9] whatever happens, there is one build at a time, nothing is stuck and nothing is left behind", async () => {
  const ends = new Set<string>();
  for (let seed = 1; seed <= 500; seed++) for (const end of await runSeed(seed)) ends.add(end);
  expect([...ends].sort(), "the runs reach every kind of end").toEqual(expect.arrayContaining(["cancelled", "failed", "ready"]));
}, 30_000);
