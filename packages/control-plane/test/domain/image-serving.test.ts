/** The rules of a scope's images, which serves and which are kept, on the pure machine. */
import { expect, it } from "vitest";
import { deadlines } from "../../src/domain/deadlines.ts";
import { type ImageInput, nextImageWakeAt } from "../../src/domain/image-messages.ts";
import { deriveImageRecords } from "../../src/domain/image-records.ts";
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
  ground,
  hello,
  imageStateOf,
  on,
  plan,
  planned,
  proved,
  ready,
  readyWithInputs,
  refresh,
  sha,
  snapshot,
  target,
  whole,
} from "../fakes/image-driver.ts";

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

it("[IB11] a missing image is retired and rebuilt; one that is not kept any more is nobody's business", () => {
  const state = ready("a");
  const missing = drive(state, 2_000, () => ({ type: "image.missing", imageId: state.activeId ?? "", plan: plan() }));
  expect(missing.types).toEqual(["image.retire", "image.delete", "slot.request"]);
  expect(imageStateOf(missing.state).active).toBeNull();
  expect(drive(state, 2_000, () => ({ type: "image.missing", imageId: "img_other", plan: plan() })).effects).toEqual([]);
});

it("[IB8] switching off while the database's switch has not answered retires the image that it may have made active", () => {
  const publishing = drive(emptyScope, 1_000, ...on, created, hello, finished("a"), snapshot, ...proved).state;
  const { effects } = drive(publishing, 2_000, () => ({ type: "switch.off" }));
  expect(effects).toContainEqual(expect.objectContaining({ type: "image.retire", imageId: publishing.live?.imageId }));
  expect(effects).toContainEqual(expect.objectContaining({ type: "image.delete", imageId: publishing.live?.imageId }));
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
