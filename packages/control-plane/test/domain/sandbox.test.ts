/** The rules of one sandbox's life on the pure machine. */
import { bridgeProtocolVersion } from "@open-inspect/protocol";
import { expect, it } from "vitest";
import { deadlines } from "../../src/domain/deadlines.ts";
import { startPhase } from "../../src/domain/phases.ts";
import {
  type CreateEffect,
  endSandbox,
  nextSandboxWakeAt,
  type SandboxInput,
  type SandboxLife,
  stepSandbox,
} from "../../src/domain/sandbox.ts";

const attempt = "a1";
const launch = { mode: "build", buildId: "bld_1", cloneUrl: "http://g", branch: "main", previous: null } as const;
const step = (life: SandboxLife, input: SandboxInput, now: number, phases = startPhase([], "sandbox", 0)) =>
  stepSandbox(life, phases, launch, input, now);
const clock = (heardAt: number | null = null): SandboxInput => ({ type: "clock", heardAt, lastLines: ["last line"] });

const creating: SandboxLife = { at: "creating", attempt, startedAt: 1_000 };
const starting: SandboxLife = { at: "starting", attempt, sandboxId: "sb", startedAt: 2_000 };
const connecting = step(starting, { type: "runtime.started", attempt }, 3_000).life;
const hello: SandboxInput = {
  type: "runtime.connected",
  attempt,
  runtimeVersion: "r",
  runtimeRevision: 1,
  protocol: bridgeProtocolVersion,
};
const up = step(connecting, hello, 4_000).life;

it("[SB1] create, start and connect follow each other and are measured as phases", () => {
  const created = step(creating, { type: "sandbox.created", attempt, sandboxId: "sb", durationMs: 1 }, 2_000);
  expect(created.effects).toEqual([{ type: "sandbox.start", attempt, sandboxId: "sb", launch }]);
  const connected = stepSandbox(created.life, created.phases, launch, hello, 2_600);
  expect(connected.life.at).toBe("up");
  expect(connected.phases).toEqual([
    expect.objectContaining({ phase: "sandbox", outcome: "done", durationMs: 1_000 }),
    expect.objectContaining({ phase: "connect", outcome: "done", durationMs: 600 }),
  ]);
});

it("[SB1] a hello before the start call's answer counts, and the late answer changes nothing", () => {
  const early = step(starting, hello, 2_500).life;
  expect(early.at).toBe("up");
  expect(step(early, { type: "runtime.started", attempt }, 2_600).life).toEqual(early);
});

it("[SB2] an answer to another attempt changes nothing, and the sandbox it names is ended", () => {
  const other = step(up, { type: "sandbox.created", attempt: "old", sandboxId: "sb-old", durationMs: 1 }, 5_000);
  expect(other.life).toEqual(up);
  expect(other.effects).toEqual([{ type: "sandbox.terminate", attempt: "old", sandboxId: "sb-old" }]);
  expect(step(up, { type: "bridge.closed", attempt: "old" }, 5_000).life).toEqual(up);
});

it("[SB3] a runtime that never connects is given up with its own log", () => {
  const due = step(connecting, clock(), 3_000 + deadlines.connectMs);
  expect(due.life.at).toBe("diagnosing");
  expect(due.effects).toEqual([{ type: "sandbox.log", attempt, sandboxId: "sb" }]);
  const told = step(due.life, { type: "runtime.log", attempt, lines: ["cannot resolve host"] }, 64_000);
  expect(told.verdict?.failure).toMatchObject({ code: "runtime_never_connected", lines: ["cannot resolve host"] });
});

it("[SB3] when the log cannot be read the failure stands without it", () => {
  const due = step(connecting, clock(), 3_000 + deadlines.connectMs).life;
  const wakeAt = nextSandboxWakeAt(due, null);
  expect(step(due, clock(), wakeAt ?? 0).verdict?.failure.code).toBe("runtime_never_connected");
});

it("[SB4] silence means that the sandbox is lost, and any frame puts it off", () => {
  const silentAt = 4_000 + deadlines.bridgeSilentMs;
  expect(step(up, clock(50_000), silentAt).verdict).toBeNull();
  expect(step(up, clock(), silentAt).verdict?.failure).toMatchObject({ code: "sandbox_lost", lines: ["last line"] });
});

it("[SB5] a closed socket is followed by a look at the sandbox, and one that ended says how", () => {
  const closed = step(up, { type: "bridge.closed", attempt }, 10_000).life;
  expect(nextSandboxWakeAt(closed, null)).toBe(10_000 + deadlines.pollAfterCloseMs);
  const looked = step(closed, clock(9_000), 10_000 + deadlines.pollAfterCloseMs);
  expect(looked.effects).toEqual([{ type: "sandbox.poll", attempt, sandboxId: "sb", withRuntime: false }]);
  const ended = { status: "ended", exitCode: 137, reason: "exited" } as const;
  const phases = startPhase([], "setup", 5_000);
  const told = step(looked.life, { type: "sandbox.polled", attempt, status: ended, lastLines: ["Killed"] }, 12_100, phases);
  expect(told.verdict?.failure).toMatchObject({ code: "sandbox_lost", phase: "setup", exitCode: 137, lines: ["Killed"] });
  expect(told.verdict?.failure.message).toContain("during setup");
});

