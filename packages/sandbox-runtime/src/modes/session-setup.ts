/** What the workspace needs again after a sync: finds that setup is stale and runs refresh or setup beside the agent. */
import { hookPaths } from "@open-inspect/protocol";
import { inspectHook, runHook } from "../adapters/hooks.ts";
import { listChangedInputs } from "../adapters/image-inputs.ts";
import { type SessionContext } from "./session.ts";

const refreshTimeoutMs = 30 * 60_000;
/** As many as the protocol lists. */
const staleFilesMax = 50;

export interface SetupWatch {
  /** After the workspace has moved from one commit to another. */
  check(move: { from: string; to: string }): Promise<void>;
  /** A person wants it, whatever has changed. */
  run(): Promise<void>;
}

/** @param onRan files may have changed */
export function createSetupWatch(context: SessionContext, onRan: () => void): SetupWatch {
  const { paths, bridge, reporter, env, signal } = context;
  const stale = new Set<string>();
  let running: Promise<void> | null = null;
  const tell = (refresh: "offered" | "running" | "done" | "failed") =>
    bridge.send({ type: "setup.stale", files: [...stale].slice(0, staleFilesMax), refresh });

  /** A script of the repository, in the phase `refresh`. A failure costs the session nothing but is told. */
  const runScript = async (path: string) => {
    tell("running");
    const report = reporter.begin("refresh");
    const fail = (detail: string) => {
      report.finish("failed", detail);
      tell("failed");
    };
    try {
      const { workspace } = paths;
      const limits = { timeoutMs: refreshTimeoutMs, signal, except: [] };
      const run = await runHook({ workspace, path, env, ...limits, onOutput: report.output });
      if (run.timedOut) fail(`stopped after ${refreshTimeoutMs / 60_000} minutes`);
      else if (run.exitCode !== 0) fail(run.signal ? `ended by ${run.signal}` : `exit code ${run.exitCode}`);
      else {
        stale.clear();
        report.finish("done", path);
        tell("done");
      }
    } catch (error) {
      fail(error instanceof Error ? error.message : String(error));
    }
    onRan();
  };

  const run = (path: string): Promise<void> => {
    running ??= runScript(path).finally(() => {
      running = null;
    });
    return running;
  };

  const refuse = (detail: string) => {
    const report = reporter.begin("refresh");
    report.system(detail);
    report.finish("failed", detail);
    tell("failed");
  };

  return {
    async check({ from, to }) {
      if (from === to) return;
      const files = await listChangedInputs(paths.workspace, { from, to }, env);
      if (files.length === 0 || signal.aborted) return;
      for (const file of files) stale.add(file);
      if (inspectHook(paths.workspace, hookPaths.refresh) === "ready") void run(hookPaths.refresh);
      else tell("offered");
    },
    async run() {
      const path = [hookPaths.refresh, hookPaths.setup].find((hook) => inspectHook(paths.workspace, hook) !== "absent");
      if (path === undefined) return refuse(`there is neither ${hookPaths.refresh} nor ${hookPaths.setup}`);
      if (inspectHook(paths.workspace, path) === "ready") return run(path);
      refuse(`not executable: git update-index --chmod=+x ${path}`);
    },
  };
}
