/**
 * Starts the whole system on loopback for `npm start`, the demo, the bench and the end-to-end tests: emulators, gateway,
 * Worker. Only base URLs and secrets differ from production.
 */
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Credentials, loadCredentials } from "./credentials.ts";
import { choosePorts } from "./ports.ts";
import { buildDashboard, inheritedEnv } from "./prepared.ts";
import { checkNode, ensurePrograms, root } from "./prerequisites.ts";
import { createProcessKeeper, type RunningProcess } from "./processes.ts";
import { type SandboxIngress, startSandboxIngress } from "./sandbox-ingress.ts";
import { bundleWorker } from "./worker-bundle.ts";
import { isWorkerReady, prepareWorker, workerCommand } from "./worker-process.ts";

export interface SystemOptions {
  dataDir: string;
  /** preferred port of the Worker; the other parts take the next ones; 0 = any free ones */
  port: number;
  /** local git repositories to add beside the samples */
  repos?: string[];
  /** push webhooks from the emulated GitHub to the Worker */
  webhooks: boolean;
  /** what sandboxes without an image run on: the host's toolchain seen read-only, or a real Debian root */
  base?: "local" | "debian";
  /** the only engine that sandboxes may run on; else the best that works on this machine */
  engine?: "namespaces" | "directory";
  /** settings of the Worker that differ from wrangler.toml */
  vars?: Record<string, string>;
  /** one line of progress or of a part's log; `part` is null for our own */
  log: (line: string, part: string | null) => void;
}

export interface System {
  url: string;
  githubUrl: string;
  modalUrl: string;
  modalAdminUrl: string;
  modelUrl: string;
  gatewayUrl: string;
  /** what sandboxes see of the Worker */
  ingressUrl: string;
  isolation: string;
  credentials: Credentials;
  /** a part by name, for tests that kill one */
  part(name: PartName): RunningProcess;
  /** Starts a part again after it ended, at the same address. */
  restart(name: PartName): Promise<void>;
  /** Fires the Cron Trigger now. */
  tick(): Promise<void>;
  stop(): Promise<void>;
  /** Resolves with the name of the first part that ends without being asked to. */
  readonly failed: Promise<PartName>;
}
export type PartName = "emulators" | "gateway" | "worker";

const readyDeadlineMs = 120_000;
const stopGraceMs = 8_000;
export const cronUrl = (url: string) => `${url}/cdn-cgi/local/scheduled?cron=${encodeURIComponent("*/30 * * * *")}`;

