/** How a session is stopped, kept, moved and started again. */
import { type FailureCode } from "@open-inspect/protocol";
import { expect, it } from "vitest";
import { deadlines } from "../../src/domain/deadlines.ts";
import { createFailure } from "../../src/domain/failures.ts";
import { stepSession } from "../../src/domain/session.ts";
import { readSessionState } from "../../src/domain/session-upgrade.ts";
import { factsOf, shownStateOf, summaryOf } from "../../src/domain/session-views.ts";
import { createSessionDriver } from "../fakes/session-driver.ts";
import { storedImage } from "../fakes/stored-image.ts";

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const dayMs = 24 * hourMs;
const image = storedImage({ providerImageId: "im-repository" });
const fromImage = { image, cold: null };
const working = { isWorking: true, promptCount: 1 };
const failedWith = (code: FailureCode) =>
  ({ type: "failed", failure: createFailure(code, { message: `because of ${code}` }) }) as const;
type Driver = ReturnType<typeof createSessionDriver>;

/** Starts again until it has failed, each time as fast as it can. */
function failAgain(session: Driver, code: FailureCode = "agent_failed"): void {
  if (session.at() === "choosing") noImage(session);
  session.up();
  session.event(failedWith(code));
}
const noImage = (session: Driver) =>
  session.input({
    ...{ type: "image.looked_up", serial: session.state().serial, history: { measured: null, build: null } },
    selection: { kind: "cold", reason: "no_image_yet" },
  });

it("[SE15] the states in their order, until it is kept and stopped because nothing is asked of it", () => {
  const session = createSessionDriver();
  const seen = [session.view().status];
  for (const step of [session.created, session.started, session.connected, session.sessionReady]) {
    step();
    seen.push(session.view().status);
  }
  expect(session.view().idleStopAt).toBe(session.now() + 10 * minuteMs);
  session.pass(10 * minuteMs - 1);
  seen.push(session.view().status);
  session.pass(1);
  seen.push(session.view().status);
  expect(session.owed("snapshot")).toEqual([{ type: "snapshot", attempt: "one", sandboxId: "sb-one" }]);
  expect(session.ever("sandbox.terminate"), "not before it is kept").toEqual([]);
  session.taken();
  seen.push(session.view().status);
  expect(session.owed("sandbox.terminate")).toMatchObject([{ sandboxId: "sb-one" }]);
  session.sandboxEnded();
  seen.push(session.view().status);
  expect(seen).toEqual([
    ...["created", "connecting", "connecting", "syncing", "ready", "ready", "snapshotting", "stopping", "stopped"],
  ]);
  expect(session.view()).toMatchObject({ failure: null, snapshot: { takenAt: session.now() }, idleStopAt: null });
});

it("[SE15] a prompt that runs or waits is activity; the time counts from its end", () => {
  const session = createSessionDriver({ idleStopMs: 5 * minuteMs });
  session.ready();
  session.work(working);
  expect(session.view()).toMatchObject({ isWorking: true, idleStopAt: null });
  for (let passed = 0; passed < hourMs; passed += 5 * minuteMs) session.pass(5 * minuteMs);
  expect(session.at()).toBe("ready");
  session.work({ ...working, isWorking: false });
  session.pass(5 * minuteMs - 1);
  expect(session.at()).toBe("ready");
  session.pass(1);
  expect(session.at()).toBe("snapshotting");
});

it("[SE15] a refresh beside the agent is activity as well", () => {
  const session = createSessionDriver();
  session.ready();
  session.event({ type: "setup.stale", files: ["package-lock.json"], refresh: "running" });
  expect(session.view().idleStopAt).toBeNull();
  session.pass(20 * minuteMs);
  session.event({ type: "setup.stale", files: ["package-lock.json"], refresh: "done" });
  expect(session.view()).toMatchObject({ status: "ready", idleStopAt: session.now() + 10 * minuteMs });
});

it("[SE15] who slept over the idle stop looks again first, because work may have come meanwhile", () => {
  const session = createSessionDriver();
  session.ready();
  session.pass(10 * minuteMs + deadlines.lateMs + 1);
  expect(session.at()).toBe("ready");
  session.pass(10 * minuteMs);
  expect(session.at()).toBe("snapshotting");
});

