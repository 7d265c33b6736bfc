/**
 * Build mode: workspace, what the image depends on, setup, nothing left running, `build.finished`; then it waits to be ended.
 * From a previous image it is setup again, or refresh, on what is there; with another setup.sh it says so and does nothing.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { type RuntimeConfig } from "@open-inspect/protocol";
import { hasRepository } from "../adapters/git.ts";
import { measureBytes, readImageInputs } from "../adapters/image-inputs.ts";
import { endProcesses } from "../adapters/processes.ts";
import { explainRemoved, RuntimeFailure, requiredHooks } from "../domain/failures.ts";
import { prepareWorkspace, type RuntimeContext, runRequiredHook } from "./steps.ts";

/** Time for databases and the like that setup left running to write their files. */
const leftoverGraceMs = 3_000;

export async function runBuild(context: RuntimeContext & { config: Extract<RuntimeConfig, { mode: "build" }> }): Promise<void> {
  const { bridge, paths, env } = context;
  const { previous } = context.config;
  const workspace = await prepareWorkspace(context);
  const { inputs, file } = await readImageInputs(paths.workspace, env);
  if (previous && previous.setup !== inputs.setup) {
    bridge.send({ type: "build.outdated", setup: inputs.setup });
    return;
  }
  bridge.send({ type: "build.inputs", inputs, file });
  const hook = previous && inputs.refresh ? requiredHooks.refresh : requiredHooks.setup;
  const setup = await runRequiredHook(context, hook, { except: [], timeoutMs: null });
  if (setup) {
    const { ended, survivors } = await endProcesses(() => setup.leftovers(true), leftoverGraceMs);
    const lines = [
      ...(ended.length > 0
        ? [`Ended ${ended.length} processes that setup left running: ${[...new Set(ended)].slice(0, 10).join(", ")}`]
        : []),
      ...(survivors > 0 ? [`${survivors} processes could not be ended`] : []),
    ];
    for (const line of lines) {
      context.log(line);
      bridge.send({ type: "log", phase: "setup", stream: "system", text: `${line}\n` });
    }
    // Every session from such an image would fail.
    if (!hasRepository(paths.workspace)) throw new RuntimeFailure(explainRemoved(paths.workspace));
  }
  // Nothing of this build's own may be in the image: not its sockets, and not what git kept of operations.
  const scratch = ["credential.sock", "credential-helper.cjs", "models.json", "model-token"];
  await Promise.all(scratch.map((name) => rm(join(paths.stateDir, name), { force: true })));
  await rm(join(paths.workspace, ".git", "FETCH_HEAD"), { force: true });
  const sizeBytes = await measureBytes([paths.workspace, paths.home], env);
  bridge.send({ type: "build.finished", sha: workspace.sha, setupRan: setup !== null, sizeBytes });
}
