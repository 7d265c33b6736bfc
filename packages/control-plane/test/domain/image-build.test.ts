/** The rules of a scope's builds, one at a time, on the pure machine. */
import { expect, it } from "vitest";
import { deadlines } from "../../src/domain/deadlines.ts";
import { activeImage, stepImage } from "../../src/domain/image-build.ts";
import { type BuildPlan, type ImageEffect, type ImageInput, nextImageWakeAt } from "../../src/domain/image-messages.ts";
import { deriveImageRecords } from "../../src/domain/image-records.ts";
import { emptyScope, imageStateOf, type ScopeState, type Target } from "../../src/domain/image-scope-state.ts";

const target: Target = {
  owner: "Acme",
  name: "Shop",
  branch: "main",
  private: false,
  cloneUrl: "http://g/a.git",
  installationId: 1,
};
const sha = (digit: string) => digit.repeat(40);
let serial = 0;
const plan = (): BuildPlan => {
  serial += 1;
  return { buildId: `bld_${serial}`, imageId: `img_${serial}`, attempt: `attempt${serial}`, limitMs: 600_000 };
};

function drive(start: ScopeState, now: number, ...inputs: ((state: ScopeState) => ImageInput)[]) {
  let state = start;
  const effects: ImageEffect[] = [];
  for (const input of inputs) {
    const step = stepImage(state, input(state), now);
    state = step.state;
    effects.push(...step.effects);
  }
  return { state, effects, types: effects.map((effect) => effect.type) };
}

const attemptOf = (state: ScopeState): string => state.live?.attempt ?? "none";
const on = () => ({ type: "switch.on", target, plan: plan() }) satisfies ImageInput;
const refresh = () => ({ type: "trigger", trigger: "refresh", target, plan: plan(), sha: null }) satisfies ImageInput;
const created = (state: ScopeState): ImageInput => ({
  type: "sandbox.created",
  attempt: attemptOf(state),
  sandboxId: "sb-1",
  durationMs: 1,
});
const hello = (state: ScopeState): ImageInput => ({
  type: "runtime.connected",
  attempt: attemptOf(state),
  runtimeVersion: "r",
  protocol: 1,
});
const finished =
  (digit: string) =>
  (state: ScopeState): ImageInput => ({
    type: "runtime.event",
    attempt: attemptOf(state),
    event: { type: "build.finished", sha: sha(digit), setupRan: true },
  });
const snapshot = (state: ScopeState): ImageInput => ({
  type: "snapshot.taken",
  attempt: attemptOf(state),
  providerImageId: `im-${state.live?.id}`,
  durationMs: 3,
});
const activated =
  (yes: boolean) =>
  (state: ScopeState): ImageInput => ({ type: "image.activated", imageId: state.live?.imageId ?? "", activated: yes });
const building = [created, hello];
const whole = (digit: string) => [created, hello, finished(digit), snapshot, activated(true)];
const ready = (digit = "a") => drive(emptyScope, 1_000, on, ...whole(digit)).state;

it("[IB1] switching on owes a sandbox named and tagged after the build, with room for the snapshot in its lifetime", () => {
  const { effects, state } = drive(emptyScope, 1_000, on);
  const [create] = effects;
  expect(create).toMatchObject({
    type: "sandbox.create",
    name: `build-${state.live?.id}`,
    source: { kind: "base" },
    tags: { app: "open-inspect", kind: "build", scope: "repo:acme/shop", build: state.live?.id },
    cpu: 2,
    memoryMiB: 4_096,
  });
  if (create?.type !== "sandbox.create") throw new Error("no create");
  expect(create.timeoutMs).toBeGreaterThan(600_000 + deadlines.snapshotMs);
  expect(create.timeoutMs % 1_000).toBe(0);
});

it("[IB1] switching on what is on already changes nothing but the target", () => {
  const state = ready();
  expect(drive(state, 2_000, on).effects).toEqual([]);
});

it("[IB2] triggers while building are remembered once, and the remembered build begins after the end", () => {
  const { state, types } = drive(emptyScope, 1_000, on, ...building, refresh, refresh, refresh);
  expect(types.filter((type) => type === "sandbox.create")).toHaveLength(1);
  const next = state.next?.id;
  const over = drive(state, 2_000, finished("a"), snapshot, activated(true));
  expect(over.state.live?.id).toBe(next);
  expect(over.state.next).toBeNull();
  expect(over.types).toContain("sandbox.create");
});

it("[IB2] a remembered build begins also after a failure", () => {
  const failing = (state: ScopeState): ImageInput => ({
    type: "runtime.event",
    attempt: attemptOf(state),
    event: {
      type: "failed",
      failure: { code: "setup_failed", message: "m", hint: "h", phase: "setup", lines: ["x"], exitCode: 1 },
    },
  });
  const { state } = drive(emptyScope, 1_000, on, ...building, refresh, failing);
  expect(state.last?.status).toBe("failed");
  expect(state.live).not.toBeNull();
});

