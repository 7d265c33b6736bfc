/** Starts the emulator on a temporary state and gives the unmodified SDK pointed at it. */
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ModalClient } from "modal";
import { createEngine } from "../../src/modal/engine/create-engine.ts";
import { type SandboxEngine } from "../../src/modal/engine/engine.ts";
import { type ModalEmulator, type ModalEmulatorOptions, startModalEmulator } from "../../src/modal/modal.ts";

/** the host's own toolchain, seen read-only */
export const baseTag = "local/host-toolchain";

const realEngine = (stateDir: string) => createEngine({ stateDir, forwardedPorts: [], tools: { node: process.execPath } });

export interface Harness {
  emulator: ModalEmulator;
  engine: SandboxEngine;
  stateDir: string;
  connect(environment?: Record<string, string>): ModalClient;
  fault(fault: object): Promise<void>;
  restart(): Promise<void>;
  stop(): Promise<void>;
}

/** The SDK reads its environment when a client is made. */
export function connectTo(url: string, environment: Record<string, string> = {}): ModalClient {
  Object.assign(process.env, { MODAL_SERVER_URL: url, MODAL_TOKEN_ID: "ak-test", MODAL_TOKEN_SECRET: "as-test" });
  const before = Object.fromEntries(Object.keys(environment).map((name) => [name, process.env[name]]));
  Object.assign(process.env, environment);
  try {
    return new ModalClient({ logger: { debug() {}, info() {}, warn() {}, error() {} } });
  } finally {
    for (const [name, value] of Object.entries(before)) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  }
}

export async function startHarness(
  options: Partial<ModalEmulatorOptions> = {},
  makeEngine: (stateDir: string) => Promise<SandboxEngine> = realEngine,
): Promise<Harness> {
  const stateDir = await mkdtemp(join(tmpdir(), "modal-emulator-"));
  const engine = await makeEngine(join(stateDir, "engine"));
  const start = (port = 0) => startModalEmulator({ stateDir: join(stateDir, "state"), engine, port, ...options });
  const emulator = await start();
  const result: Harness = {
    emulator,
    engine,
    stateDir,
    connect: (environment) => connectTo(result.emulator.url, environment),
    fault: async (fault) => {
      const answer = await fetch(`${result.emulator.adminUrl}/faults`, { method: "POST", body: JSON.stringify(fault) });
      if (answer.status !== 201) throw new Error(await answer.text());
    },
    restart: async () => {
      const port = Number(new URL(result.emulator.url).port);
      await result.emulator.stop();
      result.emulator = await start(port);
    },
    stop: async () => {
      await result.emulator.stop();
      await engine.close();
      if (existsSync(stateDir)) await rm(stateDir, { recursive: true, force: true });
    },
  };
  return result;
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}
