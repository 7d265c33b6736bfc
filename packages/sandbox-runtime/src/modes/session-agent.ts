/** The agent in a session: its lives, its instance in the workspace, and the proof of its edit gate. Knows no prompts' contents and no git. */
import { setTimeout as sleep } from "node:timers/promises";
import { type AgentClient } from "../adapters/agent-client.ts";
import { createAgent } from "../adapters/agent-process.ts";
import { keepRepositoryConfig, prepareAgent, stubConfigDirs } from "../adapters/agent-setup.ts";
import { type EditGate } from "../adapters/edit-gate.ts";
import { type PromptRunner } from "../adapters/prompt-runner.ts";
import { explainAgent, RuntimeFailure } from "../domain/failures.ts";
import { agentInstructions } from "./agent-instructions.ts";
import { type SessionContext } from "./session.ts";

const instanceTimeoutMs = 15_000;
/** A shorter wait for the workspace explains nothing. */
const toldWaitMs = 1_000;
/** An instance that is being ended may answer for a while yet. */
const proofWaitMs = 20_000;
const proofEveryMs = 100;
/** Repository plugins make the first instance call wait for their packages. */
const instanceAttempts = 8;

export interface SessionAgent {
  /** From now on the agent may look at the workspace. */
  allowReading(): void;
  /** The workspace is whole. @param isConfigChanged files that the agent reads only when its instance begins may be others than before */
  settle(isConfigChanged: boolean): void;
  /** Resolves with the agent's version when its instance has the configuration that there is now, and takes prompts. */
  ready(): Promise<string>;
  /** Rejects with a RuntimeFailure when the agent cannot work and will not be tried again. */
  readonly broken: Promise<never>;
  /** Ends the present life; the next one begins by the rules of a crash. */
  kill(reason: string): void;
  /** @param failure why the session ends, where it is a failure */
  stop(failure?: string): Promise<void>;
}

interface Life {
  client: AgentClient;
  version: string;
  pid: number;
}

