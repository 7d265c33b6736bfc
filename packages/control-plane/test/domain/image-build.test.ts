/** The rules of a scope's builds, one at a time, on the pure machine. */
import { expect, it } from "vitest";
import { deadlines } from "../../src/domain/deadlines.ts";
import { buildInputsOf } from "../../src/domain/image-inputs.ts";
import { type BuildPlan, type ImageEffect, type ImageInput, nextImageWakeAt } from "../../src/domain/image-messages.ts";
import { deriveImageRecords } from "../../src/domain/image-records.ts";
import { stepImage } from "../../src/domain/image-scope.ts";
import {
  activeImage,
  attemptOf as attemptOfLive,
  type BuildGround,
  emptyScope,
  type ScopeState,
  type Target,
} from "../../src/domain/image-scope-state.ts";
import { imageStateOf as viewOf } from "../../src/domain/image-views.ts";

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
  const attempts = [1, 2, 3, 4].map((life) => `attempt${serial}-${life}`);
  return { buildId: `bld_${serial}`, imageId: `img_${serial}`, attempts, limitMs: 600_000 };
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

const imageStateOf = (state: ScopeState) => viewOf(state, null);
const attemptOf = (state: ScopeState): string => attemptOfLive(state.live) ?? "none";
const ask = () => ({ type: "switch.on", target, sha: null, by: "dev", plan: plan() }) satisfies ImageInput;
const askAgain = () => ({ type: "trigger", trigger: "refresh", target, plan: plan(), sha: null, by: "dev" }) satisfies ImageInput;
const ground: BuildGround = { base: "im-base", runtimeVersion: "r", secretsVersion: 0 };
const granted = (state: ScopeState): ImageInput => ({ type: "slot.granted", buildId: state.live?.id ?? "" });
const planned = (state: ScopeState): ImageInput => ({ type: "build.planned", buildId: state.live?.id ?? "", ground });
/** from the request to the sandbox that is owed */
const on = [ask, granted, planned];
const refresh = [askAgain, granted, planned];
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
  runtimeRevision: 1,
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
const verified = (state: ScopeState): ImageInput => {
  if (state.live?.stage.at !== "verifying") throw new Error("nothing is verified");
  const event = { type: "verify.finished", sha: state.live.stage.image.sha, verifyRan: false } as const;
  return { type: "runtime.event", attempt: attemptOf(state), event };
};
const proved = [created, hello, verified];
const building = [created, hello];
const whole = (digit: string) => [created, hello, finished(digit), snapshot, ...proved, activated(true)];
const ready = (digit = "a") => drive(emptyScope, 1_000, ...on, ...whole(digit)).state;

it("[IB1] switching on owes a sandbox named and tagged after the build, with room for the snapshot in its lifetime", () => {
  const { effects, state } = drive(emptyScope, 1_000, ...on);
  const create = effects.find((effect) => effect.type === "sandbox.create");
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
  expect(drive(state, 2_000, ask).effects).toEqual([]);
});

it("[IB2] triggers while building are remembered once, and the remembered build begins after the end", () => {
  const { state, types } = drive(emptyScope, 1_000, ...on, ...building, askAgain, askAgain, askAgain);
  expect(types.filter((type) => type === "sandbox.create")).toHaveLength(1);
  const next = state.next?.id;
  const over = drive(state, 2_000, finished("a"), snapshot, ...proved, activated(true));
  expect(over.state.live?.id).toBe(next);
  expect(over.state.next).toBeNull();
  expect(over.types).toContain("slot.request");
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
  const { state } = drive(emptyScope, 1_000, ...on, ...building, askAgain, failing);
  expect(state.last?.status).toBe("failed");
  expect(state.live).not.toBeNull();
});

it("[IB3] the image is in the state before the database is told, and active only after it answered", () => {
  const stored = drive(emptyScope, 1_000, ...on, ...building, finished("a"), snapshot, ...proved);
  expect(stored.state.live?.stage).toMatchObject({ at: "publishing", image: { providerImageId: `im-${stored.state.live?.id}` } });
  expect(stored.types.at(-1)).toBe("image.activate");
  expect(stored.state.live?.stage, "not without verification").toMatchObject({ serve: true });
  expect(imageStateOf(stored.state).active).toBeNull();
  expect(imageStateOf(drive(stored.state, 1_100, activated(true)).state).active?.sha).toBe(sha("a"));
});

