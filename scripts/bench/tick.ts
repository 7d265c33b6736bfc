/**
 * What a tick over ten thousand repositories costs: requests to GitHub, time until all is written, memory of the Worker; and whether five
 * hundred moved heads begin within the caps and in order. The Worker runs in workerd over a database that is filled directly. GitHub
 * and gateway are small servers of this bench: the emulator keeps a real repository for each name, which ten thousand are too many for.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server } from "node:http";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { jitterMs } from "../../packages/control-plane/src/domain/build-slots.ts";
import { loadCredentials } from "../credentials.ts";
import { applyMigrations, buildDashboard, inheritedEnv, quietWrangler, wrangler } from "../prepared.ts";
import { root } from "../prerequisites.ts";
import { createProcessKeeper } from "../processes.ts";
import { cronUrl } from "../system.ts";

const repositories = 10_000;
const owners = 4;
const movedEvery = 20;
const caps = { total: 20, perOwner: 8 };
const spreadMs = 5_000;
const quietTicks = 12;
/** how long the bench's gateway takes to refuse a start, so that builds overlap */
const startMs = 50;
const limitMs = 180_000;

export async function benchTick({ dataDir, say }: { dataDir: string; say: (line: string) => void }) {
  const github = await startGitHub();
  const gateway = await startGateway();
  const keeper = createProcessKeeper(join(dataDir, "processes.json"));
  try {
    buildDashboard(say);
    applyMigrations(dataDir);
    seed(databaseFile(dataDir));
    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    writeWorkerEnv(dataDir, { url, githubUrl: github.url, gatewayUrl: gateway.url });
    const checked = watchLog();
    const worker = keeper.start({
      name: "worker",
      cwd: root,
      command: [
        ...[process.execPath, wrangler, "dev", "--config", join(root, "wrangler.toml"), "--ip", "127.0.0.1", "--port", `${port}`],
        ...["--inspector-port", "0", "--persist-to", join(dataDir, "worker"), "--env-file", join(dataDir, "worker.env")],
        ...["--show-interactive-dev-session=false", "--log-level", "log"],
      ],
      env: { ...inheritedEnv(), ...quietWrangler(dataDir) },
      log: checked.line,
    });
    await until(async () => (await fetch(`${url}/api/alive-probe`).catch(() => null)) !== null, "the Worker answers");
    const memory = watchMemory(worker.pid);

    const tick = async () => {
      github.requests = 0;
      const startedAt = performance.now();
      const done = checked.next(owners);
      const answer = await fetch(cronUrl(url), { signal: AbortSignal.timeout(limitMs) });
      if (!answer.ok) throw new Error(`the Cron Trigger answered ${answer.status}: ${await answer.text()}`);
      await done;
      return { requests: github.requests, seconds: (performance.now() - startedAt) / 1_000, rssMb: memory.read() };
    };
    const quiet: Awaited<ReturnType<typeof tick>>[] = [];
    for (let index = 0; index < quietTicks; index++) {
      quiet.push(await tick());
      say(`nothing moved: ${JSON.stringify(quiet.at(-1))}`);
    }

    const chosen = Array.from({ length: repositories / movedEvery }, (_, index) => index * movedEvery + (index % owners));
    await switchOn(url, chosen);
    await until(async () => gateway.ended >= chosen.length, "the first builds have ended");
    gateway.forget();
    for (const index of chosen) github.moved.add(nameOf(index));
    const moving = await tick();
    say(`${github.moved.size} moved: ${JSON.stringify(moving)}`);
    await until(async () => gateway.ended >= github.moved.size, "every build has been started");
    const peakMb = memory.stop();
    await keeper.stopAll(10_000);

    const rows = readResults(databaseFile(dataDir));
    if (rows.unchanged < repositories) throw new Error(`${rows.unchanged} rows say unchanged, not ${repositories}`);
    return {
      repositories,
      requests: Math.max(...quiet.map((one) => one.requests)),
      seconds: round(Math.max(...quiet.map((one) => one.seconds))),
      rssMb: quiet.map((one) => Math.round(one.rssMb)),
      /** over the second half of the ticks */
      rssGrowthMb: Math.round((quiet.at(-1)?.rssMb ?? 0) - (quiet[quietTicks / 2]?.rssMb ?? 0)),
      rssPeakMb: Math.round(peakMb),
      moved: github.moved.size,
      movedRequests: moving.requests,
      movedSeconds: round(moving.seconds),
      started: new Set(gateway.starts.map((one) => one.scope)).size,
      caps,
      atOnceMax: gateway.atOnceMax,
      perOwnerMax: gateway.perOwnerMax,
      /** the most by which a build of an owner was due before one that had begun already */
      outOfOrderMs: outOfOrderMs(gateway.starts, rows.requestedAt),
      spreadMs,
    };
  } finally {
    await keeper.stopAll(10_000);
    github.server.closeAllConnections();
    gateway.server.closeAllConnections();
    github.server.close();
    gateway.server.close();
  }
}

