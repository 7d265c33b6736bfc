/** The gateway as a process: reads its settings, listens, says where, and goes when it is told to. */
import { buildRuntimeBundle } from "@open-inspect/sandbox-runtime/bundle";
import { readGatewayConfig } from "./config.ts";
import { createGateway } from "./gateway.ts";
import { createLog } from "./log.ts";
import { listen } from "./server.ts";

const log = createLog((line) => process.stderr.write(`${line}\n`));

try {
  const config = readGatewayConfig(process.env);
  const gateway = createGateway({ ...config, bundle: await buildRuntimeBundle(), log });
  const server = await listen(gateway.app, config.host, config.port);
  gateway.warmUp();
  let stopping = false;
  const stop = async (signal: string) => {
    if (stopping) return;
    stopping = true;
    log.info("stopping", { signal });
    gateway.stopWaiting();
    await server.drain();
    gateway.close();
    process.exit(0);
  };
  process.on("SIGTERM", () => void stop("SIGTERM"));
  process.on("SIGINT", () => void stop("SIGINT"));
  process.stdout.write(`${JSON.stringify({ gateway: server.url })}\n`);
} catch (error) {
  log.warn("start_failed", { message: error instanceof Error ? error.message : "unknown cause" });
  process.exit(1);
}
