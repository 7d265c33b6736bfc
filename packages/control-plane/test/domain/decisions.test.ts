/** The small pure decisions: status word, what a session starts from, what a tick does, what a start cost. */
import { type BuildStatus, bridgeProtocolVersion, type PhaseRecord } from "@open-inspect/protocol";
import { expect, it } from "vitest";
import { deadlines } from "../../src/domain/deadlines.ts";
import { type SelectionFacts, selectImage } from "../../src/domain/image-selection.ts";
import { evaluateImageStatus } from "../../src/domain/image-status.ts";
import { createReceipt } from "../../src/domain/receipt.ts";
import { decideTick, type TickFacts } from "../../src/domain/schedule.ts";
import { storedImage } from "../fakes/stored-image.ts";

const now = 1_000_000_000;
const sha = (digit: string) => digit.repeat(40);
const image = storedImage({ sha: sha("a"), createdAt: now - 1_000, expiresAt: now + deadlines.imageTtlMs, buildMs: 9_000 });

it("[ST1] the five words by precedence", () => {
  const word = (enabled: boolean, hasImage: boolean, latestBuild: BuildStatus | null) =>
    evaluateImageStatus({ enabled, hasImage, latestBuild });
  expect(word(false, true, "running")).toBe("disabled");
  for (const status of ["queued", "provisioning", "running", "snapshotting"] as const)
    expect(word(true, true, status)).toBe("building");
  expect(word(true, true, "failed")).toBe("failed");
  expect(word(true, true, "ready")).toBe("ready");
  expect(word(true, true, "cancelled")).toBe("ready");
  expect(word(true, false, "superseded")).toBe("none");
  expect(word(true, false, null)).toBe("none");
});

it("[IS1] the active image, or one reason why not", () => {
  const facts: SelectionFacts = { enabled: true, active: image, latestBuild: "ready", runtimeFloor: 1 };
  const reason = (other: Partial<SelectionFacts> | null, branch = "main") => {
    const selection = selectImage(other && { ...facts, ...other }, branch, now);
    return selection.kind === "cold" ? selection.reason : selection.image.id;
  };
  expect(reason({})).toBe("img_1");
  expect(reason({ latestBuild: "failed" }), "the last good image serves").toBe("img_1");
  expect(reason({ latestBuild: "running" })).toBe("img_1");
  expect(reason(null)).toBe("lookup_failed");
  expect(reason({ enabled: false })).toBe("images_disabled");
  expect(reason({ active: null, latestBuild: null })).toBe("no_image_yet");
  expect(reason({ active: null, latestBuild: "running" })).toBe("first_build_running");
  expect(reason({ active: null, latestBuild: "failed" })).toBe("first_build_failed");
  expect(reason({}, "feature")).toBe("other_branch");
  expect(reason({ active: { ...image, expiresAt: now + 1_000 } })).toBe("image_expired");
  expect(reason({ active: { ...image, bridgeProtocol: bridgeProtocolVersion + 1 } })).toBe("runtime_outdated");
  expect(reason({ runtimeFloor: 2 }), "a runtime below the floor").toBe("runtime_outdated");
});

const facts: TickFacts = { enabled: true, active: image, building: null, failing: null, pinned: false, runtimeFloor: 1 };
const head = { branch: "main", sha: sha("a"), archived: false };

it("[TK1] moved is built, unchanged skipped, failed tried again, running left alone", () => {
  const failed = (digit: string | null) => ({ sha: digit && sha(digit), nextTryAt: now });
  const decide = (other: Partial<TickFacts>, at: Partial<typeof head> = {}) =>
    decideTick({ ...facts, ...other }, { ...head, ...at }, now);
  const moved = { do: "build", outcome: "moved" };
  const retried = { do: "build", outcome: "retried" };
  expect(decide({})).toEqual({ do: "nothing", outcome: "unchanged" });
  expect(decide({}, { sha: sha("b") })).toEqual(moved);
  expect(decide({}, { branch: "trunk" }), "a renamed default branch").toEqual(moved);
  expect(decide({ active: null })).toEqual(moved);
  expect(decide({ failing: failed("b") }, { sha: sha("b") }), "the same commit failed").toEqual(retried);
  expect(decide({ failing: failed("b") }, { sha: sha("c") }), "another commit failed").toEqual(moved);
  expect(decide({ failing: failed("a") }), "a refresh of the active commit failed").toEqual(retried);
  expect(decide({ failing: failed("b") }), "the head is back on the commit that serves").toEqual(retried);
  expect(decide({ active: null, failing: failed(null) }), "it failed before the clone").toEqual(retried);
  expect(decide({ building: { sha: null } })).toEqual({ do: "wait", outcome: "building", again: false });
  expect(decide({ building: { sha: sha("a") } })).toEqual({ do: "wait", outcome: "building", again: false });
  expect(decide({ building: { sha: sha("c") } }), "the branch moved under the build").toEqual({
    do: "wait",
    outcome: "building",
    again: true,
  });
  expect(decide({ enabled: false })).toEqual({ do: "nothing", outcome: null });
});