const round = (value: number) => Math.round(value * 100) / 100;
const ownerOf = (index: number) => `org-${index % owners}`;
const nameOf = (index: number) => `r${String(index).padStart(5, "0")}`;
const sha = (digit: string) => digit.repeat(40);

/** Every repository switched on, with an image of commit a. */
function seed(file: string) {
  const db = new DatabaseSync(file);
  const now = Date.now();
  const repository = db.prepare(
    `INSERT INTO repositories (scope, owner, name, default_branch, private, clone_url, installation_id, archived, synced_at, github_id)
     VALUES (?, ?, ?, 'main', 0, ?, ?, 0, ?, ?)`,
  );
  const scopeRow = db.prepare("INSERT INTO image_scopes (scope, enabled, active_image_id) VALUES (?, 1, ?)");
  const image = db.prepare(
    `INSERT INTO images (id, scope, build_id, build_order, provider_image_id, sha, branch, created_at, expires_at, build_ms, runtime_version, bridge_protocol)
     VALUES (?, ?, ?, 1, ?, ?, 'main', ?, ?, 1000, 'bench', 1)`,
  );
  db.exec("BEGIN");
  for (let index = 0; index < repositories; index++) {
    const [owner, name] = [ownerOf(index), nameOf(index)];
    const scope = `repo:${owner}/${name}`;
    repository.run(scope, owner, name, `http://127.0.0.1/${owner}/${name}.git`, 1 + (index % owners), now, 1 + index);
    scopeRow.run(scope, `image-${name}`);
    image.run(`image-${name}`, scope, `build-${name}`, `im-${name}`, sha("a"), now, now + 20 * 86_400_000);
  }
  db.exec("COMMIT");
  db.close();
}

/** Objects know nothing of what was seeded: those whose head is to move learn it through their switch, and fail a first build. */
async function switchOn(url: string, indices: readonly number[]): Promise<void> {
  const queue = indices.values();
  const worker = async () => {
    for (const index of queue) {
      const path = `${url}/api/repositories/${ownerOf(index)}/${nameOf(index)}/image`;
      const headers = { "content-type": "application/json" };
      const answer = await fetch(path, { method: "PUT", headers, body: JSON.stringify({ enabled: true }) });
      if (!answer.ok) throw new Error(`${path} answered ${answer.status}: ${await answer.text()}`);
      await answer.body?.cancel();
    }
  };
  await Promise.all(Array.from({ length: 8 }, worker));
}

function readResults(file: string): { unchanged: number; requestedAt: Map<string, number> } {
  const db = new DatabaseSync(file);
  const row = db.prepare("SELECT count(*) AS found FROM skipped_checks WHERE reason = 'unchanged'").get();
  const builds = db.prepare("SELECT scope, max(requested_at) AS at FROM builds GROUP BY scope").all();
  db.close();
  return {
    unchanged: Number(row?.found),
    requestedAt: new Map(builds.map(({ scope, at }) => [String(scope), Number(at)])),
  };
}

