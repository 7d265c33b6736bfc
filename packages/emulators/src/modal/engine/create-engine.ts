/** Finds the engine that works on this machine by starting a guest with each, best first. Knows no engine from inside. */
import { setTimeout as delay } from "node:timers/promises";
import { createDirectoryEngine } from "./directory-engine.ts";
import { EngineError, type EngineOptions, type SandboxEngine } from "./engine.ts";
import { type LauncherKind } from "./guest-launch.ts";
import { createNamespaceEngine } from "./namespace-engine.ts";
import { candidateMappings } from "./user-mapping.ts";

export interface CreateEngineOptions extends EngineOptions {
  log?: (line: string) => void;
  /** only this launcher is tried */
  launcher?: LauncherKind;
  /** only this engine is tried; without it the directory engine is the last resort */
  engine?: "namespaces" | "directory";
  /** chains longer than this are merged into one layer */
  maxLayers?: number;
  /** addresses that are not public and that egress may reach all the same, as CIDR blocks; a mirror in a company's network */
  privateEgressCidrs?: string[];
}

/** The kernel's limit is 500, and every layer makes each lookup a little slower. */
const MAX_LAYERS = 64;
const PROBE_TIMEOUT_MS = 20_000;

/** Rejects with EngineError when the wanted engine does not work here, with what each attempt answered. */
export async function createEngine(options: CreateEngineOptions): Promise<SandboxEngine> {
  const log = options.log ?? (() => {});
  if (options.engine === "directory") return createDirectoryEngine({ ...options, log });
  const failures: string[] = [];
  const launchers: LauncherKind[] = options.launcher === undefined ? ["bwrap", "unshare"] : [options.launcher];
  for (const mapping of candidateMappings()) {
    for (const launcher of launchers) {
      for (const proc of ["own", "bind"] as const) {
        let engine: SandboxEngine | null = null;
        try {
          engine = await createNamespaceEngine({
            ...options,
            log,
            mapping,
            launcher,
            proc,
            maxLayers: options.maxLayers ?? MAX_LAYERS,
            privateEgressCidrs: options.privateEgressCidrs ?? [],
          });
          await probe(engine);
          log(`sandboxes: ${engine.describe().detail}`);
          return engine;
        } catch (error) {
          await engine?.close();
          if (error instanceof EngineError && error.kind === "invalid") throw error;
          if (error instanceof EngineError && error.message.includes("is in use by process")) throw error;
          log(
            `sandboxes: ${mapping.kind}/${launcher}/${proc} does not work: ${error instanceof Error ? error.message : String(error)}`,
          );
          failures.push(`${mapping.kind}/${launcher}/${proc}: ${error instanceof Error ? error.message : String(error)}`);
        }
      }
    }
  }
  if (options.engine === "namespaces")
    throw new EngineError("failed", `No confined sandbox can be started here. ${failures.join(" | ")}`);
  log(`sandboxes are NOT isolated on this machine: ${failures.join(" | ") || "no namespaces on this system"}`);
  return createDirectoryEngine({ ...options, log });
}

async function probe(engine: SandboxEngine): Promise<void> {
  const filesystem = await engine.filesystemFromTag("local/host-toolchain");
  const guest = await engine.createGuest({
    id: `probe-${process.pid}`,
    filesystem,
    env: {},
    workdir: null,
    cpu: null,
    memoryMiB: null,
    network: { blockNetwork: true, outboundDomainAllowlist: [], outboundCidrAllowlist: [] },
  });
  try {
    const started = await guest.exec({ argv: ["true"], env: {}, workdir: "/", timeoutMs: PROBE_TIMEOUT_MS, pty: false });
    const code = await Promise.race([started.exit, delay(PROBE_TIMEOUT_MS, -1, { ref: false })]);
    if (code !== 0) throw new EngineError("failed", `A program in the first guest ended with ${code}.`);
  } finally {
    await guest.kill();
  }
}
