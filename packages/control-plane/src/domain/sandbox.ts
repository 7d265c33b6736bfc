/**
 * The life of one sandbox from its create call to its end, the same for builds and sessions: `stepSandbox` says what is
 * owed next and when the sandbox has to be given up. Pure: no clock, no storage, no sockets; it does not know what the sandbox is for.
 */
import {
  bridgeProtocolVersion,
  type Failure,
  type PhaseRecord,
  type SandboxSource,
  type SandboxStatus,
  type StartSource,
} from "@open-inspect/protocol";
import { jitterMs } from "./build-slots.ts";
import { deadlines, evaluateDeadline, limits } from "./deadlines.ts";
import { createFailure } from "./failures.ts";
import { gatewayFailure, providerBusy } from "./gateway-failures.ts";
import { endPhase, runningPhase, startPhase } from "./phases.ts";
import { type GatewayFailure } from "./ports.ts";
import { runtimeGone, sandboxEnded, sandboxSilent } from "./sandbox-lost.ts";

/** What the runtime is started with; the performer adds URLs and tokens, which are never stored. */
export type Launch =
  | { mode: "build"; buildId: string; cloneUrl: string; branch: string; previous: { setup: string | null } | null }
  | { mode: "verify"; buildId: string; cloneUrl: string; branch: string; sha: string }
  | {
      mode: "session";
      sessionId: string;
      cloneUrl: string;
      branch: string;
      followDefault: boolean;
      startFrom: StartSource;
      model: string | null;
    };

export type SandboxLife =
  /** `baseSaid`: the gateway is still building the base image, in its own words. `busyFrom`: since when the provider has no capacity */
  | { at: "creating"; attempt: string; startedAt: number; baseSaid?: string; busyFrom?: number }
  | { at: "starting"; attempt: string; sandboxId: string; startedAt: number }
  | { at: "connecting"; attempt: string; sandboxId: string; startedAt: number; deadlineAt: number; pollAt: number }
  | {
      at: "up";
      attempt: string;
      sandboxId: string;
      runtimeVersion: string;
      runtimeRevision: number;
      connected: boolean;
      /** when the bridge's socket closed; means nothing while connected */
      closedAt?: number;
      pollAt: number;
      /** silence before this moment is not held against the sandbox */
      silentFrom: number;
    }
  | { at: "diagnosing"; attempt: string; sandboxId: string; failure: Failure; deadlineAt: number };

export type SandboxInput =
  | { type: "sandbox.created"; attempt: string; sandboxId: string; durationMs: number; baseWaitMs?: number | undefined }
  /** the gateway is still building the base image; `create` is what it was asked for */
  | { type: "sandbox.base_pending"; attempt: string; create: CreateEffect; said: string }
  /** the provider has no capacity or limits the rate; `create` is what the gateway was asked for */
  | { type: "sandbox.busy"; attempt: string; create: CreateEffect; said: string }
  | { type: "sandbox.create_failed"; attempt: string; failure: GatewayFailure }
  | { type: "runtime.started"; attempt: string }
  | { type: "runtime.start_failed"; attempt: string; failure: GatewayFailure }
  | { type: "runtime.connected"; attempt: string; runtimeVersion: string; runtimeRevision: number; protocol: number }
  | { type: "bridge.closed"; attempt: string }
  /** `status: null`: the gateway could not say */
  | { type: "sandbox.polled"; attempt: string; status: SandboxStatus | null; lastLines: string[] }
  | { type: "runtime.log"; attempt: string; lines: string[] }
  | { type: "sandbox.swept"; attempt: string; pass: number }
  /** time has passed. `heardAt`: the last frame on the bridge */
  | { type: "clock"; heardAt: number | null; lastLines: string[] };

export interface CreateEffect {
  type: "sandbox.create";
  attempt: string;
  name: string;
  source: SandboxSource;
  tags: Record<string, string>;
  cpu: number;
  memoryMiB: number;
  timeoutMs: number;
  afterMs?: number;
  /** how often the provider had no capacity for it */
  refusals?: number;
}

export type SandboxEffect =
  | CreateEffect
  | { type: "sandbox.start"; attempt: string; sandboxId: string; launch: Launch }
  | { type: "sandbox.poll"; attempt: string; sandboxId: string; withRuntime?: boolean }
  | { type: "sandbox.log"; attempt: string; sandboxId: string }
  | { type: "sandbox.terminate"; attempt: string; sandboxId: string; afterMs?: number }
  /** ends whatever a create without an answer may have left: looked for by tag, several times */
  | { type: "sandbox.sweep"; attempt: string; pass: number };

/** Why a sandbox is given up. */
export interface Verdict {
  failure: Failure;
  /** `outdated`: its runtime speaks another bridge protocol. `lifetime`: the provider ended it at its time limit. */
  reason: "failed" | "outdated" | "lifetime";
}

export interface SandboxStep {
  life: SandboxLife;
  phases: PhaseRecord[];
  effects: SandboxEffect[];
  verdict: Verdict | null;
  /** what was waited for the base image before this step made the sandbox: it counts for no limit, no duration and no cost */
  baseWaitMs: number;
}