function outOfOrderMs(starts: readonly { scope: string }[], requestedAt: ReadonlyMap<string, number>): number {
  const latest = new Map<string, number>();
  let worst = 0;
  for (const { scope } of starts) {
    const owner = scope.split("/")[0] ?? "";
    const dueAt = (requestedAt.get(scope) ?? Number.NaN) + jitterMs(scope, spreadMs);
    worst = Math.max(worst, (latest.get(owner) ?? 0) - dueAt);
    latest.set(owner, Math.max(latest.get(owner) ?? 0, dueAt));
  }
  return worst;
}

function databaseFile(dataDir: string): string {
  const folder = join(dataDir, "worker", "v3", "d1", "miniflare-D1DatabaseObject");
  const file = readdirSync(folder).find((name) => /^[0-9a-f]{64}\.sqlite$/.test(name));
  if (file === undefined) throw new Error(`${folder} has no database`);
  return join(folder, file);
}

function writeWorkerEnv(dataDir: string, { url, githubUrl, gatewayUrl }: { url: string; githubUrl: string; gatewayUrl: string }) {
  const credentials = loadCredentials(dataDir);
  const vars: Record<string, string> = {
    CONTROL_PLANE_URL: url,
    GATEWAY_URL: gatewayUrl,
    GITHUB_API_URL: githubUrl,
    GITHUB_APP_ID: `${credentials.githubAppId}`,
    GITHUB_APP_PRIVATE_KEY: credentials.githubAppPrivateKey,
    GITHUB_WEBHOOK_SECRET: credentials.githubWebhookSecret,
    MODAL_API_SECRET: credentials.modalApiSecret,
    MODEL_BASE_URL: "http://127.0.0.1:9",
    MODEL_API_KEY: credentials.modelApiKey,
    DEVELOPER_IDENTITY: "bench",
    BUILDS_AT_ONCE: `${caps.total}`,
    BUILDS_AT_ONCE_PER_OWNER: `${caps.perOwner}`,
    TICK_JITTER_MS: `${spreadMs}`,
  };
  const lines = Object.entries(vars).map(([name, value]) => `${name}="${value.replaceAll("\n", "\\n")}"`);
  writeFileSync(join(dataDir, "worker.env"), `${lines.join("\n")}\n`, { mode: 0o600 });
}

/** Counts the lines with which the scheduler says that an installation is done. */
function watchLog() {
  let seen = 0;
  let waiting: { at: number; resolve: () => void } | null = null;
  return {
    line(line: string) {
      if (!line.includes('"installation.checked"')) return;
      seen += 1;
      if (waiting && seen >= waiting.at) waiting.resolve();
    },
    next(count: number): Promise<void> {
      return new Promise((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error("the tick did not end")), limitMs);
        waiting = { at: seen + count, resolve: () => resolve(clearTimeout(timer)) };
      });
    },
  };
}

/** Resident memory of the workerd processes in the group of `leader`, in MB. */
function watchMemory(leader: number) {
  const read = () => {
    let kilobytes = 0;
    for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
        const [, , group] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
        if (Number(group) !== leader || !stat.includes("(workerd")) continue;
        kilobytes += Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0);
      } catch {
        // It ended between the listing and the reading.
      }
    }
    return kilobytes / 1_024;
  };
  let peak = 0;
  const timer = setInterval(() => {
    peak = Math.max(peak, read());
  }, 250);
  return {
    read,
    stop() {
      clearInterval(timer);
      return peak;
    },
  };
}

