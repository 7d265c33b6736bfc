/**
 * Session mode: workspace and agent side by side, setup only without an image, start hook, prompts as soon as the agent may read,
 * then what the control plane asks until the end.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { hookPaths, type RuntimeConfig } from "@open-inspect/protocol";
import { startAgentTools } from "../adapters/agent-tools.ts";
import { type AgentInput, readAttachments } from "../adapters/attachments.ts";
import { type BridgeCommand } from "../adapters/bridge-socket.ts";
import { startCredentialServer } from "../adapters/credential-server.ts";
import { createEditGate } from "../adapters/edit-gate.ts";
import { hasRepository } from "../adapters/git.ts";
import { writeCredentialHelper, writeGitIdentity } from "../adapters/git-identity.ts";
import { inspectHook, runHook } from "../adapters/hooks.ts";
import { type Prompt } from "../adapters/prompt-run.ts";
import { createPromptRunner } from "../adapters/prompt-runner.ts";
import { createDiffWatch } from "../adapters/workspace-diff.ts";
import { RuntimeFailure } from "../domain/failures.ts";
import { agentPlugin } from "../plugin/source.ts";
import { type SessionAgent, startSessionAgent, touchesAgentConfig } from "./session-agent.ts";
import { createSetupWatch } from "./session-setup.ts";
import { createSessionWorkspace } from "./session-workspace.ts";
import { type RuntimeContext, runSetup } from "./steps.ts";

export type SessionConfig = Extract<RuntimeConfig, { mode: "session" }>;
export type SessionContext = RuntimeContext & { config: SessionConfig };

/** Resolves when `signal` aborts; throws RuntimeFailure when the session cannot start or go on. */
export async function runSession(
  context: SessionContext,
  options: { agentCommand: string; agentPort: number; onShutdown: () => void },
): Promise<void> {
  const { config, paths, bridge, reporter, signal } = context;
  const aborted = new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
  const broken = Promise.withResolvers<never>();
  broken.promise.catch(() => undefined);

  mkdirSync(paths.workspace, { recursive: true });
  const gate = createEditGate(paths.stateDir, agentPlugin);
  const workspace = createSessionWorkspace(context, gate);
  const diffs = createDiffWatch({
    workspace: paths.workspace,
    env: context.env,
    signal,
    onDiff: (diff) => bridge.send({ type: "workspace.diff", diff }),
    log: context.log,
  });
  const setup = createSetupWatch(context, () => diffs.touch("tool"));
  let agent: SessionAgent | null = null;
  const prompts = createPromptRunner({
    sessionTitle: config.sessionId,
    defaultModel: config.agent.model,
    send: bridge.send,
    prepare: createPreparation(context),
    onWork: diffs.touch,
    giveUpOnAgent: (reason) => agent?.kill(reason),
    log: context.log,
  });
  const { agentCommand: command, agentPort: port } = options;
  // Without a wait until here: nothing is needed as long before session.ready as the agent's process.
  const running = startSessionAgent(context, { command, port, gate, prompts });
  agent = running;
  const services = startServices(context);
  services.catch((error: Error) => context.log(`the agent will have neither credentials nor sessions: ${error.message}`));
  // A prompt that has come runs from the agent's first moment on: it may read while the workspace is still being brought up to date.
  prompts.open();

  const ready = async (sha: string, setupRan: boolean, ...besides: Promise<void>[]) => {
    const [agentVersion] = await Promise.all([running.ready(), ...besides]);
    if (signal.aborted) return;
    bridge.send({ type: "session.ready", sha, setupRan, agentVersion });
    // After the start, so that it costs the start nothing.
    diffs.begin(workspace.base());
    void workspace.tellBehind();
  };

  const open = (changed: string[] | null) => {
    gate.open();
    running.settle(touchesAgentConfig(changed));
  };

  const start = async () => {
    if (config.startFrom === "snapshot") {
      const head = await workspace.keep();
      running.settle(false);
      reporter.skip("setup", "the snapshot has it");
      return ready(head, false, runStartHook(context));
    }
    if (config.startFrom === "image") {
      if (hasRepository(paths.workspace)) running.allowReading();
      const { sha, from, changed } = await workspace.sync();
      open(changed);
      reporter.skip("setup", "the image has it");
      if (from !== null) void setup.check({ from, to: sha });
      return ready(sha, false, runStartHook(context));
    }
    const { sha } = await workspace.sync();
    const hook = await runSetup(context, []);
    const left = hook?.leftovers(false).length ?? 0;
    if (left > 0) {
      const advice = `${left} processes of setup still run. A session from an image will not have them: start them in ${hookPaths.start}.`;
      bridge.send({ type: "log", phase: "setup", stream: "system", text: `${advice}\n` });
    }
    open([]);
    return ready(sha, hook !== null, runStartHook(context));
  };

  const syncAgain = async (branch: string | undefined) => {
    // A snapshot's workspace is somebody's work: no sync may change it.
    if (config.startFrom === "snapshot") return ready(await workspace.keep(), false);
    const { sha, from, changed } = await workspace.sync(branch);
    open(changed);
    if (from !== null) void setup.check({ from, to: sha });
    await ready(sha, false);
  };

  /** What changes the workspace's commits is done one after the other. */
  let working: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const next = working.then(work);
    working = next.catch(() => undefined);
    return next;
  };
  inTurn(start).catch(broken.reject);
  bridge.onCommand((command: BridgeCommand) => {
    switch (command.type) {
      case "prompt":
        return prompts.submit(command);
      case "abort":
        return prompts.abort(command.promptId);
      case "sync":
        inTurn(() => syncAgain(command.branch)).catch(broken.reject);
        return;
      case "refresh":
        inTurn(async () => undefined).then(setup.run, () => undefined);
        return;
      case "push":
        void inTurn(() => workspace.push(command)).then((outcome) => {
          bridge.send({ type: "push.finished", pushId: command.pushId, outcome });
          diffs.touch("finished");
        });
        return;
      case "shutdown":
        return options.onShutdown();
    }
  });

  let failure: string | undefined;
  try {
    await Promise.race([broken.promise, running.broken, aborted]);
  } catch (error) {
    failure = error instanceof RuntimeFailure ? error.failure.message : undefined;
    throw error;
  } finally {
    prompts.close();
    await running.stop(failure);
    await services.then((close) => close()).catch(() => undefined);
  }
}