it("[IB4] a build that loses the switch is superseded and its image deleted", () => {
  const before = ready("a");
  const { state, effects } = drive(before, 2_000, ...refresh, ...building, finished("b"), snapshot, ...proved, activated(false));
  expect(state.last?.status).toBe("superseded");
  expect(activeImage(state)?.sha).toBe(sha("a"));
  expect(effects).toContainEqual({ type: "image.delete", providerImageId: `im-${state.last?.id}`, imageId: state.last?.imageId });
});

it("[IB5] every end owes the end of the sandbox", () => {
  const clock: ImageInput = { type: "clock", heardAt: null, lastLines: [] };
  const ends: Record<string, ((state: ScopeState) => ImageInput)[]> = {
    ready: [...whole("a")],
    superseded: [created, hello, finished("a"), snapshot, ...proved, activated(false)],
    "cancelled while verifying": [...building, finished("a"), snapshot, ...building, () => ({ type: "switch.off" })],
    cancelled: [...building, () => ({ type: "switch.off" })],
    "cancelled while snapshotting": [...building, finished("a"), () => ({ type: "switch.off" })],
  };
  for (const [name, inputs] of Object.entries(ends)) {
    const { types } = drive(emptyScope, 1_000, ...on, ...inputs);
    expect(types, name).toContain("sandbox.terminate");
  }
  const early = drive(emptyScope, 1_000, ...on, () => ({ type: "switch.off" }));
  expect(early.types, "without a sandbox id it is looked for by tag").toContain("sandbox.sweep");
  const late = stepImage(drive(emptyScope, 1_000, ...on, ...building).state, clock, 601_000);
  expect(
    late.effects.map((one) => one.type),
    "at the build limit",
  ).toContain("sandbox.terminate");
});

it("[IB6] the image that served goes on serving after a failure, and the failure shows", () => {
  const failing = (state: ScopeState): ImageInput => ({ type: "snapshot.failed", attempt: attemptOf(state), failure: refusal });
  const refusal = { kind: "permanent", code: "x", message: "disk full", hint: "h" } as const;
  const { state } = drive(ready("a"), 2_000, ...refresh, ...building, finished("b"), failing);
  const view = imageStateOf(state);
  expect(view.status).toBe("failed");
  expect(view.active?.sha).toBe(sha("a"));
  expect(view.latestBuild?.failure).toMatchObject({ code: "snapshot_failed", phase: "snapshot", lines: ["disk full"] });
});

it("[IB7] three ready images are kept, the oldest is deleted", () => {
  let state = ready("a");
  const first = state.images[0]?.providerImageId;
  for (const digit of ["b", "c"]) state = drive(state, 2_000, ...refresh, ...whole(digit)).state;
  expect(state.images).toHaveLength(3);
  const { state: four, effects } = drive(state, 3_000, ...refresh, ...whole("d"));
  expect(four.images).toHaveLength(3);
  expect(effects).toContainEqual(expect.objectContaining({ type: "image.delete", providerImageId: first }));
});

it("[IB8] switching off cancels both builds and retires the image; the kept images go a day later", () => {
  const busy = drive(ready("a"), 2_000, ...refresh, ...building, askAgain).state;
  const waiting = busy.next?.id;
  const { state, effects } = drive(busy, 3_000, () => ({ type: "switch.off" }));
  expect(imageStateOf(state)).toMatchObject({ enabled: false, status: "disabled", active: null });
  expect(state.last?.status).toBe("cancelled");
  expect(effects.map((effect) => effect.type)).toEqual(["image.bar", "image.retire", "sandbox.terminate", "slot.release"]);
  const records = deriveImageRecords(busy, state);
  expect(records).toContainEqual(
    expect.objectContaining({ type: "record.build", build: expect.objectContaining({ id: waiting, status: "cancelled" }) }),
  );
  const clock: ImageInput = { type: "clock", heardAt: null, lastLines: [] };
  expect(nextImageWakeAt(state, null)).toBe(3_000 + deadlines.dormantMs);
  const gone = stepImage(state, clock, 3_000 + deadlines.dormantMs);
  expect(gone.effects).toEqual([expect.objectContaining({ type: "image.delete" })]);
  expect(gone.state).toMatchObject({ images: [], dormantUntil: null });
});