it("[SE15] work that comes while it is kept goes on from the snapshot, since a sandbox can be kept once only", () => {
  const session = createSessionDriver();
  session.ready();
  session.pass(10 * minuteMs);
  session.work(working);
  expect(session.at()).toBe("snapshotting");
  session.taken("im-kept");
  expect(session.owed("sandbox.terminate")).toMatchObject([{ sandboxId: "sb-one" }]);
  expect(session.owed("sandbox.create")).toMatchObject([{ source: { kind: "image", providerImageId: "im-kept" } }]);
  expect(session.view().status).toBe("created");
});

it("[SE5] a person's stop ends what runs and waits, keeps the files, then ends the sandbox; again it changes nothing", () => {
  const session = createSessionDriver();
  session.ready();
  session.work({ isWorking: true, promptCount: 2 });
  session.input({ type: "stop" });
  expect(session.owed("prompts.end")).toMatchObject([{ which: "all", outcome: "stopped" }]);
  expect(session.owed("snapshot"), "what is aborted comes to rest first").toMatchObject([{ afterMs: deadlines.settleMs }]);
  expect(session.input({ type: "stop" })).toEqual([]);
  session.work({ promptCount: 2 });
  session.taken();
  expect(session.owed("bridge.shutdown")).toHaveLength(1);
  expect(session.input({ type: "stop" })).toEqual([]);
  session.sandboxEnded();
  expect(session.view()).toMatchObject({ status: "stopped", isWorking: false, failure: null });
  expect(session.input({ type: "stop" })).toEqual([]);
});

it("[SE5] what was never ready has no files to keep", () => {
  const session = createSessionDriver();
  session.up();
  session.input({ type: "stop" });
  expect(session.owed("snapshot")).toEqual([]);
  expect(session.owed("sandbox.terminate")).toHaveLength(1);
});

it("[SE16] a snapshot that cannot be taken ends in a stop that says so; one that comes late is taken all the same", () => {
  const refused = createSessionDriver();
  refused.ready();
  refused.input({ type: "stop" });
  refused.snapshotFailed();
  refused.sandboxEnded();
  expect(refused.view()).toMatchObject({
    ...{ status: "stopped", snapshot: null },
    failure: { code: "snapshot_failed", lines: expect.arrayContaining(["the disk is on fire"]) },
  });
  refused.taken("im-late");
  expect(refused.view()).toMatchObject({ failure: null, snapshot: { takenAt: refused.now() } });

  const silent = createSessionDriver();
  silent.ready();
  silent.input({ type: "stop" });
  expect(silent.wakeAt()).toBe(silent.now() + deadlines.snapshotLimitMs);
  silent.pass(deadlines.snapshotLimitMs);
  expect(silent.at()).toBe("stopping");
  silent.pass(deadlines.stopLimitMs);
  expect(silent.view()).toMatchObject({ status: "stopped", failure: { code: "snapshot_failed" } });
});

it("[SE17] only the newest snapshot is kept; an archived session's and one at its end are not", () => {
  const session = createSessionDriver();
  session.ready();
  session.input({ type: "stop" });
  session.taken("im-first");
  session.sandboxEnded();
  session.input({ type: "resume" });
  session.ready();
  session.input({ type: "stop" });
  session.taken("im-second");
  expect(session.owed("snapshot.delete")).toEqual([{ type: "snapshot.delete", providerImageId: "im-first" }]);
  session.sandboxEnded();
  session.taken("im-second", "two");
  expect(session.ever("snapshot.delete"), "a repeated answer deletes nothing").toHaveLength(1);

  session.input({ type: "archive" });
  expect(session.wakeAt()).toBe(session.now() + 7 * dayMs);
  session.pass(7 * dayMs - 1);
  expect(session.view().snapshot).not.toBeNull();
  session.pass(1);
  expect(session.owed("snapshot.delete")).toEqual([{ type: "snapshot.delete", providerImageId: "im-second" }]);
  expect(session.view().snapshot).toBeNull();

  const old = createSessionDriver();
  old.ready();
  old.stopped();
  expect(old.wakeAt()).toBe(old.now() + 30 * dayMs);
  old.pass(30 * dayMs);
  expect(old.view().snapshot, "the provider forgets it by itself").toBeNull();
  expect(old.ever("snapshot.delete")).toEqual([]);
  expect(old.wakeAt()).toBeNull();
});

