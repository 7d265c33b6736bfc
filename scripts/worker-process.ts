/** What a local Worker is started with: its settings, its database and its folders in a data folder. Does not know who keeps the process. */
import { cpSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { applyMigrations, dashboard, inheritedEnv } from "./prepared.ts";
import { root } from "./prerequisites.ts";
import { type WorkerSettings } from "./worker-bundle.ts";

/** How `worker.ts` is run for a data folder. */
export function workerCommand(dataDir: string): { command: string[]; env: Record<string, string> } {
  return {
    command: [process.execPath, join(root, "scripts/worker.ts"), settingsFile(dataDir)],
    env: { ...inheritedEnv(), TMPDIR: temporaryFolder(dataDir) },
  };
}

/** The line on standard output with which the Worker says that it listens. */
export const isWorkerReady = (line: string): boolean => line.startsWith('{"worker"');

/** Makes the data folder ready for a start, and empties the folder for temporary files, which a killed Worker leaves. The Worker must not be running. */
export function prepareWorker(dataDir: string, settings: Pick<WorkerSettings, "bundle" | "port" | "vars">) {
  const folders = { persistTo: join(dataDir, "worker"), dashboard: join(dataDir, "dashboard") };
  rmSync(settingsFile(dataDir), { force: true });
  writeFileSync(settingsFile(dataDir), JSON.stringify({ ...settings, ...folders } satisfies WorkerSettings), { mode: 0o600 });
  for (const folder of [temporaryFolder(dataDir), folders.dashboard]) rmSync(folder, { recursive: true, force: true });
  mkdirSync(temporaryFolder(dataDir));
  cpSync(dashboard, folders.dashboard, { recursive: true });
  applyMigrations(dataDir);
}

const settingsFile = (dataDir: string) => join(dataDir, "worker.json");
const temporaryFolder = (dataDir: string) => join(dataDir, "worker-tmp");