it("[SB5] a gateway that cannot say, or a sandbox that runs, changes nothing", () => {
  for (const status of [null, { status: "running" } as const]) {
    expect(step(up, { type: "sandbox.polled", attempt, status, lastLines: [] }, 9_000)).toMatchObject({
      verdict: null,
      life: up,
    });
  }
});

it("[SB6] a deadline that is noticed late gives new time instead of a failure", () => {
  const late = 4_000 + deadlines.bridgeSilentMs + deadlines.lateMs + 1;
  const woken = step(up, clock(), late);
  expect(woken.verdict).toBeNull();
  expect(nextSandboxWakeAt({ ...woken.life, pollAt: Number.MAX_SAFE_INTEGER } as SandboxLife, null)).toBe(
    late + deadlines.bridgeSilentMs,
  );
  const connect = step(connecting, clock(), 3_000 + deadlines.connectMs + deadlines.lateMs + 1);
  expect(connect.life.at).toBe("connecting");
});

it("[SB7] a runtime of another bridge version is given up as outdated", () => {
  const other = step(
    connecting,
    { type: "runtime.connected", attempt, runtimeVersion: "r", runtimeRevision: 1, protocol: 99 },
    5_000,
  );
  expect(other.verdict?.reason).toBe("outdated");
});

it("[SB8] without a sandbox id the end is a search by tag, several times", () => {
  expect(endSandbox(creating)).toEqual([{ type: "sandbox.sweep", attempt, pass: 1 }]);
  expect(step(up, { type: "sandbox.swept", attempt: "old", pass: 1 }, 0).effects).toEqual([
    { type: "sandbox.sweep", attempt: "old", pass: 2 },
  ]);
  expect(step(up, { type: "sandbox.swept", attempt: "old", pass: 3 }, 0).effects).toEqual([]);
});

it("[SB9] each kind of refusal has its own failure", () => {
  const failure = { code: "x", message: "said", hint: "do" };
  const codeOf = (kind: "transient" | "permanent" | "not_found" | "unauthorized" | "invalid_request") =>
    step(creating, { type: "sandbox.create_failed", attempt, failure: { ...failure, kind } }, 2_000).verdict?.failure.code;
  expect(codeOf("transient")).toBe("gateway_unavailable");
  expect(codeOf("unauthorized")).toBe("gateway_unavailable");
  expect(codeOf("not_found")).toBe("image_missing");
  expect(codeOf("permanent")).toBe("sandbox_create_failed");
  expect(codeOf("invalid_request")).toBe("sandbox_create_failed");
});

const create = {
  type: "sandbox.create",
  attempt,
  name: "build-1",
  source: { kind: "base" },
  tags: {},
  cpu: 1,
  memoryMiB: 1,
  timeoutMs: 1_000,
} as const;
const pending = { type: "sandbox.base_pending", attempt, create, said: "It is being built." } as const;

it("[SB10] while the base image is built the create is owed again after a pause, and the phase says so", () => {
  const waiting = step(creating, pending, 21_000);
  expect(waiting.effects).toEqual([{ ...create, afterMs: deadlines.basePollMs }]);
  expect(waiting.life).toEqual({ ...creating, baseSaid: "It is being built." });
  expect(waiting.phases).toEqual([
    expect.objectContaining({ phase: "sandbox", outcome: "running", detail: "waiting for the base image" }),
  ]);
  expect(step(waiting.life, pending, 45_000, waiting.phases).effects).toHaveLength(1);
  expect(step(up, pending, 45_000).effects, "an answer to a create that is over").toEqual([]);
});