it("[SE17] a snapshot of a sandbox that the session has left behind is deleted", () => {
  const session = createSessionDriver();
  session.ready();
  session.input({ type: "stop" });
  session.snapshotFailed();
  session.sandboxEnded();
  session.input({ type: "resume" });
  noImage(session);
  session.up();
  session.taken("im-of-the-first", "one");
  expect(session.owed("snapshot.delete")).toEqual([{ type: "snapshot.delete", providerImageId: "im-of-the-first" }]);
  expect(session.view().snapshot).toBeNull();
});

it("[SE18] an idle session is moved to a new sandbox at 23 hours, with its files", () => {
  const session = createSessionDriver({ idleStopMs: 12 * hourMs });
  session.ready();
  expect(session.ever("sandbox.create")[0]?.timeoutMs, "below the provider's 24 hours").toBeLessThan(24 * hourMs);
  session.pass(11 * hourMs);
  session.work({ ...working, isWorking: true });
  session.work({ ...working, isWorking: false });
  session.pass(12 * hourMs - 1);
  expect(session.at()).toBe("ready");
  session.pass(1);
  session.taken("im-kept");
  expect(session.owed("sandbox.terminate")).toMatchObject([{ sandboxId: "sb-one" }]);
  expect(session.owed("sandbox.create")).toMatchObject([{ source: { providerImageId: "im-kept" }, name: "session-ses_1-2" }]);
  session.ready();
  expect(session.view()).toMatchObject({ status: "ready", receipt: { startedFrom: "snapshot" } });
  session.pass(hourMs);
  expect(session.at(), "the new sandbox has a lifetime of its own").toBe("ready");
});

it("[SE18] one that works is moved at 23.5 hours: the prompt in hand ends with the cause, what waits goes on", () => {
  const session = createSessionDriver();
  session.ready();
  session.work({ isWorking: true, promptCount: 2 });
  session.pass(23.5 * hourMs - 1);
  expect(session.at()).toBe("ready");
  session.pass(1);
  expect(session.owed("prompts.end")).toMatchObject([
    { which: "running", outcome: "failed", cause: expect.stringContaining("24 hours") },
  ]);
  session.work({ isWorking: true, promptCount: 2 });
  session.taken();
  session.ready();
  expect(session.view()).toMatchObject({ status: "ready", isWorking: true });
});

it("[SE19] a prompt to a stopped session starts it from its snapshot: a new attempt under a new name, its worktree as it was", () => {
  const session = createSessionDriver(fromImage);
  session.ready();
  session.stopped();
  session.pass(hourMs);
  session.work(working);
  expect(session.view()).toMatchObject({ status: "created", cold: null, image: null, fallbacks: [], endedAt: null });
  expect(session.owed("sandbox.create")).toMatchObject([
    { attempt: "two", name: "session-ses_1-2", source: { kind: "image", providerImageId: "snapshot-of-one" } },
  ]);
  session.created();
  expect(session.owed("sandbox.start")).toMatchObject([{ launch: { startFrom: "snapshot" } }]);
  session.started();
  session.connected();
  session.sessionReady();
  expect(session.view().receipt).toMatchObject({ startedFrom: "snapshot", imageId: null, bakedSha: null, startMs: 0 });
  session.stopped();
  session.work({ isWorking: true, promptCount: 2 });
  expect(session.state().attempt, "as long as a token's").not.toBe("one");
});

it("[SE19] what does not start from its snapshot tries it once more, then the repository's image as it is now, then the base; each is named", () => {
  const session = createSessionDriver();
  session.ready();
  session.stopped();
  session.input({ type: "resume" });
  const lost = { type: "failed", failure: createFailure("runtime_never_connected") } as const;
  session.up();
  session.event(lost);
  expect(session.owed("sandbox.create")).toMatchObject([{ source: { providerImageId: "snapshot-of-one" } }]);
  session.up();
  session.event(lost);
  expect(session.owed("image.look_up")).toHaveLength(1);
  expect(session.view().status).toBe("created");
  session.input({
    ...{ type: "image.looked_up", serial: session.state().serial, history: { measured: null, build: null } },
    selection: { kind: "image", image },
  });
  expect(session.owed("sandbox.create")).toMatchObject([{ source: { providerImageId: "im-repository" } }]);
  session.up();
  session.event(failedWith("agent_failed"));
  expect(session.owed("sandbox.create")).toMatchObject([{ source: { kind: "base" } }]);
  session.ready();
  expect(session.view()).toMatchObject({
    receipt: { startedFrom: "base" },
    fallbacks: [
      { from: "snapshot", reason: lost.failure.message },
      { from: "snapshot", reason: lost.failure.message },
      { from: "image", reason: "because of agent_failed" },
    ],
  });
  expect(session.view().snapshot, "its files are kept until there are newer ones").not.toBeNull();
  expect(new Set(session.ever("sandbox.create").map(({ name }) => name)).size).toBe(5);
});

