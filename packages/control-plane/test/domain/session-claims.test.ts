/** How long a start may take, and sandboxes that are reserved for whoever comes. */
import { expect, it } from "vitest";
import { deadlines } from "../../src/domain/deadlines.ts";
import { factsOf } from "../../src/domain/session-views.ts";
import { createSessionDriver } from "../fakes/session-driver.ts";
import { storedImage } from "../fakes/stored-image.ts";

const minuteMs = 60_000;
const image = storedImage({ providerImageId: "im-repository" });
const fromImage = { image, cold: null };

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