const known = (state: ScopeState): ImageInput => ({
  type: "runtime.event",
  attempt: attemptOf(state),
  event: { type: "build.inputs", inputs: { setup: "e".repeat(64), refresh: null, files: [], omittedFiles: 0 }, file: {} },
});
const readyWithInputs = (digit = "a") =>
  drive(emptyScope, 1_000, ...on, ...building, known, finished(digit), snapshot, ...proved, activated(true)).state;

it("[IB8] switching on again takes the kept image up when commit and inputs are the same, and builds when they are not", () => {
  const off = drive(readyWithInputs("a"), 2_000, () => ({ type: "switch.off" })).state;
  const [kept] = off.images;
  const onAt = (digit: string) => (): ImageInput => ({ ...ask(), sha: sha(digit) });
  const again = drive(off, 3_000, onAt("a"), granted, planned);
  expect(again.types).not.toContain("sandbox.create");
  expect(again.effects.at(-1)).toMatchObject({ type: "image.activate", image: { id: kept?.id }, serve: true });
  const serving = drive(again.state, 3_100, activated(true)).state;
  expect(imageStateOf(serving)).toMatchObject({ status: "ready", active: { id: kept?.id }, latestBuild: { status: "ready" } });
  expect(serving.images).toHaveLength(1);
  const moved = drive(off, 3_000, onAt("b"), granted, planned);
  expect(moved.types).toContain("sandbox.create");
  expect(imageStateOf(moved.state).active).toBeNull();
  const otherBase = (state: ScopeState): ImageInput => ({
    type: "build.planned",
    buildId: state.live?.id ?? "",
    ground: { ...ground, base: "im-new" },
  });
  expect(drive(off, 3_000, onAt("a"), granted, otherBase).types).toContain("sandbox.create");
});

it("[IB8] an image whose snapshot ends after the switch was set to off is deleted", () => {
  const busy = drive(emptyScope, 1_000, ...on, ...building, finished("a")).state;
  const off = drive(busy, 2_000, () => ({ type: "switch.off" })).state;
  const late = stepImage(
    off,
    { type: "snapshot.taken", attempt: attemptOf(busy), providerImageId: "im-late", durationMs: 1 },
    3_000,
  );
  expect(late.effects).toEqual([{ type: "image.delete", providerImageId: "im-late", imageId: null }]);
});

it("[IB10] at its limit a build says which step ran and what it printed last", () => {
  const started = drive(emptyScope, 1_000, ...on, ...building, (state) => ({
    type: "runtime.event",
    attempt: attemptOf(state),
    event: { type: "phase.started", phase: "setup" },
  })).state;
  const { state } = stepImage(started, { type: "clock", heardAt: 600_900, lastLines: ["npm ci", "still here"] }, 601_500);
  expect(state.last?.failure).toMatchObject({ code: "build_timeout", phase: "setup", lines: ["npm ci", "still here"] });
  expect(state.last?.failure?.message).toContain("600 seconds during setup");
});

it("[IB10] at its limit a build that never got a sandbox blames the gateway, not the build", () => {
  const waiting = drive(emptyScope, 1_000, ...on).state;
  const { state } = stepImage(waiting, { type: "clock", heardAt: 1_000, lastLines: [] }, 601_500);
  expect(state.last?.failure?.code).toBe("gateway_unavailable");
});

it("[IB11] a missing image is retired and rebuilt; one that is not kept any more is nobody's business", () => {
  const state = ready("a");
  const missing = drive(state, 2_000, () => ({ type: "image.missing", imageId: state.activeId ?? "", plan: plan() }));
  expect(missing.types).toEqual(["image.retire", "image.delete", "slot.request"]);
  expect(imageStateOf(missing.state).active).toBeNull();
  expect(drive(state, 2_000, () => ({ type: "image.missing", imageId: "img_other", plan: plan() })).effects).toEqual([]);
});