it("[SE19] a snapshot that is gone, past its end or was never taken is named, too", () => {
  const gone = createSessionDriver();
  gone.ready();
  gone.stopped();
  gone.input({ type: "resume" });
  const failure = { kind: "not_found", code: "image_not_found", message: "gone", hint: "" } as const;
  gone.input({ type: "sandbox.create_failed", attempt: gone.state().attempt, failure });
  noImage(gone);
  expect(gone.view()).toMatchObject({
    snapshot: null,
    cold: { code: "no_image_yet" },
    fallbacks: [{ from: "snapshot", reason: expect.stringContaining("not at the provider") }, { from: "image" }],
  });

  const never = createSessionDriver();
  never.up();
  never.input({ type: "stop" });
  never.sandboxEnded();
  never.work(working);
  expect(never.view().fallbacks).toEqual([{ from: "snapshot", reason: expect.stringContaining("No snapshot") }]);

  const old = createSessionDriver();
  old.ready();
  old.stopped();
  old.input({ type: "archive" });
  old.input({ type: "restore" });
  const { expiresAt = 0 } = old.view().snapshot ?? {};
  old.input({ type: "clock", heardAt: null, lastLines: [] });
  old.pass(expiresAt - old.now() - deadlines.imageUseMarginMs);
  old.input({ type: "resume" });
  expect(old.view().fallbacks).toEqual([{ from: "snapshot", reason: expect.stringContaining("end of its life") }]);
});

it("[SE18] [SE19] when the files of the last sandbox were not kept, the session that goes on from older ones says so, and tries those twice", () => {
  for (const lose of [
    (session: Driver) => {
      // At its move the provider cannot take the snapshot.
      session.pass(23.5 * hourMs);
      const [told] = session.owed("prompts.end");
      expect(told?.cause, "nobody knows yet whether they will be kept").not.toMatch(/files/);
      session.work({ isWorking: true, promptCount: 3 });
      session.snapshotFailed();
      session.sandboxEnded();
    },
    (session: Driver) => {
      session.died();
      session.work({ isWorking: true, promptCount: 3 });
    },
  ]) {
    const session = createSessionDriver();
    session.ready();
    session.stopped();
    session.pass(hourMs);
    session.work(working);
    expect(session.view().fallbacks).toEqual([]);
    session.ready();
    session.work({ isWorking: true, promptCount: 2 });
    session.pass(minuteMs);
    lose(session);
    const older = { from: "snapshot", reason: expect.stringContaining("were not kept") };
    expect(session.view().fallbacks).toEqual([older]);
    expect(session.ever("sandbox.create").at(-1)).toMatchObject({ source: { providerImageId: "snapshot-of-one" } });
    session.up();
    session.event({ type: "failed", failure: createFailure("runtime_never_connected") });
    expect(session.owed("sandbox.create"), "a second try").toMatchObject([{ source: { providerImageId: "snapshot-of-one" } }]);
    session.ready();
    expect(session.view()).toMatchObject({ status: "ready", fallbacks: [older, { from: "snapshot" }] });
  }
});

it("[SE19] a snapshot whose runtime is not used any more is left out, with the reason", () => {
  const session = createSessionDriver();
  session.ready();
  session.stopped();
  expect(session.state().snapshot?.runtimeRevision).toBe(1);
  session.work(working);
  const reason = "The session's own snapshot holds a runtime that is not used any more.";
  session.input({ type: "snapshot.refused", attempt: "one", reason });
  expect(session.at(), "of another attempt").toBe("starting");
  session.input({ type: "snapshot.refused", attempt: session.state().attempt, reason });
  expect(session.owed("image.look_up")).toHaveLength(1);
  noImage(session);
  expect(session.view()).toMatchObject({ fallbacks: [{ from: "snapshot", reason }, { from: "image" }], status: "created" });
});

