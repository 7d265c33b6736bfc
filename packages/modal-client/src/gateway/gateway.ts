/**
 * Puts the gateway together: one Modal client, the base image in the background, the HTTP routes. Knows the parts; nothing of
 * the process, its environment or its socket.
 */
import { type GatewayHealth } from "@open-inspect/protocol";
import { type Hono } from "hono";
import { type RuntimeBundle, runtimeVersionOf } from "../base-image.ts";
import { importSigningKey } from "../signing.ts";
import { type GatewayBase } from "./config.ts";
import { type GatewayDeadlines, gatewayDeadlinesMs } from "./deadlines.ts";
import { createImages } from "./images.ts";
import { type Log } from "./log.ts";
import { createProvider } from "./provider.ts";
import { createRoutes, type RouteEnv } from "./routes.ts";
import { createSandboxes } from "./sandboxes.ts";
import { createSnapshots } from "./snapshots.ts";

export interface GatewayOptions {
  secret: string;
  appName: string;
  base: GatewayBase;
  /** `host` or `host:port` that sandboxes may be told to report to */
  allowedHosts: readonly string[];
  bundle: RuntimeBundle;
  log: Log;
  /** milliseconds since the epoch */
  now?: () => number;
  /** waits that tests shorten */
  deadlinesMs?: Partial<GatewayDeadlines>;
}

export interface Gateway {
  app: Hono<RouteEnv>;
  /** Builds the base image in the background. Returns at once; `health` says when it is there. */
  warmUp(): void;
  health(): GatewayHealth;
  /** Sends those who only wait for the base image away, so that draining does not wait for them. */
  stopWaiting(): void;
  close(): void;
}

/** Server and credentials of Modal come from the environment, by the names that its SDK reads. */
export function createGateway(options: GatewayOptions): Gateway {
  const { log, appName, bundle } = options;
  const deadlinesMs: GatewayDeadlines = { ...gatewayDeadlinesMs, ...options.deadlinesMs };
  const provider = createProvider({ appName, log, deadlinesMs });
  const images = createImages({ provider, base: options.base, bundle, log, deadlinesMs });
  const sandboxes = createSandboxes({ provider, images, appName, deadlinesMs });
  const snapshots = createSnapshots({
    sandboxes,
    images,
    log,
    processId: crypto.randomUUID(),
    secret: options.secret,
    deadlinesMs,
  });
  const health = (): GatewayHealth => ({
    status: "ok",
    runtimeVersion: runtimeVersionOf(bundle),
    base: images.base(),
    sdkVersion: provider.modal.version(),
  });
  return {
    app: createRoutes({
      key: importSigningKey(options.secret),
      allowedHosts: options.allowedHosts,
      sandboxes,
      snapshots,
      images,
      health,
      log,
      now: options.now ?? Date.now,
    }),
    warmUp: images.warmUp,
    health,
    stopWaiting: images.close,
    close() {
      images.close();
      sandboxes.close();
      provider.close();
    },
  };
}
