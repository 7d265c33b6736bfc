/**
 * A world for fuzzing a machine with the real runner: effects take effect, fail, or take effect without an answer; the process
 * crashes between any two of them; the clock moves. Knows sandboxes and images, not what they are for.
 */
import { type GatewayFailure } from "../../src/domain/ports.ts";
import { type SandboxEffect, type SandboxInput } from "../../src/domain/sandbox.ts";
import { createRunner, type Performed, type Runner, type RunnerParts } from "../../src/objects/runner.ts";
import { createMemoryEffectStore } from "./memory-effect-store.ts";
import { type Random } from "./random.ts";

const silent = { info() {}, warn() {}, error() {} };
const flush = async () => {
  // As many as lie between an outcome and the attempt after it.
  for (let turn = 0; turn < 5; turn++) await Promise.resolve();
};

export interface FuzzSandbox {
  id: string;
  name: string;
  attempt: string;
  running: boolean;
  started: boolean;
  image: string | null;
}

type Parts<State, Input, Effect> = Omit<
  RunnerParts<State, Input, Effect>,
  "store" | "perform" | "setAlarm" | "background" | "now" | "log" | "onCommit" | "afterCommit"
>;

export function createMachineWorld<State, Input, Effect>(
  random: Random,
  parts: Parts<State, Input, Effect>,
  /** performs on the world; `null` for what this world does not know */
  perform: (effect: Effect, world: World) => Performed<Input>,
  /** whether what a dead process asked for may still take effect after its next life has begun */
  mayComeLate: (effect: Effect) => boolean = () => false,
) {
  const store = createMemoryEffectStore<State, Effect>();
  let now = 1_000_000;
  let alarmAt: number | null = null;
  /** effects of which some try took effect without an answer */
  const lost: Effect[] = [];
  /** a call has a deadline below its policy's limit: what is older never happens */
  let pending: { effect: Effect; lostAt: number; resolve: (outcome: Performed<Input>) => void }[] = [];
  let late: Effect[] = [];
  const world: World = {
    sandboxes: new Map(),
    images: new Set(),
    serial: 0,
    faults: 0.25,
    basePending: 0,
    now,
    expiries: new Map(),
  };
  if (random.chance(0.3)) world.basePending = random.pick([1, 3, 9]) ?? 1;

  const boot = (): Runner<State, Input> =>
    createRunner<State, Input, Effect>({
      ...parts,
      store,
      // A promise that is never settled after a crash: its process is gone.
      perform: (effect) =>
        new Promise((resolve) => pending.push({ effect, lostAt: now + parts.policy(effect).limitMs, resolve })),
      setAlarm: (at) => {
        alarmAt = at;
      },
      background: () => {},
      now: () => now,
      log: silent,
    });
  let runner = boot();

  const api = {
    world,
    store,
    lost,
    state: () => runner.state(),
    now: () => now,
    alarmAt: () => alarmAt,
    pendingEffects: () => pending.map((one) => one.effect),
    async input(input: Input) {
      runner.dispatch(input);
      await flush();
    },
    /** One pending effect happens: well, badly, or without an answer because the process dies. */
    async perform(): Promise<boolean> {
      pending = pending.filter((one) => now < one.lostAt);
      const one = random.pick(pending);
      if (!one) return false;
      pending = pending.filter((other) => other !== one);
      const fails = random.chance(world.faults);
      if (fails && random.chance(0.6)) {
        if (random.chance(0.4)) {
          perform(one.effect, world);
          lost.push(one.effect);
        }
        one.resolve({ retry: failureInput(one.effect), cause: "fuzz" } as Performed<Input>);
      } else {
        const outcome = perform(one.effect, world);
        if (fails && random.chance(0.3)) await api.crash();
        else one.resolve(outcome);
      }
      await flush();
      return true;
    },
    async crash() {
      for (const { effect } of pending) if (mayComeLate(effect)) late.push(effect);
      pending = [];
      store.restart();
      runner = boot();
      // Somebody asks for the object, or its alarm does.
      runner.resume();
      if (random.chance(0.5)) runner.wake();
      await flush();
    },
    /** Time passes and the alarm fires when it is due. */
    async pass(ms: number) {
      now += ms;
      world.now = now;
      for (const [id, expiresAt] of world.expiries) if (now >= expiresAt) world.images.delete(id);
      for (const effect of late) perform(effect, world);
      late = [];
      if (alarmAt !== null && alarmAt <= now) {
        runner.wake();
        await flush();
      }
    },
    /** Everything works from here on; goes from alarm to alarm until nothing is owed. */
    async settle(stop: () => boolean): Promise<boolean> {
      world.faults = 0;
      for (let round = 0; round < 2_000; round++) {
        if (await api.perform()) continue;
        if (alarmAt === null || (stop() && store.rows().length === 0)) return stop() && store.rows().length === 0;
        await api.pass(Math.max(0, alarmAt - now));
      }
      return false;
    },
  };
  return api;
}

