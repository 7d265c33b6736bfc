/** Performs the effects of a sandbox's life over the data plane, for builds and sessions alike. Decides nothing. */
import { baseNotReadyCode, providerBusyCode, type RuntimeConfig } from "@open-inspect/protocol";
import { mintToken } from "../adapters/sandbox-tokens.ts";
import { deadlines, limits } from "../domain/deadlines.ts";
import { type DataPlane, type GatewayResult } from "../domain/ports.ts";
import { type Launch, type SandboxEffect, type SandboxInput } from "../domain/sandbox.ts";
import { type Config } from "../env.ts";
import { type EffectPolicy, type Performed } from "./runner.ts";

const once = { tries: 1, firstPauseMs: 0, maxPauseMs: 0 };
/** five retries within about half a minute: what passes by itself mostly has by then */
const briefly = { tries: 6, firstPauseMs: 1_000, maxPauseMs: 15_000 };
const untilDone = { tries: null, firstPauseMs: 1_000, maxPauseMs: 60_000 };

/** `limitMs` is a little above the gateway client's own limit of the call. */
export const sandboxPolicies: Record<SandboxEffect["type"], EffectPolicy> = {
  "sandbox.create": { ...briefly, limitMs: 90_000 },
  "sandbox.start": { ...briefly, limitMs: 60_000 },
  "sandbox.poll": { ...once, limitMs: 90_000 },
  "sandbox.log": { ...once, limitMs: 45_000 },
  "sandbox.terminate": { ...untilDone, limitMs: 45_000 },
  "sandbox.sweep": { ...untilDone, limitMs: 120_000 },
};

export function sandboxAddress(effect: SandboxEffect): { key: string; lane: string; delayMs: number } {
  const key = `${effect.type}:${effect.attempt}`;
  switch (effect.type) {
    case "sandbox.create":
      return { key, lane: `sandbox:${effect.attempt}`, delayMs: effect.afterMs ?? 0 };
    case "sandbox.start":
      return { key, lane: `sandbox:${effect.attempt}`, delayMs: 0 };
    case "sandbox.poll":
    case "sandbox.log":
      return { key, lane: key, delayMs: 0 };
    case "sandbox.terminate":
      return { key, lane: key, delayMs: effect.afterMs ?? 0 };
    case "sandbox.sweep":
      return { key: `${key}:${effect.pass}`, lane: key, delayMs: effect.pass > 1 ? deadlines.sweepPauseMs : 0 };
  }
}

export interface SandboxWorld {
  dataPlane: DataPlane;
  config: Config;
  /** the newest lines of output, for a failure's cause */
  lastLines(): string[];
  /** the create request is about to leave */
  creating(): void;
}

type Outcome = Performed<SandboxInput | { type: "sandbox.ended"; attempt: string }>;

