/** The steps that builds and sessions share: the bridge's phase, the workspace, setup. Throws RuntimeFailure. */
import { type RuntimeConfig, type RuntimeEvent, type sandboxPaths } from "@open-inspect/protocol";
import { type Bridge } from "../adapters/bridge-socket.ts";
import { type CredentialCache } from "../adapters/credential-server.ts";
import { bringToHead, hasRepository, type Workspace } from "../adapters/git.ts";
import { type HookRun, inspectHook, runHook } from "../adapters/hooks.ts";
import { readDiskSpace, readMemoryKills } from "../adapters/resources.ts";
import {
  explainHollowImage,
  explainHook,
  explainNotExecutable,
  explainNotStarted,
  type RequiredHook,
  RuntimeFailure,
  requiredHooks,
} from "../domain/failures.ts";
import { findShortage } from "../domain/shortage.ts";
import { type Reporter } from "./reporter.ts";

export type RuntimePaths = { readonly [K in keyof typeof sandboxPaths]: string };

/** What every mode works with. `signal` aborts when the runtime is to end. */
export interface RuntimeContext {
  config: RuntimeConfig;
  paths: RuntimePaths;
  bridge: Bridge;
  reporter: Reporter;
  env: NodeJS.ProcessEnv;
  credentials: CredentialCache;
  /** where the kernel shows the limits of this sandbox */
  cgroupDir: string;
  signal: AbortSignal;
  log: (line: string) => void;
}

/**
 * Reports the workspace's phase, `clone` or `sync` by what is there, and its proof. @param more.branch instead of the configuration's
 */
export async function prepareWorkspace(
  context: RuntimeContext,
  more: { branch?: string; onChanged?: (files: string[] | null) => void } = {},
): Promise<Workspace> {
  const { config, paths, reporter, bridge } = context;
  const wished = more.branch ?? config.branch;
  const phase = hasRepository(paths.workspace) ? "sync" : "clone";
  const isFromImage = config.mode === "session" ? config.startFrom === "image" : config.mode === "build" && config.previous;
  if (phase === "clone" && isFromImage) {
    // A clone would make it look whole, without anything that setup had made.
    throw new RuntimeFailure(explainHollowImage(paths.workspace));
  }
  const report = reporter.begin(phase);
  report.system(`${phase === "clone" ? "Cloning" : "Updating from"} ${config.cloneUrl}, branch ${wished}`);
  try {
    const workspace = await bringToHead({
      phase,
      workspace: paths.workspace,
      stateDir: paths.stateDir,
      cloneUrl: config.cloneUrl,
      branch: wished,
      followDefault: (config.followDefault ?? false) && wished === config.branch,
      ...(more.onChanged ? { onChanged: more.onChanged } : {}),
      timeoutMs: config.gitTimeoutMs,
      env: context.env,
      credentials: context.credentials,
      signal: context.signal,
      log: report.system,
    });
    for (const warning of workspace.warnings) report.system(warning);
    report.finish("done", [workspace.sha.slice(0, 7), ...workspace.warnings].join("; "));
    const { sha, bakedSha, branch } = workspace;
    const synced: RuntimeEvent = { type: "workspace.synced", sha, bakedSha };
    bridge.send(branch === wished ? synced : { ...synced, branch });
    return workspace;
  } catch (error) {
    if (error instanceof RuntimeFailure) for (const line of error.failure.lines) report.output("stderr", `${line}\n`);
    report.finish("failed", error instanceof Error ? error.message : undefined);
    throw error;
  }
}

/** Runs `.openinspect/setup.sh`. No limit of its own: the control plane's limit of the build or start rules. */
export async function runSetup(context: RuntimeContext, except: readonly number[]): Promise<HookRun | null> {
  return runRequiredHook(context, requiredHooks.setup, { except, timeoutMs: null });
}

/** Runs a script that must succeed, in its phase; null when the repository has none. */
export async function runRequiredHook(
  context: RuntimeContext,
  hook: RequiredHook,
  { except, timeoutMs }: { except: readonly number[]; timeoutMs: number | null },
): Promise<HookRun | null> {
  const { paths, reporter, signal } = context;
  const { path, phase } = hook;
  const state = inspectHook(paths.workspace, path);
  if (state === "absent") {
    reporter.skip(phase, `there is no ${path}`);
    return null;
  }
  const report = reporter.begin(phase);
  if (state === "not_executable") {
    report.finish("failed", "not executable");
    throw new RuntimeFailure(explainNotExecutable(hook));
  }
  const { workspace } = paths;
  const killsBefore = await readMemoryKills(context.cgroupDir);
  const run = await runHook({ workspace, path, env: context.env, timeoutMs, signal, except, onOutput: report.output }).catch(
    (error: unknown) => {
      const reason = error instanceof Error ? error.message : String(error);
      report.finish("failed", reason);
      throw new RuntimeFailure(explainNotStarted(hook, reason));
    },
  );
  if (run.exitCode !== 0) {
    const [killsAfter, disk] = await Promise.all([readMemoryKills(context.cgroupDir), readDiskSpace(workspace)]);
    const failure = explainHook(hook, run, findShortage({ killsBefore, killsAfter, disk, lines: run.lines }));
    report.finish("failed", failure.message);
    throw new RuntimeFailure(failure);
  }
  report.finish("done", hook === requiredHooks.refresh ? path : undefined);
  return run;
}
