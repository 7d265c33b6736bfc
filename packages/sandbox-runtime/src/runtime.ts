/** Runs one RuntimeConfig from the first dial to the exit code. The only place that knows every part of the runtime. */
import { createHash, randomUUID } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { bridgeCloseCodes, type RuntimeConfig, sandboxPaths } from "@open-inspect/protocol";
import { createBridge } from "./adapters/bridge-socket.ts";
import { createCredentialCache } from "./adapters/credential-server.ts";
import { childEnvironment } from "./adapters/environment.ts";
import { cgroupRoot } from "./adapters/resources.ts";
import { explainInternal, RuntimeFailure } from "./domain/failures.ts";
import { runBuild } from "./modes/build.ts";
import { createReporter } from "./modes/reporter.ts";
import { runSession } from "./modes/session.ts";
import { type RuntimeContext, type RuntimePaths } from "./modes/steps.ts";
import { runVerify } from "./modes/verify.ts";

/** How the program ends. Only `done` is success; `failed` has told the control plane why. */
export const exitCodes = { done: 0, failed: 1, invalidConfig: 2, bridgeLost: 3, bridgeRefused: 4 } as const;

export interface RuntimeOptions {
  /** content hash of the program that runs */
  runtimeVersion: string;
  /** where things are; anything but `sandboxPaths` is for tests */
  paths?: RuntimePaths;
  agentCommand?: string;
  agentPort?: number;
  /** anything but the kernel's own is for tests */
  cgroupDir?: string;
  log?: (line: string) => void;
}

/** The version that a bundle reports: the first 16 hex digits of its sha256. */
export function versionOf(sha256: string): string {
  return sha256.slice(0, 16);
}

export function versionOfFile(file: string): string {
  return versionOf(createHash("sha256").update(readFileSync(file)).digest("hex"));
}

const agentPort = 4096;
const drainTimeoutMs = 15_000;
const buildGiveUpMs = 5 * 60_000;
const sessionGiveUpMs = 10 * 60_000;
const finishedBuildWaitMs = 10 * 60_000;

/** Never rejects. @returns the exit code */
export async function runRuntime(config: RuntimeConfig, options: RuntimeOptions): Promise<number> {
  const paths = options.paths ?? sandboxPaths;
  const log = options.log ?? ((line) => console.log(`${new Date().toISOString()} ${line}`));
  const abort = new AbortController();
  const bridge = createBridge({
    url: config.bridgeUrl,
    token: config.bridgeToken,
    runtimeVersion: options.runtimeVersion,
    bootId: randomUUID(),
    giveUpMs: config.mode === "session" ? sessionGiveUpMs : buildGiveUpMs,
    log,
  });
  const reporter = createReporter(bridge.send, log);
  // The phase itself is the control plane's: it saw the beginning.
  void bridge.connected.then(() => log(`bridge: connected ${Math.round(performance.now())} ms after the start`));
  const credentials = createCredentialCache(() => bridge.requestCredential());
  // Asked for before git needs it: minting one takes a round trip to GitHub. A verification asks GitHub for nothing.
  if (config.mode !== "verify") credentials.get().catch(() => undefined);
  const context: RuntimeContext = {
    config,
    paths,
    bridge,
    reporter,
    env: childEnvironment(process.env, paths.home),
    credentials,
    cgroupDir: options.cgroupDir ?? cgroupRoot,
    signal: abort.signal,
    log,
  };

  /** Why the runtime is to end before its work does; the first reason wins. */
  const ending = Promise.withResolvers<number>();
  void bridge.end.then((end) => {
    if (end.kind === "closed") return;
    log(end.kind === "lost" ? "bridge: no connection for too long" : `bridge: closed for good with code ${end.code}`);
    if (end.kind === "lost") ending.resolve(exitCodes.bridgeLost);
    else ending.resolve(end.code === bridgeCloseCodes.ended ? exitCodes.done : exitCodes.bridgeRefused);
  });
  const onSignal = () => ending.resolve(exitCodes.done);
  process.once("SIGTERM", onSignal).once("SIGINT", onSignal);

  const work = async (): Promise<number> => {
    try {
      mkdirSync(paths.stateDir, { recursive: true, mode: 0o700 });
      mkdirSync(paths.home, { recursive: true });
      if (config.mode !== "session") {
        bridge.onCommand((command) => {
          if (command.type === "shutdown") ending.resolve(exitCodes.done);
        });
        if (config.mode === "build") await runBuild({ ...context, config });
        else await runVerify({ ...context, config });
        await bridge.drained(drainTimeoutMs);
        return await Promise.race([ending.promise, after(finishedBuildWaitMs, exitCodes.done)]);
      }
      await runSession(
        { ...context, config },
        {
          agentCommand: options.agentCommand ?? "opencode",
          agentPort: options.agentPort ?? agentPort,
          onShutdown: () => ending.resolve(exitCodes.done),
        },
      );
      return exitCodes.done;
    } catch (error) {
      if (abort.signal.aborted) return exitCodes.done;
      const failure = error instanceof RuntimeFailure ? error.failure : explainInternal(error, reporter.running());
      log(`failed: ${failure.code}: ${failure.message}`);
      if (!(error instanceof RuntimeFailure) && error instanceof Error) log(error.stack ?? "");
      const isOutside = error instanceof RuntimeFailure && error.isOutside;
      bridge.send({ type: "failed", failure, ...(isOutside ? { isOutside } : {}) });
      return exitCodes.failed;
    }
  };

  const working = work();
  const code = await Promise.race([working, ending.promise]);
  abort.abort();
  // What the mode started is stopped by the signal; it must be gone before this process is.
  await Promise.race([working, after(drainTimeoutMs, code)]);
  await bridge.drained(drainTimeoutMs);
  bridge.close();
  process.off("SIGTERM", onSignal).off("SIGINT", onSignal);
  return code;
}

function after<T>(delayMs: number, value: T): Promise<T> {
  return new Promise((resolve) => setTimeout(() => resolve(value), delayMs).unref());
}