it("[SE26] a session that an earlier version stored goes on: it can be seen, kept and resumed", () => {
  const earlier = createSessionDriver(fromImage);
  earlier.ready();
  const { id, repository, branch, isDefaultBranch, model, title, acceptedAt, history, startLimitMs } = earlier.state();
  const { attempt, attemptAt, phases, bakedSha, syncedSha, setupRan, readyAt, receipt, stage } = earlier.state();
  if (stage.at !== "ready") throw new Error("not ready");
  const stored = {
    ...{ id, repository, branch, isDefaultBranch, model, title, acceptedAt, history, startLimitMs, image, cold: null },
    ...{ attempt, spareAttempt: "two", attemptAt, phases, bakedSha, syncedSha, setupRan, readyAt, receipt },
    stage: { at: "ready", life: stage.life },
  };
  const state = readSessionState(JSON.parse(JSON.stringify(stored)));
  expect(shownStateOf(state)).toMatchObject({ status: "ready", isWorking: false, startedFrom: "image" });
  const due = (state.readyAt ?? 0) + 10 * minuteMs;
  const kept = stepSession(state, { type: "clock", heardAt: due, lastLines: [] }, due).state;
  expect(kept?.stage.at).toBe("snapshotting");
  expect(readSessionState(earlier.state())).toBe(earlier.state());
});

it("[SE19] what the database keeps of a start is the first one's, however often the session is resumed", () => {
  const session = createSessionDriver(fromImage);
  session.up();
  session.event({ type: "workspace.synced", sha: "b".repeat(40), bakedSha: image.sha });
  session.event({ type: "workspace.behind", commits: 3, oldestAt: 1 });
  session.pass(500);
  session.event({ type: "session.ready", sha: "b".repeat(40), setupRan: false, agentVersion: "1" });
  const first = { ...factsOf(session.state()), version: 0 };
  const { startMs, startedFrom, readyAt } = summaryOf(session.state());
  expect(first).toMatchObject({ imageId: image.id, behindCommits: 3, atHead: true });
  expect({ startMs, startedFrom }).toEqual({ startMs: 500, startedFrom: "image" });
  session.stopped();
  session.input({ type: "resume" });
  session.pass(7_000);
  session.ready();
  expect(session.view().receipt).toMatchObject({ startedFrom: "snapshot", startMs: 7_000 });
  expect({ ...factsOf(session.state()), version: 0 }).toEqual(first);
  expect(summaryOf(session.state())).toMatchObject({ startMs, startedFrom, readyAt });
});

it("[SE20] three failures within ten minutes: it does not start by itself any more, what waits is told, a person's resume counts", () => {
  const session = createSessionDriver();
  session.work(working);
  failAgain(session);
  expect(session.owed("prompts.end")).toMatchObject([{ which: "running" }]);
  session.work(working);
  session.pass(3 * minuteMs);
  failAgain(session);
  session.work(working);
  session.pass(3 * minuteMs);
  failAgain(session);
  expect(session.owed("prompts.end")).toMatchObject([
    { which: "all", outcome: "failed", cause: expect.stringContaining("3 times") },
  ]);
  session.work({ promptCount: 1 });
  expect(session.view()).toMatchObject({
    status: "failed",
    failure: { code: "starts_suspended", message: expect.stringContaining("because of agent_failed") },
  });
  session.pass(hourMs);
  session.work({ isWorking: true, promptCount: 2 });
  expect(session.owed("prompts.end")).toMatchObject([{ which: "all", cause: expect.stringContaining("3 times") }]);
  expect(session.view()).toMatchObject({ status: "failed", isWorking: false });
  session.input({ type: "resume" });
  expect(session.view().status).toBe("created");
  failAgain(session);
  session.work({ isWorking: true, promptCount: 3 });
  expect(session.view().status, "it counts from the beginning").toBe("created");
});