it("[TK6] a pinned image, an archived repository and a commit whose time has not come are left alone, each by its name", () => {
  const later = { sha: sha("b"), nextTryAt: now + 1 };
  const outcome = (other: Partial<TickFacts>, at: Partial<typeof head> = {}) =>
    decideTick({ ...facts, ...other }, { ...head, ...at }, now);
  expect(outcome({ pinned: true }, { sha: sha("b") })).toEqual({ do: "nothing", outcome: "pinned" });
  expect(outcome({}, { sha: sha("b"), archived: true })).toEqual({ do: "nothing", outcome: "archived" });
  expect(outcome({ failing: later }, { sha: sha("b") })).toEqual({ do: "nothing", outcome: "backing_off" });
});

it("[TK3] an unknown head changes nothing", () => {
  expect(decideTick({ ...facts, failing: { sha: null, nextTryAt: 0 } }, null, now)).toEqual({
    do: "nothing",
    outcome: "unavailable",
  });
});

it("[TK4] an image near its end, or with a runtime below the floor, is renewed although nothing moved", () => {
  const active = { ...image, expiresAt: now + deadlines.imageRenewMs - 1 };
  expect(decideTick({ ...facts, active }, head, now)).toEqual({ do: "build", outcome: "renewed" });
  expect(decideTick({ ...facts, runtimeFloor: 2 }, head, now)).toEqual({ do: "build", outcome: "renewed" });
});

it("[SE3] the receipt names the cold cost: measured before, else from the build, else its own when cold", () => {
  const phase = (name: PhaseRecord["phase"], durationMs: number): PhaseRecord => ({
    phase: name,
    startedAt: 0,
    durationMs,
    outcome: "done",
  });
  const build = {
    phases: [phase("sandbox", 100), phase("connect", 50), phase("clone", 2_000), phase("setup", 30_000), phase("snapshot", 900)],
    at: 5,
  };
  const facts = {
    from: "image" as const,
    warm: null,
    image: { id: "img_1", sha: sha("a") },
    bakedSha: sha("a"),
    syncedSha: sha("b"),
    setupRan: false,
    askedAt: 1_000,
    attemptAt: 1_000,
    phases: [phase("sync", 40), phase("agent", 700)],
    now: 1_900,
  };
  const measured = createReceipt({ ...facts, history: { measured: { ms: 40_000, at: 3 }, build } });
  expect(measured).toMatchObject({ startMs: 900, startedFrom: "image", cold: { ms: 40_000, source: "measured", measuredAt: 3 } });
  expect(createReceipt({ ...facts, history: { measured: null, build } }).cold).toEqual({
    ms: 32_850,
    source: "build",
    measuredAt: 5,
  });
  expect(createReceipt({ ...facts, history: { measured: null, build: null } }).cold).toBeNull();
  const cold = createReceipt({ ...facts, from: "base", image: null, history: { measured: { ms: 40_000, at: 3 }, build } });
  expect(cold).toMatchObject({ startedFrom: "base", bakedSha: null, cold: { ms: 900, source: "measured", measuredAt: 1_900 } });
});

it("[SE10] a cold start's cost is that of the attempt that got ready, the person's wait is all of it", () => {
  const facts = { bakedSha: null, syncedSha: sha("b"), setupRan: true, phases: [], history: { measured: null, build: null } };
  const receipt = createReceipt({
    ...facts,
    from: "base",
    warm: null,
    image: null,
    askedAt: 1_000,
    attemptAt: 61_000,
    now: 70_000,
  });
  expect(receipt).toMatchObject({ startMs: 69_000, cold: { ms: 9_000, source: "measured" } });
});