it("[SB14] a provider without capacity is asked again with growing pauses, each sandbox in its own rhythm, until it was too long", () => {
  const pausesOf = (attempt: string): number[] => {
    let life: SandboxLife = { ...creating, attempt };
    let owed: CreateEffect = { ...create, attempt };
    const pauses: number[] = [];
    for (let now = 2_000; now < 60_000; now += owed.afterMs ?? 0) {
      const next = step(life, { type: "sandbox.busy", attempt, create: owed, said: "Too many." }, now);
      expect(next.phases[0]?.detail).toBe("waiting for the provider");
      const [effect] = next.effects;
      if (effect?.type !== "sandbox.create") throw new Error("nothing is owed");
      life = next.life;
      owed = effect;
      pauses.push(effect.afterMs ?? 0);
    }
    return pauses;
  };
  const pauses = pausesOf("a".repeat(32));
  for (const [index, pauseMs] of pauses.entries()) {
    const fullMs = Math.min(deadlines.busyMaxMs, deadlines.busyFirstMs * 2 ** index);
    expect(pauseMs).toBeGreaterThanOrEqual(fullMs / 2);
    expect(pauseMs).toBeLessThanOrEqual(1.5 * fullMs);
  }
  const firsts = Array.from({ length: 20 }, (_, index) => pausesOf(index.toString(16).padStart(32, "0"))[0]);
  expect(new Set(firsts).size, "those who were refused together do not come back together").toBeGreaterThan(15);

  const busy = { type: "sandbox.busy", attempt, create, said: "Too many." } as const;
  const waiting = step(creating, busy, 2_000);
  const over = step(waiting.life, busy, 2_000 + deadlines.busyMs, waiting.phases);
  expect(over.verdict?.failure).toMatchObject({ code: "gateway_unavailable", phase: "sandbox", lines: ["Too many."] });
  expect(over.verdict?.failure.message).toContain("10 minutes");
  expect(step(up, busy, 45_000).effects, "an answer to a create that is over").toEqual([]);
});

it("[SB11] a base image that cannot be built is told with the gateway's sentence and the end of the build's output", () => {
  const lines = ["E: Unable to locate package nodejs"];
  const failure = { kind: "permanent", code: "base_image_failed", message: "It cannot be built.", hint: "Look.", lines } as const;
  expect(step(creating, { type: "sandbox.create_failed", attempt, failure }, 2_000).verdict?.failure).toMatchObject({
    code: "sandbox_create_failed",
    message: "It cannot be built.",
    hint: "Look.",
    lines,
  });
});

it("[SB12] the sandbox phase begins with the create that succeeded, without what was waited for the base image", () => {
  const begun = startPhase([], "sandbox", creating.startedAt);
  const waiting = step(creating, pending, 21_000, begun);
  const made = { type: "sandbox.created", attempt, sandboxId: "sb", durationMs: 700 } as const;
  const after = step(waiting.life, made, 61_000, waiting.phases);
  expect(after.baseWaitMs).toBe(59_300);
  expect(after.phases[0]).toEqual({
    phase: "sandbox",
    startedAt: 60_300,
    durationMs: 700,
    outcome: "done",
    detail: "after 60 s for the base image",
  });
  const held = step(creating, { ...made, durationMs: 15_700, baseWaitMs: 15_000 }, 16_900, begun);
  expect(held.baseWaitMs, "the gateway held the create itself").toBe(15_200);
  expect(held.phases[0]).toMatchObject({ startedAt: 16_200, durationMs: 700 });
  const straight = step(creating, { ...made, baseWaitMs: 0 }, 1_900, begun);
  expect(straight).toMatchObject({ baseWaitMs: 0, phases: [{ startedAt: 1_000, durationMs: 900 }, {}] });
  expect(straight.phases[0]).not.toHaveProperty("detail");
});

it("[SB9] credentials that the provider refuses are not blamed on the control plane's signature", () => {
  const failureOf = (code: string) =>
    step(
      creating,
      { type: "sandbox.create_failed", attempt, failure: { kind: "unauthorized", code, message: "said", hint: "do" } },
      2_000,
    ).verdict?.failure;
  expect(failureOf("provider_unauthorized")).toMatchObject({ code: "gateway_unavailable", message: "said", hint: "do" });
  expect(failureOf("gateway_unauthorized")?.message).toContain("signature");
});

it("[SB13] a runtime that has been away for a while is looked for, and one that is gone is the end", () => {
  const closed = step(up, { type: "bridge.closed", attempt }, 10_000).life;
  const looked = step({ ...closed, pollAt: 0 } as SandboxLife, clock(9_000), 10_000 + deadlines.runtimeAwayMs);
  expect(looked.effects).toEqual([{ type: "sandbox.poll", attempt, sandboxId: "sb", withRuntime: true }]);
  const told = (life: SandboxLife, runtime: "running" | "gone" | "unknown") => {
    const status = { status: "running", runtime } as const;
    return step(
      life,
      { type: "sandbox.polled", attempt, status, lastLines: ["out of memory"] },
      21_000,
      startPhase([], "setup", 1),
    ).verdict?.failure;
  };
  expect(told(looked.life, "gone")).toMatchObject({ code: "sandbox_lost", phase: "setup", lines: ["out of memory"] });
  expect(told(looked.life, "unknown")).toBeUndefined();
  expect(told(looked.life, "running")).toBeUndefined();
  expect(told(step(looked.life, hello, 20_900).life, "gone"), "it is back: the answer is old").toBeUndefined();
  expect(step({ ...up, pollAt: 0 } as SandboxLife, clock(95_000), 99_000).effects, "a connected one is not looked for").toEqual([
    { type: "sandbox.poll", attempt, sandboxId: "sb", withRuntime: false },
  ]);
});