/** Starts the agent's process before it returns. Throws a RuntimeFailure when it cannot be configured. */
export function startSessionAgent(
  context: SessionContext,
  options: { command: string; port: number; gate: EditGate; prompts: PromptRunner },
): SessionAgent {
  const { config, paths, bridge, reporter, signal } = context;
  const { gate, prompts } = options;
  const phase = reporter.begin("agent");
  const broken = Promise.withResolvers<never>();
  broken.promise.catch(() => undefined);
  const readable = Promise.withResolvers<void>();
  const settled = Promise.withResolvers<void>();
  let isSettled = false;
  let revision = 0;
  let life: Life | null = null;
  let up = Promise.withResolvers<string>();
  let isUp = false;
  let wasUp = false;
  let waitedMs = 0;

  const prepare = () => {
    try {
      return prepareAgent({
        agent: config.agent,
        stateDir: paths.stateDir,
        home: paths.home,
        env: { ...context.env, ...gate.env },
        plugin: gate.pluginUrl,
        instructions: agentInstructions,
      });
    } catch (error) {
      // Most often a home that setup left unusable.
      const reason = error instanceof Error ? error.message : String(error);
      phase.finish("failed", reason);
      throw new RuntimeFailure(explainAgent(`its folders and configuration could not be written (${reason})`, []));
    }
  };
  const env = prepare();

  const isOver = (mine: Life) => life !== mine || signal.aborted;

  const takePrompts = (mine: Life) => {
    isUp = true;
    // An instance that begins anew is a life of its own: what the one before still has in hand counts no more.
    prompts.attach({ ...mine.client });
    if (!wasUp) {
      const what = config.startFrom === "base" ? "the workspace and setup" : "the workspace";
      const waited = waitedMs < toldWaitMs ? "" : `; ${(waitedMs / 1000).toFixed(1)} s of it waited for ${what}`;
      phase.finish("done", `OpenCode ${mine.version}${waited}`);
      bridge.send({ type: "agent.ready", agentVersion: mine.version, gate: gate.isOpen() ? "open" : "closed" });
    }
    wasUp = true;
    up.resolve(mine.version);
  };

  /** The agent reads the repository's own configuration at its first instance call, which also loads the gate. */
  const boot = async (mine: Life) => {
    const upAt = Date.now();
    await readable.promise;
    waitedMs += Date.now() - upAt;
    gate.expectProof();
    /** until when an answer without proof may be that of the instance before */
    let patientUntil = wasUp ? Date.now() + proofWaitMs : 0;
    for (let attempt = 1; !isOver(mine); attempt++) {
      const wanted = revision;
      const wasSettled = isSettled;
      await stubConfigDirs({ home: paths.home, workspace: paths.workspace, env });
      const restoreConfig = await keepRepositoryConfig(paths.workspace);
      const reply = await mine.client
        .call("GET", "/session/status", { timeoutMs: instanceTimeoutMs })
        .catch((error: Error) => ({ status: 0, body: error.message }));
      if (isOver(mine)) return;
      await restoreConfig();
      const isCurrent = wanted === revision;
      if (reply.status === 200 && isCurrent) {
        if (gate.isProved(mine.pid)) return takePrompts(mine);
        if (Date.now() > patientUntil) throw new RuntimeFailure(explainAgent("its edit gate did not load", []));
        await sleep(proofEveryMs);
        continue;
      }
      if (reply.status === 0 && isCurrent && attempt < instanceAttempts) continue;
      const lines = [typeof reply.body === "string" ? reply.body : JSON.stringify(reply.body)];
      if (reply.status === 0 && isCurrent) throw new RuntimeFailure(explainAgent("it did not open the workspace in time", lines));
      if (isCurrent && wasSettled)
        throw new RuntimeFailure(explainAgent(`it refused the workspace (HTTP ${reply.status})`, lines));
      // What it read was half of the old and half of the new, or is old by now.
      if (!wasSettled && isCurrent) await settled.promise;
      await dispose(mine);
      patientUntil = Date.now() + proofWaitMs;
      attempt = 0;
    }
  };

  const dispose = async ({ client }: Life) => {
    gate.expectProof();
    const reply = await client
      .call("POST", "/instance/dispose", { timeoutMs: instanceTimeoutMs })
      .catch((error: Error) => ({ status: 0, body: error.message }));
    if (reply.status !== 200) context.log(`agent: its instance could not be ended (${JSON.stringify(reply.body).slice(0, 200)})`);
  };

  const reload = async (mine: Life) => {
    context.log("agent: its configuration has changed, beginning its instance anew");
    prompts.detach();
    await dispose(mine);
    await boot(mine);
  };

  const agent = createAgent({
    command: options.command,
    port: options.port,
    cwd: paths.workspace,
    env,
    log: context.log,
    listener: {
      up(client, version, pid) {
        const mine = { client, version, pid };
        life = mine;
        boot(mine).catch(broken.reject);
      },
      down() {
        life = null;
        if (isUp) up = Promise.withResolvers<string>();
        isUp = false;
        prompts.detach();
      },
      restarted: (attempt, reason) => bridge.send({ type: "agent.restarted", attempt, reason }),
      failed: (failure) => broken.reject(new RuntimeFailure(failure)),
    },
  });

  return {
    allowReading: readable.resolve,
    settle(isConfigChanged) {
      if (isConfigChanged) revision++;
      isSettled = true;
      settled.resolve();
      readable.resolve();
      // An instance that is beginning sees the change by itself.
      if (!isConfigChanged || !isUp || !life) return;
      isUp = false;
      up = Promise.withResolvers<string>();
      reload(life).catch(broken.reject);
    },
    ready: () => up.promise,
    broken: broken.promise,
    kill: agent.kill,
    async stop(failure) {
      if (failure !== undefined && !wasUp) phase.finish("failed", failure);
      await agent.stop();
    },
  };
}

/** Whether files are among those that the agent reads only when its instance begins. @param files null: any */
export function touchesAgentConfig(files: readonly string[] | null): boolean {
  return (
    files === null || files.some((path) => /^(opencode\.jsonc?$|(AGENTS|CLAUDE|CONTEXT)\.md$|\.opencode\/|\.claude\/)/.test(path))
  );
}