it("[IB3] the image is in the state before the database is told, and active only after it answered", () => {
  const stored = drive(emptyScope, 1_000, on, ...building, finished("a"), snapshot);
  expect(stored.state.live?.stage).toMatchObject({ at: "publishing", image: { providerImageId: `im-${stored.state.live?.id}` } });
  expect(stored.types.at(-1)).toBe("image.activate");
  expect(imageStateOf(stored.state).active).toBeNull();
  expect(imageStateOf(drive(stored.state, 1_100, activated(true)).state).active?.sha).toBe(sha("a"));
});

it("[IB4] a build that loses the switch is superseded and its image deleted", () => {
  const before = ready("a");
  const { state, effects } = drive(before, 2_000, refresh, ...building, finished("b"), snapshot, activated(false));
  expect(state.last?.status).toBe("superseded");
  expect(activeImage(state)?.sha).toBe(sha("a"));
  expect(effects).toContainEqual({ type: "image.delete", providerImageId: `im-${state.last?.id}`, imageId: state.last?.imageId });
});

it("[IB5] every end owes the end of the sandbox", () => {
  const clock: ImageInput = { type: "clock", heardAt: null, lastLines: [] };
  const ends: Record<string, ((state: ScopeState) => ImageInput)[]> = {
    ready: [...whole("a")],
    superseded: [created, hello, finished("a"), snapshot, activated(false)],
    cancelled: [...building, () => ({ type: "switch.off" })],
    "cancelled while snapshotting": [...building, finished("a"), () => ({ type: "switch.off" })],
  };
  for (const [name, inputs] of Object.entries(ends)) {
    const { types } = drive(emptyScope, 1_000, on, ...inputs);
    expect(types, name).toContain("sandbox.terminate");
  }
  const early = drive(emptyScope, 1_000, on, () => ({ type: "switch.off" }));
  expect(early.types, "without a sandbox id it is looked for by tag").toContain("sandbox.sweep");
  const late = stepImage(drive(emptyScope, 1_000, on, ...building).state, clock, 601_000);
  expect(
    late.effects.map((one) => one.type),
    "at the build limit",
  ).toContain("sandbox.terminate");
});

it("[IB6] the image that served goes on serving after a failure, and the failure shows", () => {
  const failing = (state: ScopeState): ImageInput => ({ type: "snapshot.failed", attempt: attemptOf(state), failure: refusal });
  const refusal = { kind: "permanent", code: "x", message: "disk full", hint: "h" } as const;
  const { state } = drive(ready("a"), 2_000, refresh, ...building, finished("b"), failing);
  const view = imageStateOf(state);
  expect(view.status).toBe("failed");
  expect(view.active?.sha).toBe(sha("a"));
  expect(view.latestBuild?.failure).toMatchObject({ code: "snapshot_failed", phase: "snapshot", lines: ["disk full"] });
});

it("[IB7] three ready images are kept, the oldest is deleted", () => {
  let state = ready("a");
  const first = state.images[0]?.providerImageId;
  for (const digit of ["b", "c"]) state = drive(state, 2_000, refresh, ...whole(digit)).state;
  expect(state.images).toHaveLength(3);
  const { state: four, effects } = drive(state, 3_000, refresh, ...whole("d"));
  expect(four.images).toHaveLength(3);
  expect(effects).toContainEqual(expect.objectContaining({ type: "image.delete", providerImageId: first }));
});

it("[IB8] switching off cancels both builds, deletes the images, and switching on again begins from nothing", () => {
  const busy = drive(ready("a"), 2_000, refresh, ...building, refresh).state;
  const waiting = busy.next?.id;
  const { state, effects } = drive(busy, 3_000, () => ({ type: "switch.off" }));
  expect(imageStateOf(state)).toMatchObject({ enabled: false, status: "disabled", active: null });
  expect(state.last?.status).toBe("cancelled");
  expect(effects.map((effect) => effect.type)).toEqual(["image.retire", "image.delete", "sandbox.terminate"]);
  const records = deriveImageRecords(busy, state, 3_000);
  expect(records).toContainEqual(
    expect.objectContaining({ type: "record.build", build: expect.objectContaining({ id: waiting, status: "cancelled" }) }),
  );
  const again = drive(state, 4_000, on);
  expect(again.state.live).not.toBeNull();
  expect(imageStateOf(again.state).active).toBeNull();
});

it("[IB8] an image whose snapshot ends after the switch was set to off is deleted", () => {
  const busy = drive(emptyScope, 1_000, on, ...building, finished("a")).state;
  const off = drive(busy, 2_000, () => ({ type: "switch.off" })).state;
  const late = stepImage(
    off,
    { type: "snapshot.taken", attempt: attemptOf(busy), providerImageId: "im-late", durationMs: 1 },
    3_000,
  );
  expect(late.effects).toEqual([{ type: "image.delete", providerImageId: "im-late", imageId: null }]);
});