export async function performSandboxEffect(effect: SandboxEffect, world: SandboxWorld): Promise<Outcome> {
  const { dataPlane } = world;
  const { attempt } = effect;
  switch (effect.type) {
    case "sandbox.create": {
      const { source, tags, cpu, memoryMiB, timeoutMs } = effect;
      world.creating();
      const result = await dataPlane.createSandbox(effect.name, { source, tags, cpu, memoryMiB, timeoutMs });
      if (result.ok) return { done: { type: "sandbox.created", attempt, ...result.value } };
      const { code, message } = result.error;
      // Not a try: the gateway works, and how long the base takes is its own affair.
      if (code === baseNotReadyCode) return { done: { type: "sandbox.base_pending", attempt, create: effect, said: message } };
      // Nor is this: many who are refused together would use up their tries together.
      if (code === providerBusyCode) return { done: { type: "sandbox.busy", attempt, create: effect, said: message } };
      const input = { type: "sandbox.create_failed", attempt, failure: result.error } as const;
      return result.error.kind === "transient" ? { retry: input, cause: result.error.code } : { done: input };
    }
    case "sandbox.start": {
      const result = await dataPlane.startSandbox(effect.sandboxId, await runtimeConfigOf(effect.launch, attempt, world.config));
      if (result.ok) return { done: { type: "runtime.started", attempt } };
      const input = { type: "runtime.start_failed", attempt, failure: result.error } as const;
      return result.error.kind === "transient" ? { retry: input, cause: result.error.code } : { done: input };
    }
    case "sandbox.poll": {
      const result = await dataPlane.sandboxStatus(effect.sandboxId, effect.withRuntime ?? false);
      const status = result.ok ? result.value : null;
      const isGone = status?.status === "running" && status.runtime === "gone";
      const said = isGone ? await runtimeLines(dataPlane, effect.sandboxId) : null;
      const lastLines = said?.ok && said.value.length > 0 ? said.value : world.lastLines();
      return { done: { type: "sandbox.polled", attempt, status, lastLines } };
    }
    case "sandbox.log": {
      const said = await runtimeLines(dataPlane, effect.sandboxId);
      return { done: { type: "runtime.log", attempt, lines: said.ok ? said.value : [said.error.message] } };
    }
    case "sandbox.terminate": {
      const result = await dataPlane.terminateSandbox(effect.sandboxId);
      if (result.ok || result.error.kind === "not_found") return { done: { type: "sandbox.ended", attempt } };
      return { retry: null, cause: result.error.code };
    }
    case "sandbox.sweep": {
      const found = await dataPlane.listSandboxes({ attempt });
      if (!found.ok) return { retry: null, cause: found.error.code };
      for (const { sandboxId } of found.value.sandboxes) {
        const result = await dataPlane.terminateSandbox(sandboxId);
        if (!result.ok && result.error.kind !== "not_found") return { retry: null, cause: result.error.code };
      }
      return { done: { type: "sandbox.swept", attempt, pass: effect.pass } };
    }
  }
}

/** The end of what the runtime itself printed. */
async function runtimeLines(dataPlane: DataPlane, sandboxId: string): GatewayResult<string[]> {
  const result = await dataPlane.sandboxLogs(sandboxId, 0);
  if (!result.ok) return result;
  const lines = result.value.text.split("\n").filter((line) => line.trim() !== "");
  return { ok: true, value: lines.slice(-limits.diagnosisLines) };
}

async function runtimeConfigOf(launch: Launch, attempt: string, config: Config): Promise<RuntimeConfig> {
  const { CONTROL_PLANE_URL, MODAL_API_SECRET, DEFAULT_MODEL, MODELS } = config;
  const ownerId = launch.mode === "session" ? launch.sessionId : launch.buildId;
  const owners = launch.mode === "session" ? "sessions" : "builds";
  const common = {
    bridgeUrl: `${CONTROL_PLANE_URL.replace(/^http/, "ws")}/bridge/${owners}/${ownerId}`,
    bridgeToken: await mintToken(MODAL_API_SECRET, "bridge", { ownerId, attempt }),
    cloneUrl: launch.cloneUrl,
    branch: launch.branch,
    gitTimeoutMs: deadlines.gitMs,
  };
  if (launch.mode === "build") {
    return { mode: "build", buildId: launch.buildId, ...common, ...(launch.previous ? { previous: launch.previous } : {}) };
  }
  if (launch.mode === "verify") {
    const { buildId, sha } = launch;
    return { mode: "verify", buildId, ...common, sha, verifyHookTimeoutMs: deadlines.verifyHookMs };
  }
  return {
    mode: "session",
    sessionId: launch.sessionId,
    ...common,
    followDefault: launch.followDefault,
    startFrom: launch.startFrom,
    startHookTimeoutMs: deadlines.startHookMs,
    agent: {
      modelBaseUrl: `${CONTROL_PLANE_URL}/model`,
      modelToken: await mintToken(MODAL_API_SECRET, "model", { ownerId, attempt }),
      model: launch.model ?? DEFAULT_MODEL,
      models: MODELS,
    },
  };
}
