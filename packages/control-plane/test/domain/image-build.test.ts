/** The rules of one build, from what asks for it to its end, on the pure machine. */
import { expect, it } from "vitest";
import { deadlines } from "../../src/domain/deadlines.ts";
import { type ImageEffect, type ImageInput, nextImageWakeAt } from "../../src/domain/image-messages.ts";
import { stepImage } from "../../src/domain/image-scope.ts";
import { activeImage, emptyScope, type ScopeState } from "../../src/domain/image-scope-state.ts";
import {
  activated,
  ask,
  askAgain,
  attemptOf,
  building,
  created,
  drive,
  finished,
  granted,
  hello,
  imageStateOf,
  on,
  proved,
  ready,
  refresh,
  sha,
  snapshot,
  whole,
} from "../fakes/image-driver.ts";

const basePending =
  (create: ImageEffect | undefined) =>
  (state: ScopeState): ImageInput => {
    if (create?.type !== "sandbox.create") throw new Error("no create is owed");
    return { type: "sandbox.base_pending", attempt: attemptOf(state), create, said: "It is being built." };
  };

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

it("[FX7] every live stage has a time to wake at, or an owed effect that has an end", () => {
  let state = emptyScope;
  for (const input of [...on, created, hello, finished("a"), snapshot, created, hello]) {
    state = stepImage(state, input(state), 1_000).state;
    expect(nextImageWakeAt(state, null), JSON.stringify(state.live?.stage)).not.toBeNull();
  }
});

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

it("[IB21] the log is told once at 80 % of the limit", () => {
  const { state } = drive(emptyScope, 1_000, ...on, ...building);
  const clock: ImageInput = { type: "clock", heardAt: 400_000, lastLines: [] };
  const early = stepImage(state, clock, 480_000).state;
  expect(early.live?.note).not.toContain("80 %");
  const told = stepImage(early, clock, 481_000).state;
  expect(told.live?.note).toContain("80 % of the build's limit");
  expect(told.live?.warnAt).toBeNull();
});