it("[IB10] at its limit a build says which step ran and what it printed last", () => {
  const started = drive(emptyScope, 1_000, on, ...building, (state) => ({
    type: "runtime.event",
    attempt: attemptOf(state),
    event: { type: "phase.started", phase: "setup" },
  })).state;
  const { state } = stepImage(started, { type: "clock", heardAt: 600_900, lastLines: ["npm ci", "still here"] }, 601_500);
  expect(state.last?.failure).toMatchObject({ code: "build_timeout", phase: "setup", lines: ["npm ci", "still here"] });
  expect(state.last?.failure?.message).toContain("600 seconds during setup");
});

it("[IB10] at its limit a build that never got a sandbox blames the gateway, not the build", () => {
  const waiting = drive(emptyScope, 1_000, on).state;
  const { state } = stepImage(waiting, { type: "clock", heardAt: 1_000, lastLines: [] }, 601_500);
  expect(state.last?.failure?.code).toBe("gateway_unavailable");
});

it("[IB11] a missing image is retired and rebuilt; one that is not kept any more is nobody's business", () => {
  const state = ready("a");
  const missing = drive(state, 2_000, () => ({ type: "image.missing", imageId: state.activeId ?? "", plan: plan() }));
  expect(missing.types).toEqual(["image.retire", "image.delete", "sandbox.create"]);
  expect(imageStateOf(missing.state).active).toBeNull();
  expect(drive(state, 2_000, () => ({ type: "image.missing", imageId: "img_other", plan: plan() })).effects).toEqual([]);
});

it("[IB12] a push of the commit that is active or being built changes nothing", () => {
  const push = (digit: string) => (): ImageInput => ({ type: "trigger", trigger: "push", target, plan: plan(), sha: sha(digit) });
  expect(drive(ready("a"), 2_000, push("a")).effects).toEqual([]);
  expect(drive(ready("a"), 2_000, push("b")).types).toEqual(["sandbox.create"]);
  const synced = (state: ScopeState): ImageInput => ({
    type: "runtime.event",
    attempt: attemptOf(state),
    event: { type: "workspace.synced", sha: sha("b"), bakedSha: null },
  });
  const busy = drive(emptyScope, 1_000, on, ...building, synced).state;
  expect(drive(busy, 2_000, push("b")).state.next).toBeNull();
  expect(drive(busy, 2_000, push("c")).state.next).not.toBeNull();
});

it("[FX7] every live stage has a time to wake at, or an owed effect that has an end", () => {
  let state = emptyScope;
  for (const input of [on, created, hello, finished("a")]) {
    state = stepImage(state, typeof input === "function" ? input(state) : input, 1_000).state;
    expect(nextImageWakeAt(state, null), JSON.stringify(state.live?.stage)).not.toBeNull();
  }
});

const basePending =
  (create: ImageEffect | undefined) =>
  (state: ScopeState): ImageInput => {
    if (create?.type !== "sandbox.create") throw new Error("no create is owed");
    return { type: "sandbox.base_pending", attempt: attemptOf(state), create, said: "It is being built." };
  };

it("[IB14] a build's limit and duration begin when the base image is there", () => {
  const { state: begun, effects } = drive(emptyScope, 1_000, on);
  const waiting = drive(begun, 21_000, basePending(effects[0]));
  expect(waiting.types).toEqual(["sandbox.create"]);
  const { state } = drive(waiting.state, 401_001, created, hello);
  expect(state.live).toMatchObject({ startedAt: 401_000, limitAt: 1_001_000, requestedAt: 1_000 });
  const done = drive(state, 411_000, finished("a"), snapshot, activated(true)).state;
  expect(done.images[0]?.buildMs).toBe(10_000);
  expect(done.last).toMatchObject({ status: "ready", startedAt: 401_000 });
});

it("[IB14] a base image that is not there by the build's limit fails the build as what it is", () => {
  const { state: begun, effects } = drive(emptyScope, 1_000, on);
  const { state } = drive(begun, 21_000, basePending(effects[0]));
  const failed = drive(state, 601_000, () => ({ type: "clock", heardAt: null, lastLines: [] }));
  expect(failed.state.last?.failure).toMatchObject({
    code: "base_not_ready",
    message: "The base image is still being built.",
    phase: "sandbox",
    lines: ["It is being built."],
  });
});

it("[IB8] switching off while the database's switch has not answered retires the image that it may have made active", () => {
  const publishing = drive(emptyScope, 1_000, on, created, hello, finished("a"), snapshot).state;
  const { effects } = drive(publishing, 2_000, () => ({ type: "switch.off" }));
  expect(effects).toContainEqual(expect.objectContaining({ type: "image.retire", imageId: publishing.live?.imageId }));
  expect(effects).toContainEqual(expect.objectContaining({ type: "image.delete", imageId: publishing.live?.imageId }));
});