/** What is owed so that nothing of this sandbox stays behind. */
export function endSandbox(life: SandboxLife): SandboxEffect[] {
  if (life.at === "creating") return [{ type: "sandbox.sweep", attempt: life.attempt, pass: 1 }];
  return [{ type: "sandbox.terminate", attempt: life.attempt, sandboxId: life.sandboxId }];
}

/** The next look for a sandbox whose create never answered; it may have been late. */
export function continueSweep(input: { attempt: string; pass: number }): SandboxEffect[] {
  if (input.pass >= limits.sweepPasses) return [];
  return [{ type: "sandbox.sweep", attempt: input.attempt, pass: input.pass + 1 }];
}

/** A create that answers after its attempt is over: its sandbox belongs to nobody. */
export function endOrphan(input: SandboxInput): SandboxEffect[] {
  if (input.type !== "sandbox.created") return [];
  return [{ type: "sandbox.terminate", attempt: input.attempt, sandboxId: input.sandboxId }];
}

/** When the machine wants to be woken by a clock at the latest; null while an owed effect's outcome is the next thing. */
export function nextSandboxWakeAt(life: SandboxLife, heardAt: number | null): number | null {
  switch (life.at) {
    case "creating":
    case "starting":
      return null;
    case "connecting":
      return Math.min(life.deadlineAt, life.pollAt);
    case "up":
      return Math.min(life.pollAt, Math.max(heardAt ?? 0, life.silentFrom) + deadlines.bridgeSilentMs);
    case "diagnosing":
      return life.deadlineAt;
  }
}

export function stepSandbox(
  life: SandboxLife,
  phases: readonly PhaseRecord[],
  launch: Launch,
  input: SandboxInput,
  now: number,
): SandboxStep {
  const stay = (next: SandboxLife = life, effects: SandboxEffect[] = [], records = phases): SandboxStep => ({
    life: next,
    phases: [...records],
    effects,
    verdict: null,
    baseWaitMs: 0,
  });
  const giveUp = (failure: Failure, reason: Verdict["reason"] = "failed"): SandboxStep => ({
    life,
    phases: [...phases],
    effects: [],
    verdict: { failure, reason },
    baseWaitMs: 0,
  });
  if (input.type === "sandbox.swept") return stay(life, continueSweep(input));
  if (input.type !== "clock" && input.attempt !== life.attempt) return stay(life, endOrphan(input));

  switch (input.type) {
    case "sandbox.created": {
      if (life.at !== "creating") return stay();
      const { attempt } = life;
      const { sandboxId } = input;
      const baseWaitMs = evaluateBaseWait(life, input, now);
      const begun = baseWaitMs > 0 ? startPhase(phases, "sandbox", life.startedAt + baseWaitMs) : phases;
      const waited = baseWaitMs > 0 ? `after ${Math.ceil(baseWaitMs / 1000)} s for the base image` : undefined;
      const done = endPhase(begun, "sandbox", "done", now - life.startedAt - baseWaitMs, now, waited);
      const starting: SandboxLife = { at: "starting", attempt, sandboxId, startedAt: now };
      const owed: SandboxEffect[] = [{ type: "sandbox.start", attempt, sandboxId, launch }];
      return { ...stay(starting, owed, startPhase(done, "connect", now)), baseWaitMs };
    }
    case "sandbox.base_pending": {
      if (life.at !== "creating") return stay();
      const told = phases.map((record) =>
        record.phase === "sandbox" ? { ...record, detail: "waiting for the base image" } : record,
      );
      return stay({ ...life, baseSaid: input.said }, [{ ...input.create, afterMs: deadlines.basePollMs }], told);
    }
    case "sandbox.busy": {
      if (life.at !== "creating") return stay();
      const { busyFrom = now } = life;
      if (now - busyFrom >= deadlines.busyMs) return giveUp(providerBusy(now - busyFrom, input.said));
      const told = phases.map((record) =>
        record.phase === "sandbox" ? { ...record, detail: "waiting for the provider" } : record,
      );
      const { refusals = 0 } = input.create;
      const afterMs = busyPauseMs(life.attempt, refusals);
      return stay({ ...life, busyFrom }, [{ ...input.create, refusals: refusals + 1, afterMs }], told);
    }
    case "sandbox.create_failed":
      return life.at === "creating" ? giveUp(gatewayFailure(input.failure, "sandbox")) : stay();
    case "runtime.started":
      if (life.at !== "starting") return stay();
      return stay({
        ...life,
        at: "connecting",
        deadlineAt: now + deadlines.connectMs,
        pollAt: now + deadlines.pollWhileConnectingMs,
      });
    case "runtime.start_failed":
      return life.at === "starting" ? giveUp(gatewayFailure(input.failure, "connect")) : stay();
    case "runtime.connected": {
      if (life.at === "creating" || life.at === "diagnosing") return stay();
      if (input.protocol !== bridgeProtocolVersion) {
        return giveUp(
          createFailure("internal", {
            phase: "connect",
            message: `The runtime speaks version ${input.protocol} of the bridge, the control plane version ${bridgeProtocolVersion}.`,
            hint: "Deploy the gateway and the Worker from the same revision.",
          }),
          "outdated",
        );
      }
      const records = life.at === "up" ? phases : endPhase(phases, "connect", "done", now - life.startedAt, now);
      const { attempt, sandboxId } = life;
      const { runtimeVersion, runtimeRevision } = input;
      const pollAt = now + deadlines.pollMs;
      const up = {
        at: "up",
        attempt,
        sandboxId,
        runtimeVersion,
        runtimeRevision,
        connected: true,
        pollAt,
        silentFrom: now,
      } as const;
      return stay(up, [], [...records]);
    }
    case "bridge.closed":
      if (life.at !== "up") return stay();
      return stay({ ...life, connected: false, closedAt: now, pollAt: now + deadlines.pollAfterCloseMs });
    case "sandbox.polled": {
      if (life.at !== "connecting" && life.at !== "up") return stay();
      const { status, lastLines } = input;
      const phase = runningPhase(phases);
      if (status?.status === "ended")
        return giveUp(sandboxEnded(status, phase, lastLines), status.reason === "timeout" ? "lifetime" : "failed");
      const isGone = status?.runtime === "gone" && life.at === "up" && !life.connected;
      return isGone ? giveUp(runtimeGone(phase, lastLines)) : stay();
    }
    case "runtime.log":
      if (life.at !== "diagnosing") return stay();
      return giveUp({ ...life.failure, lines: input.lines.slice(-limits.diagnosisLines) });
    case "clock":
      return stepClock(life, phases, input, now, stay, giveUp);
  }
}

