/**
 * Starts the whole system on loopback for `npm start`, the demo, the bench and the end-to-end tests: emulators, gateway,
 * Worker. Only base URLs and secrets differ from production.
 */
import { randomInt } from "node:crypto";
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { type Credentials, loadCredentials } from "./credentials.ts";
import { applyMigrations, buildDashboard, dashboard, inheritedEnv } from "./prepared.ts";
import { checkNode, ensurePrograms, root } from "./prerequisites.ts";
import { createProcessKeeper, type RunningProcess } from "./processes.ts";
import { type SandboxIngress, startSandboxIngress } from "./sandbox-ingress.ts";
import { bundleWorker, type WorkerSettings } from "./worker-bundle.ts";

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

  const [worker = 0, github = 0, modal = 0, model = 0, gateway = 0, ingressPort = 0] = await choosePorts(dataDir, options.port);
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
    worker: {
      command: [node, join(root, "scripts/worker.ts"), join(dataDir, "worker.json")],
      env: { ...baseEnv, TMPDIR: join(dataDir, "worker-tmp") },
    },
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
      const folders = { persistTo: join(dataDir, "worker"), dashboard: join(dataDir, "dashboard") };
      writeWorkerSettings(dataDir, { bundle, port: worker, vars: workerVars, ...folders });
      rmSync(folders.dashboard, { recursive: true, force: true });
      cpSync(dashboard, folders.dashboard, { recursive: true });
      applyMigrations(dataDir);
      const part = launch("worker");
      await part.readyLine((line) => (line.startsWith('{"worker"') ? line : null), readyDeadlineMs);
      await untilAnswering(`${at(worker)}/api/health`, part);
    },
  };

  let ingress: SandboxIngress | undefined;
  const stopAll = async () => {
    for (const name of ["emulators", "gateway", "worker"] as const) stopping.add(name);
    await keeper.stopAll(stopGraceMs);
    await ingress?.close();
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

/** And an empty folder for the Worker's temporary files, which a killed one leaves. */
function writeWorkerSettings(dataDir: string, settings: WorkerSettings) {
  const file = join(dataDir, "worker.json");
  rmSync(file, { force: true });
  writeFileSync(file, JSON.stringify(settings), { mode: 0o600 });
  rmSync(join(dataDir, "worker-tmp"), { recursive: true, force: true });
  mkdirSync(join(dataDir, "worker-tmp"));
}

/** Yesterday's ports when they are free, else the preferred ones, else any. */
async function choosePorts(dataDir: string, preferred: number): Promise<number[]> {
  const file = join(dataDir, "ports.json");
  const wanted = Array.from({ length: 6 }, (_, index) => (preferred === 0 ? 0 : preferred + index));
  let remembered = wanted;
  try {
    const ports: number[] = JSON.parse(readFileSync(file, "utf8"));
    if (ports.length === wanted.length) remembered = ports;
  } catch {
    // First start in this folder.
  }
  const candidates = preferred === 0 || remembered[0] === preferred ? remembered : wanted;
  // All are held until the last is chosen: none is given out twice.
  const held: Server[] = [];
  for (const candidate of candidates) held.push((await listen(candidate)) ?? (await listenAnywhere()));
  const ports = held.map(portOf);
  for (const server of held) await new Promise((closed) => server.close(closed));
  if (preferred !== 0 && ports[0] !== preferred) {
    throw new Error(`Port ${preferred} is in use. Stop what listens there, or choose another: npm start -- --port 8800`);
  }
  writeFileSync(file, JSON.stringify(ports));
  return ports;
}

const portOf = (server: Server) => {
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
};

/** Below the ports that the system gives to connections: one of those could be taken again before the part listens. */
const portRange = { first: 15_000, count: 15_000 };

async function listenAnywhere(): Promise<Server> {
  for (let tries = 0; tries < 100; tries++) {
    const server = await listen(portRange.first + randomInt(portRange.count));
    if (server !== null) return server;
  }
  throw new Error(`No free port between ${portRange.first} and ${portRange.first + portRange.count} was found.`);
}

/** Holds a port; null when somebody else does, or for 0, which names none. */
function listen(port: number): Promise<Server | null> {
  if (port === 0) return Promise.resolve(null);
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(null));
    server.listen(port, "127.0.0.1", () => resolve(server));
  });
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
