/** Random lives of a session: crashes between effects, lost and repeated answers, any input at any time. */
import { type Failure, type RuntimeEvent, type SessionSummary } from "@open-inspect/protocol";
import { expect, it } from "vitest";
import { deadlines } from "../../src/domain/deadlines.ts";
import { isSessionEffectWanted, nextSessionWakeAt, type SessionInput, stepSession } from "../../src/domain/session.ts";
import { noWork, type SessionState } from "../../src/domain/session-state.ts";
import { statusOf } from "../../src/domain/session-views.ts";
import {
  deriveSessionRecords,
  type OwedSessionEffect,
  sessionAddress,
  sessionPolicy,
} from "../../src/objects/session-effects.ts";
import { createMachineWorld, performOnSandboxes, running } from "../fakes/machine-world.ts";
import { createRandom, type Random } from "../fakes/random.ts";
import { sessionOrder } from "../fakes/session-order.ts";
import { storedImage } from "../fakes/stored-image.ts";

const image = storedImage({ providerImageId: "im-good" });

function createSession(random: Random) {
  const rows = new Map<string, SessionSummary>();
  const reported: Extract<OwedSessionEffect, { type: "image.report_missing" }>[] = [];
  const machine = createMachineWorld<SessionState | null, SessionInput, OwedSessionEffect>(
    random,
    {
      step: stepSession,
      initial: null,
      address: sessionAddress,
      policy: sessionPolicy,
      isWanted: (state, effect) =>
        effect.type === "record.session" ||
        effect.type === "publish" ||
        effect.type === "pool.tell" ||
        isSessionEffectWanted(state, effect),
      derive: deriveSessionRecords,
      nextWakeAt: (state) => nextSessionWakeAt(state, null),
      clock: () => ({ type: "clock", heardAt: null, lastLines: ["last line"] }),
    },
    (effect, world) => {
      switch (effect.type) {
        case "record.session":
          rows.set(effect.session.id, effect.session);
          return { done: null };
        case "publish":
        case "pool.tell":
        case "bridge.shutdown":
          return { done: null };
        case "image.report_missing":
          reported.push(effect);
          return { done: null };
        case "repositories.reread":
        case "bridge.push":
        case "pull.open":
        case "pull.read":
        case "bridge.sync":
          return { done: null };
        case "prompts.end":
          return { done: { type: "work", work: noWork } };
        case "image.look_up":
          return {
            done: {
              ...{ type: "image.looked_up", serial: effect.serial, history: { measured: null, build: null } },
              selection: { kind: "cold", reason: "no_image_yet" },
            },
          };
        case "snapshot": {
          const sandbox = world.sandboxes.get(effect.sandboxId);
          const { attempt } = effect;
          if (sandbox?.running && sandbox.image === null) {
            sandbox.image = `im-${++world.serial}`;
            world.images.add(sandbox.image);
          }
          const expiresAt = world.now + deadlines.sessionSnapshotTtlMs;
          if (sandbox?.image) {
            return { done: { type: "snapshot.taken", attempt, providerImageId: sandbox.image, durationMs: 1, expiresAt } };
          }
          const failure = { kind: "not_found", code: "gone", message: "gone", hint: "" } as const;
          return { done: { type: "snapshot.failed", attempt, failure } };
        }
        case "snapshot.delete":
          world.images.delete(effect.providerImageId);
          return { done: null };
        default:
          return performOnSandboxes(effect, world);
      }
    },
  );
  return { machine, rows, reported };
}

function randomInput(random: Random, state: SessionState | null, past: SessionInput[]): SessionInput | null {
  const attempt = random.chance(0.9) ? (state?.attempt ?? "none") : random.hex(32);
  const event = (one: RuntimeEvent): SessionInput => ({ type: "runtime.event", attempt, event: one });
  const failure: Failure = { code: "agent_failed", message: "m", hint: "h", phase: "agent", lines: [], exitCode: 1 };
  const sha = "b".repeat(40);
  const choices: (() => SessionInput | null)[] = [
    () => (random.chance(0.15) ? { type: "stop" } : null),
    () => ({
      type: "runtime.connected",
      attempt,
      runtimeVersion: "r1",
      runtimeRevision: 1,
      protocol: random.chance(0.9) ? 1 : 2,
    }),
    () => ({ type: "runtime.connected", attempt, runtimeVersion: "r1", runtimeRevision: 1, protocol: 1 }),
    () => event({ type: "phase.started", phase: "sync" }),
    () => event({ type: "workspace.synced", sha, bakedSha: null, ...(random.chance(0.2) ? { branch: "trunk" } : {}) }),
    () => event({ type: "session.ready", sha, setupRan: false, agentVersion: "1" }),
    () => (random.chance(0.4) ? event({ type: "failed", failure, isOutside: random.chance(0.3) }) : null),
    () => ({ type: "bridge.closed", attempt }),
    () => random.pick(past) ?? null,
  ];
  return random.pick(choices)?.() ?? null;
}