/** What the agent and its commands ask this process for: credentials to read, and sessions. @returns ends them */
async function startServices({ config, paths, bridge, credentials, env, log }: SessionContext): Promise<() => Promise<void>> {
  const { stateDir, workspace } = paths;
  const [reading, tools] = await Promise.all([
    startCredentialServer({ stateDir, cloneUrl: config.cloneUrl, cache: credentials, name: "agent-credential" }),
    startAgentTools({ stateDir, ask: bridge.requestSessions }),
  ]);
  await writeCredentialHelper({ cloneUrl: config.cloneUrl, helper: reading.helper, workspace, env }).catch((error: Error) =>
    log(`git: the agent's git will have no credential: ${error.message}`),
  );
  return async () => {
    await Promise.all([reading.close(), tools.close()]);
  };
}

/** Makes of a prompt what the agent is told. Rejects with a sentence for whoever asked. */
function createPreparation({ config, paths, env, log }: SessionContext) {
  let naming = Promise.resolve();
  return async (prompt: Prompt, signal: AbortSignal): Promise<AgentInput[]> => {
    // One after the other and never cut off, also when its prompt is: git would leave a lock.
    naming = naming.then(() =>
      writeGitIdentity(prompt.author ?? null, { workspace: paths.workspace, env }).catch((error: Error) =>
        log(`git: commits will not carry their author's name: ${error.message}`),
      ),
    );
    const attached = await readAttachments(prompt.attachments ?? [], {
      bridgeUrl: config.bridgeUrl,
      token: config.bridgeToken,
      folder: join(paths.home, "attachments"),
      signal,
    });
    await naming;
    return [{ type: "text", text: prompt.text }, ...attached];
  };
}

/** A start hook that fails does not cost the session: the phase says so, and its output is there. */
async function runStartHook(context: SessionContext): Promise<void> {
  const { config, paths, reporter } = context;
  const state = inspectHook(paths.workspace, hookPaths.start);
  if (state === "absent") return reporter.skip("start", `there is no ${hookPaths.start}`);
  const report = reporter.begin("start");
  if (state === "not_executable")
    return report.finish("failed", `not executable: git update-index --chmod=+x ${hookPaths.start}`);
  try {
    const run = await runHook({
      workspace: paths.workspace,
      path: hookPaths.start,
      env: context.env,
      timeoutMs: config.startHookTimeoutMs,
      signal: context.signal,
      except: [],
      onOutput: report.output,
    });
    if (run.timedOut) {
      const limit = `stopped after ${config.startHookTimeoutMs / 1000} s; put services in the background`;
      report.system(limit);
      report.finish("failed", limit);
    } else if (run.exitCode === 0) report.finish("done");
    else report.finish("failed", run.signal ? `ended by ${run.signal}` : `exit code ${run.exitCode}`);
  } catch (error) {
    report.finish("failed", error instanceof Error ? error.message : String(error));
  }
}
