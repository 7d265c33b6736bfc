/** The rules of what begins a build, when, and from what, on the pure machine. */
import { expect, it } from "vitest";
import { deadlines } from "../../src/domain/deadlines.ts";
import { buildInputsOf } from "../../src/domain/image-inputs.ts";
import { type ImageInput } from "../../src/domain/image-messages.ts";
import { stepImage } from "../../src/domain/image-scope.ts";
import { type BuildGround, emptyScope, type ScopeState } from "../../src/domain/image-scope-state.ts";
import {
  activated,
  askAgain,
  attemptOf,
  building,
  drive,
  finished,
  granted,
  ground,
  known,
  on,
  plan,
  planned,
  proved,
  push,
  ready,
  readyWithInputs,
  refresh,
  sha,
  snapshot,
  target,
  whole,
} from "../fakes/image-driver.ts";

const setupFails = (state: ScopeState): ImageInput => ({
  type: "runtime.event",
  attempt: attemptOf(state),
  event: {
    type: "failed",
    failure: { code: "setup_failed", message: "m", hint: "h", phase: "setup", lines: ["x"], exitCode: 1 },
  },
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
  const { state } = drive(emptyScope, 1_000, ...on, ...building, askAgain, setupFails);
  expect(state.last?.status).toBe("failed");
  expect(state.live).not.toBeNull();
});

it("[IB12] a push of the commit that is active or being built changes nothing", () => {
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

it("[IB16] a remembered trigger carries the newest head, and is skipped when the running build has brought it", () => {
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

it("[IB16] a remembered build of a repository that has lost its last branch is dropped, not forgotten", () => {
  const busy = drive(emptyScope, 1_000, ...on, ...building, askAgain).state;
  const without = { ...busy, target: { ...target, branch: null } };
  const { state } = drive(without, 2_000, finished("a"), snapshot, ...proved, activated(true));
  expect(state).toMatchObject({ live: null, next: null, dropped: { queued: { id: busy.next?.id }, skipped: null } });
});
