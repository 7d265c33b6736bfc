/** Keeps one OpenCode server alive: start, health, restart with backoff, end with everything it left. Knows no prompts. */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { type Failure } from "@open-inspect/protocol";
import { healthSchema } from "../domain/agent-messages.ts";
import { decideRestartDelayMs } from "../domain/backoff.ts";
import { explainAgent } from "../domain/failures.ts";
import { createLastLines } from "../domain/text.ts";
import { type AgentClient, createAgentClient } from "./agent-client.ts";
import { endProcesses, findBelonging } from "./processes.ts";

// Generous: on a crowded machine a start takes many times its usual second, and beginning anew makes it worse.
const listenTimeoutMs = 90_000;
const healthTimeoutMs = 60_000;
/** The first probe may meet a server that is not all there and never answers; one after it may only be slow. */
const probeTimeoutsMs = [250, 500, 1_000, 2_000, 5_000] as const;
const probeEveryMs = 20;
const livenessEveryMs = 5_000;
const livenessTimeoutMs = 5_000;
const livenessMissesMax = 3;
const stopGraceMs = 3_000;
const orphanGraceMs = 500;

export interface AgentListener {
  /** a life is healthy; its instance is not booted yet */
  up(client: AgentClient, version: string, pid: number): void;
  down(reason: string): void;
  restarted(attempt: number, reason: string): void;
  /** it will not be started again */
  failed(failure: Failure): void;
}

export interface Agent {
  /** Ends the present life; the next one begins by the rules of a crash. */
  kill(reason: string): void;
  /** Ends it for good, with everything that its tools left running. */
  stop(): Promise<void>;
}

/** Starts at once. @param options.port 0: any free one */
export function createAgent(options: {
  command: string;
  port: number;
  cwd: string;
  env: NodeJS.ProcessEnv;
  listener: AgentListener;
  log: (line: string) => void;
}): Agent {
  const { listener, log } = options;
  let isStopping = false;
  let life: { child: ChildProcess; reason: string | null } | null = null;
  let wasHealthy = false;
  const restartedAt: number[] = [];

  const runLife = async (): Promise<{ reason: string; lines: string[]; exitCode: number | null; isFatal: boolean }> => {
    const port = options.port === 0 ? await findFreePort() : options.port;
    if (isStopping) return { reason: "it was stopped", lines: [], exitCode: null, isFatal: true };
    const password = randomBytes(24).toString("base64url");
    const child = spawn(options.command, ["serve", "--hostname", "127.0.0.1", "--port", String(port)], {
      cwd: options.cwd,
      env: { ...options.env, OPENCODE_SERVER_PASSWORD: password },
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
    });
    const mine: { child: ChildProcess; reason: string | null } = { child, reason: null };
    life = mine;
    const lines = createLastLines();
    const exited = Promise.withResolvers<void>();
    let isFatal = false;
    let isGone = false;
    const gone = (reason: string) => {
      if (isGone) return;
      isGone = true;
      mine.reason ??= reason;
      exited.resolve();
    };
    child.once("error", (error) => {
      isFatal = true;
      gone(`it could not be started (${error.message})`);
    });
    child.once("exit", (code, signal) => gone(signal ? `it was ended by ${signal}` : `it exited with code ${code}`));
    child.stderr.setEncoding("utf8").on("data", lines.push);
    const listening = Promise.withResolvers<void>();
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      lines.push(text);
      if (text.includes("listening on")) listening.resolve();
    });
    const end = (reason: string) => {
      mine.reason ??= reason;
      child.kill("SIGKILL");
    };
    const client = createAgentClient(port, password);
    const health = async (timeoutMs: number): Promise<string | null> => {
      try {
        return healthSchema.parse((await client.call("GET", "/global/health", { timeoutMs })).body).version;
      } catch {
        return null;
      }
    };
    const watch = async () => {
      // Nothing may connect before the listen line: such a connection is accepted and never answered.
      await Promise.race([listening.promise, exited.promise, sleep(listenTimeoutMs, undefined, { ref: false })]);
      let version: string | null = null;
      const deadline = Date.now() + healthTimeoutMs;
      for (let probe = 0; !isGone && version === null && Date.now() < deadline; probe++) {
        version = await health(probeTimeoutsMs[Math.min(probe, probeTimeoutsMs.length - 1)] ?? 0);
        if (version === null) await sleep(probeEveryMs);
      }
      if (isGone) return;
      if (version === null) return end("it did not become healthy in time");
      wasHealthy = true;
      listener.up(client, version, child.pid ?? 0);
      for (let misses = 0; !isGone; ) {
        await Promise.race([exited.promise, sleep(livenessEveryMs, undefined, { ref: false })]);
        if (isGone) return;
        misses = (await health(livenessTimeoutMs)) === null ? misses + 1 : 0;
        if (misses >= livenessMissesMax) return end("it stopped answering");
      }
    };
    void watch();
    await exited.promise;
    await reapOrphans(child.pid);
    return { reason: mine.reason ?? "it ended", lines: lines.lines(), exitCode: child.exitCode, isFatal };
  };

  const supervise = async () => {
    while (!isStopping) {
      const ended = await runLife();
      if (isStopping) return;
      log(`agent: ${ended.reason}`);
      listener.down(ended.reason);
      const now = Date.now();
      const delayMs = ended.isFatal ? null : decideRestartDelayMs(restartedAt, wasHealthy, now);
      if (delayMs === null) return listener.failed(explainAgent(ended.reason, ended.lines, ended.exitCode));
      await sleep(delayMs);
      restartedAt.push(Date.now());
      if (!isStopping) listener.restarted(restartedAt.length, ended.reason);
    }
  };
  const supervising = supervise().catch((error: Error) => listener.failed(explainAgent(error.message, [])));

  return {
    kill(reason) {
      if (!life) return;
      life.reason ??= reason;
      life.child.kill("SIGKILL");
    },
    async stop() {
      isStopping = true;
      const child = life?.child;
      if (child && child.exitCode === null && child.signalCode === null) {
        child.kill("SIGTERM");
        const timer = setTimeout(() => child.kill("SIGKILL"), stopGraceMs);
        await Promise.race([supervising, sleep(stopGraceMs * 2, undefined, { ref: false })]);
        clearTimeout(timer);
      }
    },
  };
}

/** Tools run in sessions of their own and outlive the server; it marks each with its pid. */
async function reapOrphans(pid: number | undefined): Promise<void> {
  if (pid === undefined) return;
  const orphans = () => findBelonging({ session: pid, assignment: `OPENCODE_PID=${pid}`, orphans: false, except: [] });
  await endProcesses(orphans, orphanGraceMs);
}

function findFreePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => (address && typeof address === "object" ? resolve(address.port) : reject(new Error("no port"))));
    });
  });
}
