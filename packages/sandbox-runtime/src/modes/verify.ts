/** Verify mode, in a sandbox from the candidate image: the commit is the built one and `.openinspect/verify.sh` passes. Nothing is fetched. */
import { type RuntimeConfig } from "@open-inspect/protocol";
import { hasRepository } from "../adapters/git.ts";
import { runCommand } from "../adapters/processes.ts";
import { explainOtherCommit, RuntimeFailure, requiredHooks } from "../domain/failures.ts";
import { type RuntimeContext, runRequiredHook } from "./steps.ts";

const gitTimeoutMs = 30_000;

export async function runVerify(context: RuntimeContext & { config: Extract<RuntimeConfig, { mode: "verify" }> }): Promise<void> {
  const { config, paths, bridge } = context;
  const found = hasRepository(paths.workspace) ? await readHead(context) : null;
  if (found !== config.sha) throw new RuntimeFailure(explainOtherCommit(config.sha, found));
  const run = await runRequiredHook(context, requiredHooks.verify, { except: [], timeoutMs: config.verifyHookTimeoutMs });
  bridge.send({ type: "verify.finished", sha: config.sha, verifyRan: run !== null });
}

async function readHead({ paths, env, signal }: RuntimeContext): Promise<string | null> {
  const args = ["-c", `safe.directory=${paths.workspace}`, "rev-parse", "--verify", "HEAD"];
  const result = await runCommand("git", args, { cwd: paths.workspace, env, timeoutMs: gitTimeoutMs, signal });
  return result.exitCode === 0 ? result.stdout.trim() : null;
}