/** Doubles; each attempt by another share, so that those who were refused together do not come back together. */
function busyPauseMs(attempt: string, refusals: number): number {
  const pauseMs = Math.min(deadlines.busyMaxMs, deadlines.busyFirstMs * 2 ** Math.min(refusals, 20));
  return Math.round(pauseMs / 2) + jitterMs(`${attempt}:${refusals}`, pauseMs);
}

/** From the first create until the one that succeeded could begin; the gateway holds a create for a while before it says so. */
function evaluateBaseWait(
  life: Extract<SandboxLife, { at: "creating" }>,
  { durationMs, baseWaitMs = 0 }: Extract<SandboxInput, { type: "sandbox.created" }>,
  now: number,
): number {
  if (life.baseSaid === undefined && baseWaitMs === 0) return 0;
  return Math.max(0, Math.round(now - Math.max(0, durationMs - baseWaitMs) - life.startedAt));
}

function stepClock(
  life: SandboxLife,
  phases: readonly PhaseRecord[],
  input: Extract<SandboxInput, { type: "clock" }>,
  now: number,
  stay: (next?: SandboxLife, effects?: SandboxEffect[]) => SandboxStep,
  giveUp: (failure: Failure) => SandboxStep,
): SandboxStep {
  switch (life.at) {
    case "creating":
    case "starting":
      return stay();
    case "diagnosing":
      return now >= life.deadlineAt ? giveUp(life.failure) : stay();
    case "connecting": {
      const { attempt, sandboxId } = life;
      const poll = now >= life.pollAt;
      const effects: SandboxEffect[] = poll ? [{ type: "sandbox.poll", attempt, sandboxId }] : [];
      const watched = poll ? { ...life, pollAt: now + deadlines.pollWhileConnectingMs } : life;
      switch (evaluateDeadline(life.deadlineAt, now)) {
        case "pending":
          return stay(watched, effects);
        case "late":
          return stay({ ...watched, deadlineAt: now + deadlines.connectMs }, effects);
        case "due": {
          const failure = createFailure("runtime_never_connected", { phase: "connect" });
          return stay({ at: "diagnosing", attempt, sandboxId, failure, deadlineAt: now + deadlines.diagnoseMs }, [
            { type: "sandbox.log", attempt, sandboxId },
          ]);
        }
      }
      break;
    }
    case "up": {
      const { attempt, sandboxId } = life;
      const poll = now >= life.pollAt;
      const withRuntime = !life.connected && now - (life.closedAt ?? now) >= deadlines.runtimeAwayMs;
      const effects: SandboxEffect[] = poll ? [{ type: "sandbox.poll", attempt, sandboxId, withRuntime }] : [];
      const pause = life.connected ? deadlines.pollMs : deadlines.pollWhileClosedMs;
      const watched = poll ? { ...life, pollAt: now + pause } : life;
      const silentAt = Math.max(input.heardAt ?? 0, life.silentFrom) + deadlines.bridgeSilentMs;
      switch (evaluateDeadline(silentAt, now)) {
        case "pending":
          return stay(watched, effects);
        case "late":
          return stay({ ...watched, silentFrom: now }, effects);
        case "due":
          return giveUp(sandboxSilent(runningPhase(phases), input.lastLines));
      }
    }
  }
}
