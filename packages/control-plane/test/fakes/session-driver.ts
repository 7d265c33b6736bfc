/** Drives the machine of one session step by step, at a time of its own, and remembers what it owed. */
import { type RuntimeEvent } from "@open-inspect/protocol";
import { nextSessionWakeAt, type SessionEffect, type SessionInput, stepSession } from "../../src/domain/session.ts";
import { noWork, type SessionOrder, type SessionState, type SessionWork } from "../../src/domain/session-state.ts";
import { shownStateOf } from "../../src/domain/session-views.ts";
import { sessionOrder } from "./session-order.ts";

export const someSha = "a".repeat(40);

type Of<T extends SessionEffect["type"]> = Extract<SessionEffect, { type: T }>;

export function createSessionDriver(more: Partial<SessionOrder> = {}) {
  let now = more.acceptedAt ?? 1_000_000;
  let state: SessionState | null = null;
  let fresh: SessionEffect[] = [];
  const all: SessionEffect[] = [];

  const known = (): SessionState => {
    if (!state) throw new Error("no session");
    return state;
  };
  function input(one: SessionInput): SessionEffect[] {
    const step = stepSession(state, one, now);
    state = step.state;
    fresh = step.effects;
    all.push(...fresh);
    return fresh;
  }
  input({ type: "create", order: sessionOrder({ acceptedAt: now, ...more }) });

  const driver = {
    input,
    state: known,
    view: () => shownStateOf(known()),
    at: () => known().stage.at,
    now: () => now,
    wakeAt: (heardAt: number | null = now) => nextSessionWakeAt(state, heardAt),
    /** effects of the last step, by type */
    owed: <T extends SessionEffect["type"]>(type: T): Of<T>[] => fresh.filter((one): one is Of<T> => one.type === type),
    ever: <T extends SessionEffect["type"]>(type: T): Of<T>[] => all.filter((one): one is Of<T> => one.type === type),
    /** The clock is told the time then; a sandbox that is up has just been heard. */
    pass(ms: number): SessionEffect[] {
      now += ms;
      return input({ type: "clock", heardAt: now, lastLines: [] });
    },
    event: (event: RuntimeEvent, attempt = known().attempt) => input({ type: "runtime.event", attempt, event }),
    created: (attempt = known().attempt) =>
      input({ type: "sandbox.created", attempt, sandboxId: `sb-${attempt}`, durationMs: 1 }),
    started: () => input({ type: "runtime.started", attempt: known().attempt }),
    connected: (protocol = 1) =>
      input({ type: "runtime.connected", attempt: known().attempt, runtimeVersion: "r1", runtimeRevision: 1, protocol }),
    /** until the runtime is there */
    up() {
      driver.created();
      driver.started();
      driver.connected();
    },
    sessionReady: () => driver.event({ type: "session.ready", sha: someSha, setupRan: false, agentVersion: "1" }),
    /** until the agent may edit */
    ready() {
      driver.up();
      driver.sessionReady();
    },
    work: (work: Partial<SessionWork>) => input({ type: "work", work: { ...noWork, activeAt: now, ...work } }),
    died: (attempt = known().attempt) =>
      input({
        ...{ type: "sandbox.polled", attempt, lastLines: [] },
        status: { status: "ended", exitCode: 137, reason: "exited" },
      }),
    taken: (providerImageId = `snapshot-of-${known().attempt}`, attempt = known().attempt) =>
      input({ type: "snapshot.taken", attempt, providerImageId, durationMs: 1, expiresAt: now + 30 * 86_400_000 }),
    snapshotFailed: (kind: "transient" | "permanent" = "permanent") =>
      input({
        ...{ type: "snapshot.failed", attempt: known().attempt },
        failure: { kind, code: "snapshot_failed", message: "the disk is on fire", hint: "" },
      }),
    sandboxEnded: (attempt = known().attempt) => input({ type: "sandbox.ended", attempt }),
    /** A person's stop until the end, with its snapshot. */
    stopped() {
      input({ type: "stop" });
      if (known().stage.at === "snapshotting") driver.taken();
      driver.sandboxEnded();
    },
  };
  return driver;
}
