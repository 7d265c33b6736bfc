/** How a session starts again: from what, and when not by itself. */
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