it("[SE20] failures that are further apart count for themselves, but not for ever", () => {
  const session = createSessionDriver();
  const failLater = (times: number) => {
    for (let time = 0; time < times; time++) {
      failAgain(session);
      session.pass(6 * minuteMs);
      session.work({ isWorking: true, promptCount: time + 1 });
    }
  };
  failLater(5);
  expect(session.view().status).toBe("created");
  if (session.at() === "choosing") noImage(session);
  session.ready();
  session.pass(10 * minuteMs);
  session.died();
  session.work({ isWorking: true, promptCount: 1 });
  expect(session.view().status, "it was up for long enough").toBe("created");
  failLater(5);
  expect(session.view()).toMatchObject({ status: "failed", failure: { code: "starts_suspended" } });
});

it("[SE7] [SE21] when the sandbox dies the prompt in hand fails with the cause; what waits makes the session start again", () => {
  const session = createSessionDriver();
  session.ready();
  session.work({ isWorking: true, promptCount: 2 });
  session.died();
  expect(session.owed("prompts.end")).toMatchObject([
    { which: "running", attempt: "one", outcome: "failed", cause: expect.stringContaining("The sandbox died") },
  ]);
  expect(session.view(), "nothing starts before it is known what is left").toMatchObject({ status: "failed", isWorking: false });
  session.work({ isWorking: true, promptCount: 2 });
  expect(session.view()).toMatchObject({ status: "created", failure: null });

  const alone = createSessionDriver();
  alone.ready();
  alone.work(working);
  alone.died();
  alone.work({ promptCount: 1 });
  expect(alone.view()).toMatchObject({ status: "failed", failure: { code: "sandbox_lost" } });
});

for (const code of ["branch_not_found", "credentials_refused", "clone_failed", "setup_failed"] as const) {
  it(`[SE21] after ${code}, which another sandbox would meet too, what waits is told; a new prompt tries again`, () => {
    const session = createSessionDriver();
    session.work(working);
    failAgain(session, code);
    expect(session.owed("prompts.end")).toMatchObject([{ which: "all", cause: `because of ${code}` }]);
    session.work({ promptCount: 1 });
    expect(session.view()).toMatchObject({ status: "failed", failure: { code } });
    session.work({ isWorking: true, promptCount: 2 });
    expect(session.view().status).toBe("created");
  });
}

it("[SE22] answers of a sandbox that the session has left change nothing", () => {
  const session = createSessionDriver();
  session.ready();
  session.stopped();
  session.input({ type: "resume" });
  session.up();
  const before = session.state();
  session.event({ type: "session.ready", sha: "c".repeat(40), setupRan: true, agentVersion: "1" }, "one");
  session.event(failedWith("agent_failed"), "one");
  session.died("one");
  session.sandboxEnded("one");
  session.input({ type: "bridge.closed", attempt: "one" });
  session.input({ type: "runtime.connected", attempt: "one", runtimeVersion: "r", runtimeRevision: 1, protocol: 9 });
  session.input({
    type: "runtime.start_failed",
    attempt: "one",
    failure: { kind: "permanent", code: "x", message: "", hint: "" },
  });
  session.input({
    ...{ type: "image.looked_up", serial: 1, history: { measured: null, build: null } },
    selection: { kind: "image", image },
  });
  expect({ ...session.state(), version: 0 }).toEqual({ ...before, version: 0 });
  session.created("one");
  expect(session.owed("sandbox.terminate"), "a late create is nobody's").toMatchObject([{ attempt: "one" }]);
});

it("[SE23] from the runtime's first hello on nothing but the start's own limit counts: setup may take as long as that", () => {
  const session = createSessionDriver({ startLimitMs: 30 * minuteMs });
  session.created();
  session.started();
  session.pass(deadlines.connectMs - 1);
  session.connected();
  session.event({ type: "phase.started", phase: "setup" });
  for (let passed = 0; passed < 28; passed++) session.pass(minuteMs);
  expect(session.view().status).toBe("syncing");
  session.sessionReady();
  expect(session.view().status).toBe("ready");

  const silent = createSessionDriver();
  silent.created();
  silent.started();
  silent.pass(deadlines.connectMs);
  silent.input({ type: "runtime.log", attempt: "one", lines: [] });
  expect(silent.view()).toMatchObject({ status: "failed", failure: { code: "runtime_never_connected" } });
});

