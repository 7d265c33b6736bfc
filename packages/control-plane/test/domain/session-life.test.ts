/** How a session is stopped, kept, moved and archived. */
import { expect, it } from "vitest";
import { deadlines } from "../../src/domain/deadlines.ts";
import { createSessionDriver } from "../fakes/session-driver.ts";

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const dayMs = 24 * hourMs;
const working = { isWorking: true, promptCount: 1 };
type Driver = ReturnType<typeof createSessionDriver>;

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