async function runSeed(seed: number): Promise<string> {
  const random = createRandom(seed);
  const { machine, rows, reported } = createSession(random);
  if (random.chance(0.6)) machine.world.images.add(image.providerImageId);
  const past: SessionInput[] = [];
  const order = sessionOrder({
    acceptedAt: machine.now(),
    ...(random.chance(0.7) ? { image, cold: null } : {}),
    attempts: [random.hex(32), random.hex(32)],
  });
  await machine.input({ type: "create", order });
  let ended: string | null = null;
  const check = (when: string) => {
    const state = machine.state();
    const where = `seed ${seed}, ${when}`;
    if (!state) throw new Error(where);
    const status = statusOf(state);
    if (ended !== null) expect(status, `${where}: an end is final`).toBe(ended);
    if (status === "stopped" || status === "failed") ended = status;
    else expect(machine.alarmAt(), `${where}: a live session without an alarm`).not.toBeNull();
    const owed = [...machine.store.rows().map((row) => row.effect), ...machine.pendingEffects()];
    const live = state.stage.at === "starting" || state.stage.at === "ready" || state.stage.at === "snapshotting";
    for (const sandbox of running(machine.world)) {
      const willEnd = owed.some(
        (one) =>
          "attempt" in one &&
          one.attempt === sandbox.attempt &&
          ["sandbox.terminate", "sandbox.sweep", "sandbox.create"].includes(one.type),
      );
      expect((live && sandbox.attempt === state.attempt) || willEnd, `${where}: sandbox ${sandbox.id} belongs to nobody`).toBe(
        true,
      );
    }
    expect(running(machine.world).length, `${where}: more sandboxes than attempts`).toBeLessThanOrEqual(2);
  };

  for (let action = 0; action < 50; action++) {
    const dice = random.next();
    if (dice < 0.4) await machine.perform();
    else if (dice < 0.75) {
      const input = randomInput(random, machine.state(), past);
      if (input) {
        past.push(input);
        await machine.input(input);
      }
    } else if (dice < 0.8) await machine.crash();
    else if (dice < 0.84) {
      const victim = random.pick(running(machine.world));
      if (victim) victim.running = false;
    } else await machine.pass(random.pick([10, 1_000, 5_000, 31_000, 95_000]) ?? 10);
    check(`action ${action}`);
  }
  const stage = machine.state()?.stage.at;
  await machine.input({ type: "stop" });
  const settled = await machine.settle(() => machine.state()?.stage.at === "ended");
  expect(settled, `seed ${seed}: the session never comes to rest`).toBe(true);
  expect(running(machine.world), `seed ${seed}: a sandbox is left`).toEqual([]);
  const state = machine.state();
  expect(rows.get("ses_1")?.status, `seed ${seed}: the list shows another status`).toBe(state && statusOf(state));
  expect(new Set(reported.map((one) => one.imageId)).size, `seed ${seed}: more than one image is reported`).toBeLessThanOrEqual(
    1,
  );
  for (const { cause } of reported) {
    if (cause === undefined)
      expect(machine.world.images, `seed ${seed}: an image that is there is called missing`).not.toContain(image.providerImageId);
    else expect(state?.receipt?.startedFrom, `seed ${seed}: an image is called broken and the base did no better`).toBe("base");
  }
  if (reported.some((one) => one.cause !== undefined)) return "broken";
  return `${stage} ${state?.cold ?? ""}`;
}

it("[SE9] whatever happens, a session has one end, nothing is stuck and no sandbox is left", async () => {
  const seen = new Set<string>();
  for (let seed = 1; seed <= 500; seed++) seen.add(await runSeed(seed));
  expect([...seen], "the runs reach readiness from image and base").toEqual(
    expect.arrayContaining(["ready ", "ready restore_failed", "broken"]),
  );
}, 30_000);
