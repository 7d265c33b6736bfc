/** A gateway on the unmodified SDK, the emulator behind it, and a client in front: one of each per test file. */
import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ModalEmulator, startModalEmulator } from "@open-inspect/emulators/modal";
import { ModalClient } from "modal";
import { createEngine } from "../../emulators/src/modal/engine/create-engine.ts";
import { type RuntimeBundle } from "../src/base-image.ts";
import { createGatewayClient, type GatewayClient, type GatewayResult } from "../src/client.ts";
import { createGateway, type Gateway, type GatewayOptions } from "../src/gateway/gateway.ts";
import { createLog } from "../src/gateway/log.ts";
import { type ListeningServer, listen } from "../src/gateway/server.ts";
import { controlPlaneHost, secret } from "./requests.ts";

const baseTag = "local/host-toolchain";
const appName = "gateway-test";

/** Stands for the runtime, so that these tests need nothing of it: says that it is there, then stays. */
const code = Buffer.from(`
import { readFileSync } from "node:fs";
const { mode } = JSON.parse(readFileSync(0, "utf8"));
console.log("the runtime is up for a " + mode + " – ünïcode");
setInterval(() => {}, 60_000);
`);
export const bundle: RuntimeBundle = { code, sha256: createHash("sha256").update(code).digest("hex") };

export interface RunningGateway {
  gateway: Gateway;
  server: ListeningServer;
  client: GatewayClient;
  close(): Promise<void>;
}

export interface World {
  emulator: ModalEmulator;
  /** the SDK pointed at the emulator, for looking into sandboxes behind the gateway's back */
  modal: ModalClient;
  /** every line that any gateway logged */
  logLines: string[];
  startGateway(options?: Partial<GatewayOptions>): Promise<RunningGateway>;
  /** Makes the emulator fail; see its `faultSchema`. */
  fault(fault: object): Promise<void>;
  clearFaults(): Promise<void>;
  /** How many of the failures asked for are still to come. */
  faultsLeft(): Promise<number>;
  /** Ends a sandbox as if from outside. */
  kill(sandboxId: string, reason: string): Promise<void>;
  imageCount(): Promise<number>;
  /** ids of the images that were made of sandboxes */
  snapshots(): Promise<string[]>;
  /** Runs a script in a sandbox. */
  shell(sandboxId: string, script: string): Promise<string>;
  close(): Promise<void>;
}

export async function startWorld(): Promise<World> {
  const stateDir = await mkdtemp(join(tmpdir(), "gateway-world-"));
  const engine = await createEngine({
    stateDir: join(stateDir, "engine"),
    forwardedPorts: [],
    tools: { node: process.execPath, tini: "/usr/bin/tini" },
  });
  const emulator = await startModalEmulator({ stateDir: join(stateDir, "modal"), engine });
  Object.assign(process.env, { MODAL_SERVER_URL: emulator.url, MODAL_TOKEN_ID: "ak-test", MODAL_TOKEN_SECRET: "as-test" });
  const modal = new ModalClient();
  const logLines: string[] = [];
  const log = createLog((line) => logLines.push(line));
  const gateways = new Set<RunningGateway>();

  async function admin(method: string, path: string, body?: object): Promise<Response> {
    const answer = await fetch(`${emulator.adminUrl}${path}`, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (!answer.ok) throw new Error(`${method} ${path}: ${await answer.text()}`);
    return answer;
  }

  return {
    emulator,
    modal,
    logLines,
    async startGateway(options = {}) {
      const gateway = createGateway({
        secret,
        appName,
        base: { kind: "registry", tag: baseTag },
        allowedHosts: [controlPlaneHost],
        bundle,
        log,
        ...options,
      });
      const server = await listen(gateway.app, "127.0.0.1", 0);
      gateway.warmUp();
      const running: RunningGateway = {
        gateway,
        server,
        client: createGatewayClient({ baseUrl: server.url, secret }),
        async close() {
          gateways.delete(running);
          await server.drain(0);
          gateway.close();
        },
      };
      gateways.add(running);
      return running;
    },
    fault: async (fault) => void (await admin("POST", "/faults", fault)),
    clearFaults: async () => void (await admin("DELETE", "/faults")),
    faultsLeft: async () => ((await (await admin("GET", "/faults")).json()) as { faults: unknown[] }).faults.length,
    kill: async (sandboxId, reason) => void (await admin("POST", `/sandboxes/${sandboxId}/kill`, { reason })),
    async snapshots() {
      const { images } = (await (await admin("GET", "/images")).json()) as { images: { id: string; origin: { kind: string } }[] };
      return images.filter((image) => image.origin.kind === "snapshot").map((image) => image.id);
    },
    imageCount: async () => ((await (await admin("GET", "/images")).json()) as { images: unknown[] }).images.length,
    async shell(sandboxId, script) {
      const sandbox = await modal.sandboxes.fromId(sandboxId);
      const child = await sandbox.exec(["/bin/sh", "-c", script], { timeoutMs: 20_000 });
      const [output] = await Promise.all([child.stdout.readText(), child.wait()]);
      sandbox.detach();
      return output;
    },
    async close() {
      try {
        for (const running of gateways) await running.close();
        await emulator.stop();
      } finally {
        await engine.close();
        await rm(stateDir, { recursive: true, force: true });
      }
    },
  };
}

/** The value of a call that must have succeeded. */
export function succeeded<T>(result: GatewayResult<T>): T {
  if (!result.ok) throw new Error(`${result.error.kind} ${result.error.code}: ${result.error.message}`);
  return result.value;
}

/** Waits for something to become true, with an end. */
export async function eventually<T>(look: () => Promise<T | null | false>, limitMs = 10_000): Promise<T> {
  for (const until = Date.now() + limitMs; Date.now() < until; ) {
    const found = await look();
    if (found !== null && found !== false) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`it did not come about within ${limitMs} ms`);
}