/** What a refused effect comes to after the last try. */
function failureInput(effect: unknown): unknown {
  const { type, attempt, id, serial } = effect as { type: string; attempt: string; id: string; serial: number };
  if (type === "member.create") return { type: "member.create_failed", id, problem: "fuzz" };
  const failure: GatewayFailure = { kind: "transient", code: "fuzz", message: "fuzz", hint: "" };
  if (type === "sandbox.create") return { type: "sandbox.create_failed", attempt, failure };
  if (type === "sandbox.start") return { type: "runtime.start_failed", attempt, failure };
  if (type === "image.look_up") {
    const selection = { kind: "cold", reason: "lookup_failed" } as const;
    return { type: "image.looked_up", serial, selection, history: { measured: null, build: null } };
  }
  if (type === "snapshot") return { type: "snapshot.failed", attempt, failure };
  return null;
}

export interface World {
  sandboxes: Map<string, FuzzSandbox>;
  images: Set<string>;
  serial: number;
  /** the share of effects that go wrong */
  faults: number;
  /** creates from the base that are still answered with "not ready" */
  basePending: number;
  now: number;
  /** when the provider forgets an image by itself */
  expiries: Map<string, number>;
}

export const running = (world: World): FuzzSandbox[] => [...world.sandboxes.values()].filter((one) => one.running);

/** The gateway's promises: create by name, start once, ending twice is fine. */
export function performOnSandboxes(
  effect: SandboxEffect,
  world: World,
): Performed<SandboxInput | { type: "sandbox.ended"; attempt: string }> {
  const { attempt } = effect;
  switch (effect.type) {
    case "sandbox.create": {
      if (effect.source.kind === "image" && !world.images.has(effect.source.providerImageId)) {
        const failure: GatewayFailure = { kind: "not_found", code: "image_not_found", message: "gone", hint: "" };
        return { done: { type: "sandbox.create_failed", attempt, failure } };
      }
      if (effect.source.kind === "base" && world.basePending > 0) {
        world.basePending -= 1;
        return { done: { type: "sandbox.base_pending", attempt, create: effect, said: "being built" } };
      }
      const known = running(world).find((one) => one.name === effect.name);
      const id = known?.id ?? `sb-${++world.serial}`;
      if (!known) world.sandboxes.set(id, { id, name: effect.name, attempt, running: true, started: false, image: null });
      return { done: { type: "sandbox.created", attempt, sandboxId: id, durationMs: 1 } };
    }
    case "sandbox.start": {
      const sandbox = world.sandboxes.get(effect.sandboxId);
      if (sandbox) sandbox.started = true;
      return { done: { type: "runtime.started", attempt } };
    }
    case "sandbox.poll": {
      const alive = world.sandboxes.get(effect.sandboxId)?.running;
      const status = alive ? ({ status: "running" } as const) : ({ status: "ended", exitCode: 137, reason: "exited" } as const);
      return { done: { type: "sandbox.polled", attempt, status, lastLines: ["last"] } };
    }
    case "sandbox.log":
      return { done: { type: "runtime.log", attempt, lines: ["runtime says"] } };
    case "sandbox.terminate": {
      const sandbox = world.sandboxes.get(effect.sandboxId);
      if (sandbox) sandbox.running = false;
      return { done: { type: "sandbox.ended", attempt } };
    }
    case "sandbox.sweep":
      for (const sandbox of running(world)) if (sandbox.attempt === attempt) sandbox.running = false;
      return { done: { type: "sandbox.swept", attempt, pass: effect.pass } };
  }
}
