/**
 * Starts the Modal emulator: the gRPC services that the unmodified `modal` SDK calls, on one plaintext HTTP/2 port of loopback,
 * and an HTTP side door for tests. Knows no engine: it drives the one it is given and leaves it open.
 */
import { createHmac } from "node:crypto";
import { type ServerType, serve } from "@hono/node-server";
import { createServer } from "nice-grpc";
import { type Credentials, createAccess } from "./access.ts";
import { createAdminApp } from "./admin.ts";
import { createControlHandlers } from "./control-service.ts";
import { loadModalDefinitions } from "./definitions.ts";
import { type EngineDescription, type SandboxEngine } from "./engine/engine.ts";
import { createFaults } from "./faults.ts";
import { createImageBuilder } from "./image-builder.ts";
import { createImages } from "./images.ts";
import { createRouterHandlers } from "./router-service.ts";
import { addService } from "./rpc.ts";
import { createSandboxHandlers } from "./sandbox-service.ts";
import { createSandboxes } from "./sandboxes.ts";
import { createSecrets } from "./secrets.ts";
import { openStateStore } from "./state-store.ts";
import { createTokens } from "./tokens.ts";
import { makeTunnelCertificate } from "./tunnel-certificate.ts";

const tokenLifeMs = 60 * 60 * 1000;
const sweepEveryMs = 5_000;
const largestMessageBytes = 100 * 1024 * 1024;
const flowControlWindowBytes = 16 * 1024 * 1024;
const keptOutputBytes = 64 * 1024 * 1024;

export interface ModalEmulatorOptions {
  /** of the gRPC services; 0 or missing: any free one */
  port?: number;
  /** of the HTTP side door; 0 or missing: any free one */
  adminPort?: number;
  /** where apps, images and their names are kept across restarts */
  stateDir: string;
  engine: SandboxEngine;
  log?: (line: string) => void;
  /** missing: any token pair that is not empty */
  credentials?: Credentials;
  /** what the SDK is told to dial for exec, `https://127.0.0.1:PORT`; missing: the emulator's own port */
  routerUrl?: string;
  /** of each output stream of a process; missing: 64 MiB */
  keptOutputBytes?: number;
  now?: () => number;
}

export interface ModalEmulator {
  /** for MODAL_SERVER_URL */
  url: string;
  adminUrl: string;
  /** a PEM file: trusting it is trusting the encrypted tunnels of this run */
  tunnelCaFile: string;
  describe(): EngineDescription;
  /** Ends all sandboxes and builds, closes both ports. The engine stays open. Idempotent. */
  stop(): Promise<void>;
}

async function serveAdmin(fetch: (request: Request) => Response | Promise<Response>, port: number) {
  return await new Promise<{ server: ServerType; port: number }>((resolve, reject) => {
    const server = serve({ fetch, port, hostname: "127.0.0.1" }, (address) => resolve({ server, port: address.port }));
    server.once("error", reject);
  });
}

export async function startModalEmulator(options: ModalEmulatorOptions): Promise<ModalEmulator> {
  const { engine, stateDir } = options;
  const now = options.now ?? Date.now;
  const log = options.log ?? (() => {});
  const definitions = loadModalDefinitions();
  const store = await openStateStore(stateDir);
  const images = createImages({ store, engine, now });
  await images.sweep();
  await images.adopt();
  const builder = createImageBuilder({ engine, images, salt: store.state.salt, now, log });
  const certificate = await makeTunnelCertificate(stateDir, now());
  const sandboxes = createSandboxes({
    ...{ engine, identity: certificate, now, log },
    keptOutputBytes: options.keptOutputBytes ?? keptOutputBytes,
  });
  const secrets = createSecrets();
  const faults = createFaults();
  // the same after a restart: clients hold on to their tokens
  const tokenKey = createHmac("sha256", store.state.salt).update("tokens").digest();
  const access = createAccess(createTokens(tokenKey, tokenLifeMs), options.credentials ?? null, now);
  let port = 0;

  const grpc = createServer({
    "grpc.max_receive_message_length": largestMessageBytes,
    "grpc.max_send_message_length": largestMessageBytes,
    "grpc-node.flow_control_window": flowControlWindowBytes,
  });
  const routerUrl = () => options.routerUrl ?? `https://127.0.0.1:${port}`;
  const control = grpc.with(access.control).with(faults.middleware);
  addService(control, definitions.control, {
    ...createControlHandlers({ access, store, images, builder, secrets }),
    ...createSandboxHandlers({ access, store, images, sandboxes, secrets, routerUrl, takeDisk: faults.takeDisk }),
  });
  const router = grpc.with(access.router).with(faults.middleware);
  addService(router, definitions.router, createRouterHandlers({ access, engine, images, sandboxes, secrets, now }));

  const admin = createAdminApp({ faults, images, sandboxes, certificate, describe: () => engine.describe() });
  const adminSide = await serveAdmin(admin.fetch, options.adminPort ?? 0);
  try {
    port = await grpc.listen(`127.0.0.1:${options.port ?? 0}`);
  } catch (cause) {
    adminSide.server.close();
    throw cause;
  }
  const sweeper = setInterval(() => {
    images.sweep().catch((cause) => log(`removing expired images failed: ${cause instanceof Error ? cause.message : cause}`));
  }, sweepEveryMs);

  async function shutDown(): Promise<void> {
    clearInterval(sweeper);
    await sandboxes.endAll();
    await builder.close();
    grpc.forceShutdown();
    await new Promise((resolve) => {
      adminSide.server.close(resolve);
      if ("closeAllConnections" in adminSide.server) adminSide.server.closeAllConnections();
    });
    await store.save();
  }
  let stopping: Promise<void> | null = null;
  return {
    url: `http://127.0.0.1:${port}`,
    adminUrl: `http://127.0.0.1:${adminSide.port}`,
    tunnelCaFile: certificate.file,
    describe: () => engine.describe(),
    stop: () => {
      stopping ??= shutDown();
      return stopping;
    },
  };
}