async function startGitHub() {
  const moved = new Set<string>();
  const state = { requests: 0, moved, url: "", server: createServer() };
  state.server = createServer(async (request, response) => {
    state.requests += 1;
    const { pathname } = new URL(request.url ?? "/", "http://x");
    const answer = (status: number, body: unknown) => {
      const resetAt = Math.ceil(Date.now() / 1_000) + 3_600;
      response.writeHead(status, {
        "content-type": "application/json",
        "x-ratelimit-limit": "5000",
        "x-ratelimit-remaining": "4900",
        "x-ratelimit-reset": `${resetAt}`,
      });
      response.end(JSON.stringify(body));
    };
    const body = await text(request);
    if (pathname.endsWith("/access_tokens")) {
      answer(201, { token: "ghs_bench", expires_at: new Date(Date.now() + 3_600_000).toISOString() });
    } else if (pathname === "/graphql") {
      const { variables } = JSON.parse(body) as { variables: Record<string, string> };
      const data: Record<string, unknown> = {};
      for (let index = 0; `o${index}` in variables; index++) {
        const name = variables[`n${index}`] ?? "";
        const oid = moved.has(name) ? sha("b") : sha("a");
        const owner = { login: variables[`o${index}`] };
        data[`r${index}`] = { name, owner, isArchived: false, defaultBranchRef: { name: "main", target: { oid } } };
      }
      answer(200, { data });
    } else answer(404, { message: "Not Found" });
  });
  state.url = await listen(state.server);
  return state;
}

/** Accepts every create and refuses every start for good, so that each build begins, holds its slot a while and ends. */
async function startGateway() {
  const state = {
    starts: [] as { scope: string }[],
    ...{ ended: 0, atOnceMax: 0, perOwnerMax: 0, url: "", server: createServer() },
    forget() {
      Object.assign(state, { starts: [], ended: 0, atOnceMax: 0, perOwnerMax: 0 });
    },
  };
  const scopes = new Map<string, string>();
  const running = new Map<string, string>();
  state.server = createServer(async (request, response) => {
    const answer = (status: number, body: unknown) => {
      response.writeHead(status, { "content-type": "application/json" });
      response.end(JSON.stringify(body));
    };
    const { pathname } = new URL(request.url ?? "/", "http://x");
    const [, , kind, id = "", action] = pathname.split("/");
    const body = await text(request);
    if (kind === "health") {
      const base = { name: "bench", ready: true, providerImageId: null };
      return answer(200, { status: "ok", runtimeVersion: "bench", base, sdkVersion: "0" });
    }
    if (request.method === "PUT") {
      const { tags } = JSON.parse(body) as { tags: Record<string, string> };
      const scope = tags.scope ?? "";
      if (!scopes.has(id)) state.starts.push({ scope });
      scopes.set(id, scope);
      running.set(id, scope.split("/")[0] ?? "");
      state.atOnceMax = Math.max(state.atOnceMax, running.size);
      for (const owner of running.values()) {
        const many = [...running.values()].filter((one) => one === owner).length;
        state.perOwnerMax = Math.max(state.perOwnerMax, many);
      }
      return answer(200, { sandboxId: id, created: true, durationMs: 1 });
    }
    if (action === "start") {
      await new Promise((resolve) => setTimeout(resolve, startMs));
      if (running.delete(id)) state.ended += 1;
      return answer(422, { error: { kind: "permanent", code: "bench", message: "The bench builds nothing.", hint: "None." } });
    }
    if (kind === "sandboxes" && id === "") return answer(200, { sandboxes: [] });
    return answer(200, action === undefined ? { status: "running" } : { text: "", nextOffset: 0 });
  });
  state.url = await listen(state.server);
  return state;
}

async function text(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts).toString("utf8");
}

function listen(server: Server): Promise<string> {
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(`http://127.0.0.1:${portOf(server)}`)));
}

const portOf = (server: Server): number => {
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
};

async function freePort(): Promise<number> {
  const server = createServer();
  await listen(server);
  const port = portOf(server);
  await new Promise((closed) => server.close(closed));
  return port;
}

async function until(ask: () => Promise<boolean>, what: string): Promise<void> {
  const deadline = Date.now() + limitMs;
  while (!(await ask())) {
    if (Date.now() > deadline) throw new Error(`never came true: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