export async function startSystem(options: SystemOptions): Promise<System> {
  checkNode();
  const { dataDir, log } = options;
  mkdirSync(dataDir, { recursive: true });
  ensurePrograms(["git", "bwrap", "tini", "rg"], ["git", "tini"], (line) => log(line, null));
  if (options.base === "debian") ensurePrograms(["mmdebstrap"], ["mmdebstrap"], (line) => log(line, null));
  const keeper = createProcessKeeper(join(dataDir, "processes.json"));
  const credentials = loadCredentials(dataDir);
  buildDashboard((line) => log(line, null));

  const ports = await choosePorts(join(dataDir, "ports.json"), 6, options.port);
  const [worker = 0, github = 0, modal = 0, model = 0, gateway = 0, ingressPort = 0] = ports.ports;
  const at = (port: number) => `http://127.0.0.1:${port}`;
  const node = process.execPath;
  const parts = {} as Record<PartName, RunningProcess>;
  const stopping = new Set<PartName>();
  const { promise: failed, resolve: reportFailure } = Promise.withResolvers<PartName>();

  const baseEnv = inheritedEnv();
  let bundle = "";
  const commands: Record<PartName, { command: string[]; env: Record<string, string> }> = {
    emulators: {
      command: [
        node,
        join(root, "scripts/emulators.ts"),
        "--json",
        ...[
          "--data",
          dataDir,
          "--modal-port",
          `${modal}`,
          "--github-port",
          `${github}`,
          "--model-port",
          `${model}`,
          "--forward-port",
          `${ingressPort}`,
        ],
        ...(options.engine === undefined ? [] : ["--engine", options.engine]),
        ...["127.0.0.1", "localhost"].flatMap((host) => ["--callback-url", `http://${host}:${worker}/api/auth/github/callback`]),
        ...(options.webhooks ? ["--webhook-url", `${at(worker)}/api/webhooks/github`] : []),
        ...(options.repos ?? []).flatMap((path) => ["--repo", path]),
      ],
      env: baseEnv,
    },
    gateway: {
      command: [node, join(root, "packages/modal-client/src/gateway/main.ts")],
      env: {
        ...baseEnv,
        GATEWAY_PORT: `${gateway}`,
        GATEWAY_BASE: options.base === "debian" ? "debian-packages" : "registry:local/host-toolchain",
        ALLOWED_CONTROL_PLANE_HOSTS: `127.0.0.1:${ingressPort}`,
        MODAL_API_SECRET: credentials.modalApiSecret,
        MODAL_SERVER_URL: at(modal),
        MODAL_TOKEN_ID: credentials.modalTokenId,
        MODAL_TOKEN_SECRET: credentials.modalTokenSecret,
        MODAL_CONFIG_PATH: join(dataDir, "no-modal-config.toml"),
      },
    },
    worker: workerCommand(dataDir),
  };
  const realModelKey = process.env.ANTHROPIC_API_KEY ?? "";
  const workerVars: Record<string, string> = {
    // One person waits for a handful of builds.
    TICK_JITTER_MS: "0",
    CONTROL_PLANE_URL: at(ingressPort),
    DASHBOARD_URL: at(worker),
    GATEWAY_URL: at(gateway),
    GITHUB_API_URL: at(github),
    GITHUB_APP_ID: `${credentials.githubAppId}`,
    GITHUB_APP_PRIVATE_KEY: credentials.githubAppPrivateKey,
    GITHUB_WEBHOOK_SECRET: credentials.githubWebhookSecret,
    GITHUB_CLIENT_ID: credentials.githubClientId,
    GITHUB_CLIENT_SECRET: credentials.githubClientSecret,
    LOGIN_ACCOUNTS: "acme",
    MODAL_API_SECRET: credentials.modalApiSecret,
    DEVELOPER_IDENTITY: credentials.person.login,
    ...(realModelKey === ""
      ? { MODEL_BASE_URL: at(model), MODEL_API_KEY: credentials.modelApiKey }
      : { MODEL_API_KEY: realModelKey }),
    ...options.vars,
  };

  const launch = (name: PartName) => {
    const part = keeper.start({ name, cwd: root, ...commands[name], log: (line) => log(line, name) });
    parts[name] = part;
    void part.exited.then(() => {
      if (!stopping.has(name) && parts[name] === part) reportFailure(name);
    });
    return part;
  };
  const ready: Record<PartName, () => Promise<void>> = {
    emulators: async () => {
      await launch("emulators").readyLine((line) => (line.startsWith('{"modal"') ? line : null), readyDeadlineMs);
    },
    gateway: async () => {
      await launch("gateway").readyLine((line) => (line.startsWith('{"gateway"') ? line : null), readyDeadlineMs);
    },
    worker: async () => {
      prepareWorker(dataDir, { bundle, port: worker, vars: workerVars });
      const part = launch("worker");
      await part.readyLine((line) => (isWorkerReady(line) ? line : null), readyDeadlineMs);
      await untilAnswering(`${at(worker)}/api/health`, part);
    },
  };

  let ingress: SandboxIngress | undefined;
  const stopAll = async () => {
    for (const name of ["emulators", "gateway", "worker"] as const) stopping.add(name);
    await keeper.stopAll(stopGraceMs);
    await ingress?.close();
    await ports.release();
  };
  try {
    ingress = await startSandboxIngress(ingressPort, worker);
    [, bundle] = await Promise.all([ready.emulators(), bundleWorker()]);
    const emulators = JSON.parse(readFileSync(join(dataDir, "emulators.json"), "utf8"));
    if (emulators.isolation === "none" && options.base === "debian")
      throw new Error("The Debian base needs Linux namespaces, and none are to be had here. Start with --base local.");
    const notice = isolationNotice(emulators.isolation, emulators.detail);
    if (notice !== null) workerVars.INSTALLATION_NOTICE = notice;
    await Promise.all([ready.gateway(), ready.worker()]);
    return {
      url: at(worker),
      githubUrl: at(github),
      modalUrl: at(modal),
      modalAdminUrl: emulators.modalAdmin,
      modelUrl: at(model),
      gatewayUrl: at(gateway),
      ingressUrl: at(ingressPort),
      isolation: `${emulators.isolation} (${emulators.detail})`,
      credentials,
      failed,
      part: (name) => parts[name],
      async restart(name) {
        // A Worker whose new code cannot be bundled goes on as it is.
        if (name === "worker") bundle = await bundleWorker();
        stopping.add(name);
        await parts[name].stop(stopGraceMs);
        await ready[name]();
        stopping.delete(name);
      },
      async tick() {
        const answer = await fetch(cronUrl(at(worker)), { signal: AbortSignal.timeout(30_000) });
        if (!answer.ok) throw new Error(`the Cron Trigger answered ${answer.status}: ${await answer.text()}`);
      },
      stop: stopAll,
    };
  } catch (error) {
    await stopAll();
    throw error;
  }
}

/** What every page says where sandboxes are less confined than they should be; null where nothing is missing. */
export function isolationNotice(isolation: string, detail: string): string | null {
  if (isolation === "namespaces") return null;
  const what = isolation === "none" ? "are not confined" : "are confined without a filter of system calls";
  return `isolation: ${isolation}. Sandboxes on this machine ${what} (${detail}). Run only code that you trust.`;
}

async function untilAnswering(url: string, part: RunningProcess) {
  const deadline = Date.now() + readyDeadlineMs;
  let ended = false;
  void part.exited.then(() => {
    ended = true;
  });
  while (Date.now() < deadline) {
    if (ended) throw new Error(`${part.name} ended before it was ready`);
    const answer = await fetch(url, { signal: AbortSignal.timeout(5_000) }).catch(() => null);
    if (answer !== null && answer.status < 500) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`${part.name} did not answer at ${url} within ${readyDeadlineMs / 1000} s`);
}
