/** Session mode: workspace and agent side by side, setup only without an image, start hook, then prompts until the end. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { hookPaths, type RuntimeConfig } from "@open-inspect/protocol";
import { type AgentClient } from "../adapters/agent-client.ts";
import { createAgent } from "../adapters/agent-process.ts";
import { prepareAgent } from "../adapters/agent-setup.ts";
import { type AgentInput, readAttachments } from "../adapters/attachments.ts";
import { type Workspace } from "../adapters/git.ts";
import { measureDistance } from "../adapters/git-distance.ts";
import { writeGitIdentity } from "../adapters/git-identity.ts";
import { inspectHook, runHook } from "../adapters/hooks.ts";
import { createPromptRunner, type Prompt } from "../adapters/prompt-runner.ts";
import { createDiffWatch } from "../adapters/workspace-diff.ts";
import { explainAgent, RuntimeFailure } from "../domain/failures.ts";
import { prepareWorkspace, type RuntimeContext, runSetup } from "./steps.ts";

export type SessionConfig = Extract<RuntimeConfig, { mode: "session" }>;
export type SessionContext = RuntimeContext & { config: SessionConfig };

const instanceTimeoutMs = 15_000;
/** A shorter wait for the workspace explains nothing. */
const toldWaitMs = 1_000;
/** Repository plugins make the first instance call wait for their packages. */
const instanceAttempts = 8;

/** Resolves when `signal` aborts; throws RuntimeFailure when the session cannot start or go on. */
export async function runSession(
  context: SessionContext,
  options: { agentCommand: string; agentPort: number; onShutdown: () => void },
): Promise<void> {
  const { config, paths, bridge, reporter, signal } = context;
  const workspaceReady = Promise.withResolvers<void>();
  const agentReady = Promise.withResolvers<string>();
  const broken = Promise.withResolvers<never>();
  broken.promise.catch(() => undefined);
  const aborted = new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });

  await mkdir(paths.workspace, { recursive: true });
  const agentPhase = reporter.begin("agent");
  const agentEnv = await prepareAgent({
    agent: config.agent,
    stateDir: paths.stateDir,
    home: paths.home,
    env: context.env,
  }).catch((error: unknown) => {
    // Most often a home that setup left unusable.
    const reason = error instanceof Error ? error.message : String(error);
    agentPhase.finish("failed", reason);
    throw new RuntimeFailure(explainAgent(`its configuration could not be written (${reason})`, []));
  });

  const diffs = createDiffWatch({
    workspace: paths.workspace,
    env: context.env,
    signal,
    onDiff: (diff) => bridge.send({ type: "workspace.diff", diff }),
    log: context.log,
  });
  const prompts = createPromptRunner({
    sessionTitle: config.sessionId,
    defaultModel: config.agent.model,
    send: bridge.send,
    prepare: createPreparation(context),
    onWork: diffs.touch,
    giveUpOnAgent: (reason) => agent.kill(reason),
    log: context.log,
  });
  bridge.onCommand((command) => {
    if (command.type === "prompt") prompts.submit(command);
    else if (command.type === "abort") prompts.abort(command.promptId);
    else if (command.type === "shutdown") options.onShutdown();
  });

  /** The agent reads the repository's own configuration at its first instance call: not before it is at the right head. */
  let present: AgentClient | null = null;
  let waitedMs = 0;
  const bootInstance = async (client: AgentClient, version: string) => {
    const upAt = Date.now();
    await workspaceReady.promise;
    waitedMs += Date.now() - upAt;
    for (let attempt = 1; present === client; attempt++) {
      const reply = await client
        .call("GET", "/session/status", { timeoutMs: instanceTimeoutMs })
        .catch((error: Error) => ({ status: 0, body: error.message }));
      if (present !== client || signal.aborted) return;
      if (reply.status === 200) {
        prompts.attach(client);
        return agentReady.resolve(version);
      }
      const lines = [typeof reply.body === "string" ? reply.body : JSON.stringify(reply.body)];
      if (reply.status > 0) throw new RuntimeFailure(explainAgent(`it refused the workspace (HTTP ${reply.status})`, lines));
      if (attempt >= instanceAttempts) throw new RuntimeFailure(explainAgent("it did not open the workspace in time", lines));
    }
  };

  const agent = createAgent({
    command: options.agentCommand,
    port: options.agentPort,
    cwd: paths.workspace,
    env: agentEnv,
    log: context.log,
    listener: {
      up(client, version) {
        present = client;
        bootInstance(client, version).catch(broken.reject);
      },
      down() {
        present = null;
        prompts.detach();
      },
      restarted: (attempt, reason) => bridge.send({ type: "agent.restarted", attempt, reason }),
      failed: (failure) => broken.reject(new RuntimeFailure(failure)),
    },
  });
  void agentReady.promise.then((version) => {
    const what = config.startFrom === "base" ? "the workspace and setup" : "the workspace";
    const waited = waitedMs < toldWaitMs ? "" : `; ${(waitedMs / 1000).toFixed(1)} s of it waited for ${what}`;
    agentPhase.finish("done", `OpenCode ${version}${waited}`);
  });

  const start = async () => {
    const workspace = await prepareWorkspace(context);
    let setupRan = false;
    if (config.startFrom === "base") {
      const setup = await runSetup(context, []);
      setupRan = setup !== null;
      const left = setup?.leftovers(false).length ?? 0;
      if (left > 0) {
        const advice = `${left} processes of setup still run. A session from an image will not have them: start them in ${hookPaths.start}.`;
        bridge.send({ type: "log", phase: "setup", stream: "system", text: `${advice}\n` });
      }
    } else reporter.skip("setup", "the image has it");
    workspaceReady.resolve();
    const [agentVersion] = await Promise.all([agentReady.promise, runStartHook(context)]);
    bridge.send({ type: "session.ready", sha: workspace.sha, setupRan, agentVersion });
    prompts.open();
    // After the start, so that it costs the start nothing.
    void tellBehind(context, workspace);
    diffs.begin(workspace.sha);
    await aborted;
  };
  const starting = start();
  // When another reason ends the session first, this one is no news.
  starting.catch(() => undefined);
  try {
    await Promise.race([starting, broken.promise, aborted]);
  } catch (error) {
    agentPhase.finish("failed", error instanceof RuntimeFailure ? error.failure.message : undefined);
    throw error;
  } finally {
    prompts.close();
    await agent.stop();
  }
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

/** How far the image was behind. Without an image, or where git cannot say, nothing is told. */
async function tellBehind(context: SessionContext, { sha, bakedSha }: Workspace): Promise<void> {
  if (bakedSha === null || context.config.startFrom !== "image") return;
  const distance = await measureDistance(context.paths.workspace, { from: bakedSha, to: sha }, context);
  if (distance && !context.signal.aborted) context.bridge.send({ type: "workspace.behind", ...distance });
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