it("[IB12] a push of the commit that is active or being built changes nothing", () => {
  const push = (digit: string) => (): ImageInput => ({
    type: "trigger",
    trigger: "push",
    target,
    plan: plan(),
    sha: sha(digit),
    by: null,
  });
  expect(drive(ready("a"), 2_000, push("a")).effects).toEqual([]);
  expect(drive(ready("a"), 2_000, push("b")).types).toEqual(["slot.request"]);
  const synced = (state: ScopeState): ImageInput => ({
    type: "runtime.event",
    attempt: attemptOf(state),
    event: { type: "workspace.synced", sha: sha("b"), bakedSha: null },
  });
  const busy = drive(emptyScope, 1_000, ...on, ...building, synced).state;
  expect(drive(busy, 2_000, push("b")).state.next).toBeNull();
  expect(drive(busy, 2_000, push("c")).state.next).not.toBeNull();
});

it("[FX7] every live stage has a time to wake at, or an owed effect that has an end", () => {
  let state = emptyScope;
  for (const input of [...on, created, hello, finished("a"), snapshot, created, hello]) {
    state = stepImage(state, input(state), 1_000).state;
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
  const { state: begun, effects } = drive(emptyScope, 1_000, ...on);
  const waiting = drive(begun, 21_000, basePending(effects.at(-1)));
  expect(waiting.types).toEqual(["sandbox.create"]);
  const { state } = drive(waiting.state, 401_001, created, hello);
  expect(state.live).toMatchObject({ startedAt: 401_000, limitAt: 1_001_000, requestedAt: 1_000 });
  const done = drive(state, 411_000, finished("a"), snapshot, ...proved, activated(true)).state;
  expect(done.images[0]?.buildMs).toBe(10_000);
  expect(done.last).toMatchObject({ status: "ready", startedAt: 401_000 });
});

it("[IB14] a base image that is not there by the build's limit fails the build as what it is", () => {
  const { state: begun, effects } = drive(emptyScope, 1_000, ...on);
  const { state } = drive(begun, 21_000, basePending(effects.at(-1)));
  const failed = drive(state, 601_000, () => ({ type: "clock", heardAt: null, lastLines: [] }));
  expect(failed.state.last?.failure).toMatchObject({
    code: "base_not_ready",
    message: "The base image is still being built.",
    phase: "sandbox",
    lines: ["It is being built."],
  });
});

it("[IB8] switching off while the database's switch has not answered retires the image that it may have made active", () => {
  const publishing = drive(emptyScope, 1_000, ...on, created, hello, finished("a"), snapshot, ...proved).state;
  const { effects } = drive(publishing, 2_000, () => ({ type: "switch.off" }));
  expect(effects).toContainEqual(expect.objectContaining({ type: "image.retire", imageId: publishing.live?.imageId }));
  expect(effects).toContainEqual(expect.objectContaining({ type: "image.delete", imageId: publishing.live?.imageId }));
});

it("[IB15] nothing is active that was not verified: the candidate of a failed verification is deleted and the old image serves", () => {
  const bad = (state: ScopeState): ImageInput => ({
    type: "runtime.event",
    attempt: attemptOf(state),
    event: {
      type: "failed",
      failure: {
        code: "verify_failed",
        message: "verify.sh said no",
        hint: "h",
        phase: "verify",
        lines: ["1 of 3"],
        exitCode: 1,
      },
    },
  });
  const { state, effects } = drive(ready("a"), 2_000, ...refresh, ...building, finished("b"), snapshot, ...building, bad);
  expect(state.last).toMatchObject({ status: "failed", failure: { code: "verify_failed", lines: ["1 of 3"] } });
  expect(activeImage(state)?.sha).toBe(sha("a"));
  expect(effects).toContainEqual({ type: "image.delete", providerImageId: `im-${state.last?.id}`, imageId: state.last?.imageId });
  expect(effects.some((effect) => effect.type === "image.activate")).toBe(false);
});

it("[IB15] an image with another commit than the built one, or whose sandbox does not come up, fails its verification", () => {
  const other = (state: ScopeState): ImageInput => ({
    type: "runtime.event",
    attempt: attemptOf(state),
    event: { type: "verify.finished", sha: sha("c"), verifyRan: false },
  });
  const verifying = drive(emptyScope, 1_000, ...on, ...building, finished("a"), snapshot);
  expect(verifying.types, "the build's sandbox is not needed any more").toContain("sandbox.terminate");
  expect(drive(verifying.state, 2_000, ...building, other).state.last?.failure).toMatchObject({
    code: "verify_failed",
    phase: "verify",
  });
  const gone: (state: ScopeState) => ImageInput = (state) => ({
    type: "sandbox.polled",
    attempt: attemptOf(state),
    status: { status: "ended", exitCode: 1, reason: "exited" },
    lastLines: ["no runtime here"],
  });
  expect(drive(verifying.state, 2_000, ...building, gone).state.last?.failure).toMatchObject({
    code: "verify_failed",
    lines: ["no runtime here"],
  });
});

it("[IB16] a remembered trigger carries the newest head, and is skipped when the running build has brought it", () => {
  const push = (digit: string) => (): ImageInput => ({
    type: "trigger",
    trigger: "push",
    target,
    plan: plan(),
    sha: sha(digit),
    by: null,
  });
  const busy = drive(emptyScope, 1_000, ...on, ...building, push("b"), push("c")).state;
  expect(busy.next?.headSha).toBe(sha("c"));
  const same = drive(busy, 2_000, finished("c"), snapshot, ...proved, activated(true)).state;
  expect(same.live).toBeNull();
  expect(same.dropped).toMatchObject({ skipped: "unchanged", queued: { id: busy.next?.id } });
  expect(drive(busy, 2_000, finished("b"), snapshot, ...proved, activated(true)).state.live?.id).toBe(busy.next?.id);
});

it("[IB16] a manual refresh always builds, also what was just built", () => {
  const busy = drive(emptyScope, 1_000, ...on, ...building, () => ({ ...askAgain(), sha: sha("a") })).state;
  expect(drive(busy, 2_000, finished("a"), snapshot, ...proved, activated(true)).state.live?.trigger).toBe("refresh");
});

it("[IB17] cancel ends the build at every stage, and what served before goes on serving", () => {
  const cancel = (state: ScopeState): ImageInput => ({ type: "cancel", buildId: state.live?.id ?? "" });
  const stages: Record<string, ((state: ScopeState) => ImageInput)[]> = {
    waiting: [askAgain],
    planning: [askAgain, granted],
    creating: [...refresh],
    running: [...refresh, ...building],
    snapshotting: [...refresh, ...building, finished("b")],
    verifying: [...refresh, ...building, finished("b"), snapshot, ...building],
    publishing: [...refresh, ...building, finished("b"), snapshot, ...proved],
  };
  for (const [name, inputs] of Object.entries(stages)) {
    const { state, types, effects } = drive(ready("a"), 2_000, ...inputs, cancel);
    expect(state.live, name).toBeNull();
    expect(state.last?.status, name).toBe("cancelled");
    expect(activeImage(state)?.sha, name).toBe(sha("a"));
    expect(types, name).toContain("slot.release");
    if (name === "publishing") expect(effects).toContainEqual({ type: "image.serve", imageId: state.activeId });
  }
  const queued = drive(ready("a"), 2_000, ...refresh, ...building, askAgain).state;
  const dropped = stepImage(queued, { type: "cancel", buildId: queued.next?.id ?? "" }, 3_000).state;
  expect(dropped.next).toBeNull();
  expect(dropped.dropped).toMatchObject({ skipped: null, queued: { id: queued.next?.id } });
  expect(dropped.live?.id).toBe(queued.live?.id);
});

const setupFails = (state: ScopeState): ImageInput => ({
  type: "runtime.event",
  attempt: attemptOf(state),
  event: {
    type: "failed",
    failure: { code: "setup_failed", message: "m", hint: "h", phase: "setup", lines: ["x"], exitCode: 1 },
  },
});

it("[IB18] a commit that goes on failing is tried with growing pauses up to a day; a new commit is tried at once", () => {
  const hour = 60 * 60_000;
  const head = (digit: string): ImageInput => ({
    type: "head",
    head: { branch: "main", sha: sha(digit), archived: false },
    runtimeFloor: 1,
    plan: plan(),
  });
  const fails = (start: ScopeState, at: number, digit: string) => {
    const begun = stepImage(start, head(digit), at).state;
    return begun.live ? drive(begun, at, granted, planned, ...building, setupFails).state : null;
  };
  let now = 10_000;
  let state = drive(ready("a"), now, () => head("b"), granted, planned, ...building, setupFails).state;
  expect(state.failing).toMatchObject({ count: 1, firstSha: sha("b"), nextTryAt: now });
  const pauses: number[] = [];
  for (let round = 0; round < 8; round++) {
    const next = fails(state, now, "b");
    if (!next?.failing) throw new Error("it was not tried again when its time had come");
    state = next;
    pauses.push((next.failing.nextTryAt - now) / hour);
    expect(fails(state, next.failing.nextTryAt - 1, "b"), "not before its time").toBeNull();
    now = next.failing.nextTryAt;
  }
  expect(pauses).toEqual([1, 2, 4, 8, 16, 24, 24, 24]);
  expect(state.last?.tryNumber).toBe(9);
  const other = fails(state, now - 1, "c");
  expect(other?.failing, "another commit").toMatchObject({ count: 10, firstSha: sha("b"), triesOfSha: 1 });
  const good = drive(other ?? state, now, ...refresh, ...whole("d")).state;
  expect(good.failing).toBeNull();
});

it("[IB18] what passes by itself is tried at every tick; a change of the settings tries at once", () => {
  const refusal = { kind: "transient", code: "x", message: "down", hint: "h" } as const;
  const outage = (state: ScopeState): ImageInput => ({
    type: "sandbox.create_failed",
    attempt: attemptOf(state),
    failure: refusal,
  });
  let state = drive(emptyScope, 1_000, ...on, outage).state;
  for (let round = 0; round < 4; round++) state = drive(state, 2_000, ...refresh, outage).state;
  expect(state.failing).toMatchObject({ count: 5, nextTryAt: 2_000 });
  let failing = drive(emptyScope, 1_000, ...on, ...building, setupFails).state;
  failing = drive(failing, 2_000, ...refresh, ...building, setupFails).state;
  const settings = { limitMinutes: 60, keptImages: 3, rebuildMode: "auto" } as const;
  const changed = stepImage(failing, { type: "settings", target, settings, plan: plan() }, 3_000).state;
  expect(changed.live).toMatchObject({ trigger: "configuration", limitMs: 3_600_000 });
});

it("[IB19] a pinned image serves whatever the scheduler sees, until the pin ends", () => {
  const two = drive(ready("a"), 2_000, ...refresh, ...whole("b")).state;
  const old = two.images[1];
  const pin = { imageId: old?.id ?? "", reason: "b is slow", by: "dev", at: 3_000, until: 9_000 };
  const { state, types } = drive(two, 3_000, () => ({ type: "image.pin", pin }));
  expect(types).toEqual(["image.pin"]);
  expect(activeImage(state)?.sha).toBe(sha("a"));
  const head = { branch: "main", sha: sha("c"), archived: false };
  expect(drive(state, 4_000, () => ({ type: "head", head, runtimeFloor: 1, plan: plan() })).state.live).toBeNull();
  const built = drive(state, 5_000, ...refresh, ...whole("c")).state;
  expect(built.last?.status).toBe("ready");
  expect(activeImage(built)?.sha, "a build that a person asked for is kept, not active").toBe(sha("a"));
  expect(nextImageWakeAt(built, null)).toBe(9_000);
  const free = stepImage(built, { type: "clock", heardAt: null, lastLines: [] }, 9_000);
  expect(free.effects.map((effect) => effect.type)).toEqual(["image.unpin", "image.serve"]);
  expect(activeImage(free.state)?.sha, "what was built meanwhile serves").toBe(sha("c"));
  expect(stepImage(two, { type: "image.pin", pin: { ...pin, imageId: "img_other" } }, 3_000).effects, "not kept").toEqual([]);
});

it("[IB20] from the previous image while base, runtime and setup are the same; in full when it does not work or setup changed", () => {
  const next = drive(readyWithInputs("a"), 2_000, ...refresh);
  const previous = next.state.images[0];
  expect(next.state.live).toMatchObject({ mode: "incremental", modeReason: "same_inputs" });
  expect(next.effects.at(-1)).toMatchObject({ source: { kind: "image", providerImageId: previous?.providerImageId } });
  const done = drive(next.state, 2_000, ...building, known, finished("b"), snapshot, ...proved, activated(true)).state;
  expect(done.images[0]).toMatchObject({ chainDepth: 1, fullAt: previous?.fullAt, mode: "incremental" });

  const failed = drive(next.state, 2_000, ...building, setupFails);
  expect(failed.state.live).toMatchObject({ id: next.state.live?.id, mode: "full", modeReason: "incremental_failed" });
  expect(failed.types).toContain("sandbox.terminate");
  expect(failed.effects.at(-1)).toMatchObject({ type: "sandbox.create", source: { kind: "base" } });
  expect(failed.effects.at(-1)).not.toMatchObject({ name: `build-${next.state.live?.id}` });
  expect(drive(failed.state, 2_000, ...building, setupFails).state.last?.status, "once").toBe("failed");

  const outdated = drive(next.state, 2_000, ...building, (state) => ({
    type: "runtime.event",
    attempt: attemptOf(state),
    event: { type: "build.outdated", setup: null },
  }));
  expect(outdated.state.live).toMatchObject({ mode: "full", modeReason: "setup_changed" });
});

it("[IB20] in full once a day, on ten snapshots, for another base or runtime, and where a person wants it clean", () => {
  const reasonOf = (state: ScopeState, at: number, other: Partial<BuildGround> = {}) => {
    const plannedOn = (one: ScopeState): ImageInput => ({
      type: "build.planned",
      buildId: one.live?.id ?? "",
      ground: { ...ground, ...other },
    });
    return drive(state, at, askAgain, granted, plannedOn).state.live?.modeReason;
  };
  const state = readyWithInputs("a");
  const [image] = state.images;
  if (!image) throw new Error("no image");
  expect(reasonOf(state, 2_000)).toBe("same_inputs");
  expect(reasonOf(state, 1_000 + deadlines.fullRebuildMs)).toBe("daily");
  expect(reasonOf({ ...state, images: [{ ...image, chainDepth: 10 }] }, 2_000)).toBe("chain_too_deep");
  expect(reasonOf(state, 2_000, { base: "im-other" })).toBe("base_changed");
  expect(reasonOf(state, 2_000, { runtimeVersion: "r2" })).toBe("runtime_changed");
  expect(reasonOf(state, 2_000, { secretsVersion: 1 })).toBe("secrets_changed");
  expect(reasonOf(ready("a"), 2_000), "an image without known inputs").toBe("first_image");
  const settings = { limitMinutes: 30, keptImages: 3, rebuildMode: "clean" } as const;
  expect(reasonOf({ ...state, settings }, 2_000)).toBe("clean_setting");
});

it("[IB23] settings that decide what an image holds are inputs: the next build after their change is full, and says so", () => {
  const reasonOf = (state: ScopeState) => drive(state, 2_000, askAgain, granted, planned).state.live?.modeReason;
  const auto = { limitMinutes: 30, keptImages: 3, rebuildMode: "auto" } as const;
  const state = { ...readyWithInputs("a"), settings: auto };
  const digest = state.images[0]?.inputs?.settings;
  expect(digest).toMatch(/^[0-9a-f]{64}$/);
  // How long and how many is nothing that an image holds.
  expect(reasonOf({ ...state, settings: { ...auto, limitMinutes: 5, keptImages: 9 } })).toBe("same_inputs");
  const clean = drive({ ...state, settings: { ...auto, rebuildMode: "clean" } }, 2_000, askAgain, granted, planned, ...building);
  const [image] = state.images;
  if (!image?.inputs || !clean.state.live?.ground) throw new Error("no image");
  const cleanImage = { ...image, inputs: buildInputsOf(image.inputs, clean.state.live.ground) };
  expect(cleanImage.inputs.digest).not.toBe(image.inputs.digest);
  expect(reasonOf({ ...state, images: [cleanImage] })).toBe("settings_changed");
  // Of an image from before settings counted it is not known.
  const { settings: _, ...older } = image.inputs;
  expect(reasonOf({ ...state, images: [{ ...image, inputs: older }] })).toBe("same_inputs");
});

it("[IB23] files that are too many to be listed are part of the digest by their contents", () => {
  const workspace = { setup: null, refresh: null, files: [], omittedFiles: 3 };
  const digestOf = (omittedDigest: string) => buildInputsOf({ ...workspace, omittedDigest }, ground).digest;
  expect(digestOf("a".repeat(64))).not.toBe(digestOf("b".repeat(64)));
});

it("[IB21] the log is told once at 80 % of the limit", () => {
  const { state } = drive(emptyScope, 1_000, ...on, ...building);
  const clock: ImageInput = { type: "clock", heardAt: 400_000, lastLines: [] };
  const early = stepImage(state, clock, 480_000).state;
  expect(early.live?.note).not.toContain("80 %");
  const told = stepImage(early, clock, 481_000).state;
  expect(told.live?.note).toContain("80 % of the build's limit");
  expect(told.live?.warnAt).toBeNull();
});

it("[IB22] a repository's own limit and number of kept images hold; fewer kept images go at once", () => {
  const settings = { limitMinutes: 45, keptImages: 1, rebuildMode: "auto" } as const;
  const two = drive(ready("a"), 2_000, ...refresh, ...whole("b")).state;
  const trimmed = stepImage(two, { type: "settings", target, settings, plan: plan() }, 3_000);
  expect(trimmed.state.images).toHaveLength(1);
  expect(trimmed.effects).toEqual([expect.objectContaining({ type: "image.delete", imageId: two.images[1]?.id })]);
  expect(drive(trimmed.state, 4_000, askAgain).state.live?.limitMs).toBe(45 * 60_000);
});

it("[IB19] a pin ends in time for a successor of an image that the provider is about to drop", () => {
  const two = drive(ready("a"), 2_000, ...refresh, ...whole("b")).state;
  const old = two.images[1];
  const pin = { imageId: old?.id ?? "", reason: "b is slow", by: "dev", at: 3_000, until: null };
  const { state } = drive(two, 3_000, () => ({ type: "image.pin", pin }));
  const endsAt = (old?.expiresAt ?? 0) - deadlines.imageRenewMs;
  expect(nextImageWakeAt(state, null)).toBe(endsAt);
  expect(stepImage(state, { type: "clock", heardAt: null, lastLines: [] }, endsAt).state.pin).toBeNull();
});

it("[IB7] a kept image that the provider has dropped by now is kept no longer", () => {
  const two = drive(ready("a"), 2_000, ...refresh, ...whole("b")).state;
  const later = (two.images[1]?.expiresAt ?? 0) + 1;
  const head = { branch: "main", sha: sha("b"), archived: false };
  const { state, effects } = drive(two, later, () => ({ type: "head", head, runtimeFloor: 1, plan: plan() }));
  expect(state.images.map((image) => image.sha)).toEqual([sha("b")]);
  expect(effects).toContainEqual(expect.objectContaining({ type: "image.delete", imageId: two.images[1]?.id }));
});

it("[IB16] a remembered build of a repository that has lost its last branch is dropped, not forgotten", () => {
  const busy = drive(emptyScope, 1_000, ...on, ...building, askAgain).state;
  const without = { ...busy, target: { ...target, branch: null } };
  const { state } = drive(without, 2_000, finished("a"), snapshot, ...proved, activated(true));
  expect(state).toMatchObject({ live: null, next: null, dropped: { queued: { id: busy.next?.id }, skipped: null } });
});