it("[SE24] a reserved sandbox is claimed once; the receipt counts from the claim and says how it was warm", () => {
  const session = createSessionDriver({ ...fromImage, reserved: { kind: "typing", until: 1_000_000 + 2 * minuteMs } });
  session.ready();
  expect(session.view()).toMatchObject({ status: "ready", receipt: null });
  session.pass(minuteMs);
  const claim = { acceptedAt: session.now(), title: "mine", author: null, branch: "main", model: null };
  session.input({ type: "claim", claim: { ...claim, attemptId: "first" } });
  expect(session.owed("bridge.sync")).toEqual([{ type: "bridge.sync", attempt: "one", branch: "main" }]);
  expect(session.view()).toMatchObject({ status: "syncing", title: "mine", createdAt: session.now() });
  const claimed = session.state();
  session.input({ type: "claim", claim: { ...claim, title: "yours", attemptId: "second" } });
  expect(session.state()).toEqual(claimed);
  session.connected();
  expect(session.owed("bridge.sync"), "a cut may have lost it").toHaveLength(1);
  session.pass(300);
  session.sessionReady();
  expect(session.view()).toMatchObject({ status: "ready", receipt: { startMs: 300, warm: "typing", startedFrom: "image" } });
  session.pass(2 * minuteMs);
  expect(session.at(), "it is a session now").toBe("ready");
  session.input({ type: "release" });
  expect(session.at()).toBe("ready");
});

it("[SE24] claimed while it starts: what was synced before is synced again, what was not is synced anyway", () => {
  const early = createSessionDriver({ reserved: { kind: "typing", until: null } });
  early.up();
  const claim = { acceptedAt: early.now(), title: "mine", author: null, branch: "main", model: null };
  early.input({ type: "claim", claim });
  early.sessionReady();
  expect(early.ever("bridge.sync")).toEqual([]);
  expect(early.view().status).toBe("ready");

  const late = createSessionDriver({ reserved: { kind: "typing", until: null } });
  late.up();
  late.event({ type: "workspace.synced", sha: "b".repeat(40), bakedSha: null });
  late.input({ type: "claim", claim });
  late.sessionReady();
  expect(late.owed("bridge.sync")).toHaveLength(1);
  expect(late.view()).toMatchObject({ status: "syncing", receipt: null });
  late.sessionReady();
  expect(late.view()).toMatchObject({ status: "ready", receipt: { warm: "typing" } });
});

it("[SE24] nobody's: ended without a snapshot when its time is over, and not to be claimed then", () => {
  const session = createSessionDriver({ reserved: { kind: "typing", until: 1_000_000 + 2 * minuteMs } });
  session.ready();
  expect(session.wakeAt()).toBeLessThanOrEqual(1_000_000 + 2 * minuteMs);
  session.input({ type: "keep", until: 1_000_000 + 3 * minuteMs });
  session.pass(2 * minuteMs);
  expect(session.at()).toBe("ready");
  session.pass(minuteMs);
  expect(session.at()).toBe("stopping");
  expect(session.ever("snapshot")).toEqual([]);
  const claim = { acceptedAt: session.now(), title: "late", author: null, branch: "main", model: null };
  session.input({ type: "claim", claim });
  expect(session.state().reserved).not.toBeNull();
  expect(factsOf(session.state()).isReserved).toBe(true);
});

it("[SE25] an archived session is stopped with its files kept, starts for nothing until it is restored", () => {
  const session = createSessionDriver();
  session.ready();
  session.input({ type: "archive" });
  expect(session.view()).toMatchObject({ status: "snapshotting", archivedAt: session.now() });
  session.taken();
  session.sandboxEnded();
  session.input({ type: "resume" });
  session.work(working);
  expect(session.owed("prompts.end")).toMatchObject([{ which: "all", cause: expect.stringContaining("archived") }]);
  expect(session.view().status).toBe("stopped");
  session.input({ type: "restore" });
  session.input({ type: "resume" });
  expect(session.view()).toMatchObject({ status: "created", archivedAt: null });
});

it("[SE25] a resume that comes while the session is being stopped is remembered", () => {
  const session = createSessionDriver();
  session.ready();
  session.input({ type: "stop" });
  session.input({ type: "resume" });
  session.taken();
  session.sandboxEnded();
  expect(session.view().status).toBe("created");
});
