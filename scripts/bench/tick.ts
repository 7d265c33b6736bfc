/**
 * What a tick over ten thousand repositories costs: requests to GitHub, time until all is written, memory of the Worker; and whether five
 * hundred moved heads begin within the caps and in order. The Worker runs in workerd over a database that is filled directly. GitHub
 * and gateway are small servers of this bench: the emulator keeps a real repository for each name, which ten thousand are too many for.
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { loadCredentials } from "../credentials.ts";
import { buildDashboard } from "../prepared.ts";
import { root } from "../prerequisites.ts";
import { createProcessKeeper } from "../processes.ts";
import { cronUrl } from "../system.ts";
import { bundleWorker } from "../worker-bundle.ts";
import { prepareWorker, workerCommand } from "../worker-process.ts";
import { readSlotEvent, replaySlots, type SlotEvent } from "./slot-order.ts";
import { freePort, startGateway, startGitHub } from "./tick-world.ts";
import { watchMemory } from "./worker-memory.ts";
import { workerVars } from "./worker-vars.ts";

const repositories = 10_000;
const owners = 4;
const movedEvery = 20;
const caps = { total: 20, perOwner: 8 };
const spreadMs = 5_000;
const quietTicks = 12;
/**
 * V8 leaves objects whose script part is small to a full collection that it puts off for minutes, and with them all that they hold outside of
 * its heap: an answer of the local database, of GitHub, of the queue. With this each collection is a full one, and what is left is what is kept.
 */
const collectAll = { MINIFLARE_WORKERD_V8_FLAGS: "--gc-global" };
const warmupTicks = 25;
const measuredTicks = 30;
const startMs = 50;
const limitMs = 180_000;

export async function benchTick({ dataDir, say }: { dataDir: string; say: (line: string) => void }) {
  const github = await startGitHub();
  const gateway = await startGateway({ startMs });
  const keeper = createProcessKeeper(join(dataDir, "processes.json"));
  const log = watchLog();
  try {
    buildDashboard(say);
    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    const vars = {
      ...workerVars(loadCredentials(dataDir), { url, githubUrl: github.url, gatewayUrl: gateway.url }),
      BUILDS_AT_ONCE: `${caps.total}`,
      BUILDS_AT_ONCE_PER_OWNER: `${caps.perOwner}`,
      TICK_JITTER_MS: `${spreadMs}`,
    };
    prepareWorker(dataDir, { bundle: await bundleWorker(), port, vars });
    seed(databaseFile(dataDir));
    const worker = workerCommand(dataDir);

    const startWorker = async (env: Record<string, string>) => {
      const part = keeper.start({
        name: "worker",
        cwd: root,
        command: worker.command,
        env: { ...worker.env, ...env },
        log: log.line,
      });
      await until(async () => (await fetch(`${url}/api/alive-probe`).catch(() => null)) !== null, "the Worker answers");
      return { part, memory: watchMemory(part.pid) };
    };
    const tick = async (memory: { read(): number }) => {
      github.requests = 0;
      const startedAt = performance.now();
      const done = log.checked(owners);
      const answer = await fetch(cronUrl(url), { signal: AbortSignal.timeout(limitMs) });
      if (!answer.ok) throw new Error(`the Cron Trigger answered ${answer.status}: ${await answer.text()}`);
      await done;
      return { requests: github.requests, seconds: (performance.now() - startedAt) / 1_000, rssMb: memory.read() };
    };

    const eager = await startWorker(collectAll);
    const held: number[] = [];
    for (let index = 0; index < warmupTicks + measuredTicks; index++) held.push((await tick(eager.memory)).rssMb);
    say(`memory, collected at once: ${JSON.stringify(held.map(Math.round))}`);
    eager.memory.stop();
    await eager.part.stop(10_000);

    const { memory } = await startWorker({});
    const quiet: Awaited<ReturnType<typeof tick>>[] = [];
    for (let index = 0; index < quietTicks; index++) {
      quiet.push(await tick(memory));
      say(`nothing moved: ${JSON.stringify(quiet.at(-1))}`);
    }
    const chosen = Array.from({ length: repositories / movedEvery }, (_, index) => index * movedEvery + (index % owners));
    await switchOn(url, chosen);
    await until(async () => gateway.ended >= chosen.length, "the first builds have ended");
    gateway.forget();
    for (const index of chosen) github.moved.add(nameOf(index));
    const moving = await tick(memory);
    say(`${github.moved.size} moved: ${JSON.stringify(moving)}`);
    await until(async () => gateway.ended >= github.moved.size, "every build has been started");
    const peakMb = memory.stop();
    await keeper.stopAll(10_000);

    const unchanged = countUnchanged(databaseFile(dataDir));
    if (unchanged < repositories) throw new Error(`${unchanged} rows say unchanged, not ${repositories}`);
    const grantedAt = new Map(log.slots.flatMap((one) => (one.event === "slot.granted" ? [[one.buildId, one.at]] : [])));
    const startedAfterMs = gateway.starts.map((one) => one.at - (grantedAt.get(one.buildId) ?? Number.NaN)).sort((a, b) => a - b);
    const { granted, outOfOrder } = replaySlots(log.slots, caps);
    return {
      repositories,
      requests: Math.max(...quiet.map((one) => one.requests)),
      seconds: round(Math.max(...quiet.map((one) => one.seconds))),
      ...growthOf(held),
      /** what the collector leaves for later: it puts a full collection off while the machine has memory */
      rssPutOffMb: quiet.map((one) => Math.round(one.rssMb)),
      rssPeakMb: Math.round(peakMb),
      moved: github.moved.size,
      movedRequests: moving.requests,
      movedSeconds: round(moving.seconds),
      started: new Set(gateway.starts.map((one) => one.scope)).size,
      caps,
      atOnceMax: gateway.atOnceMax,
      perOwnerMax: gateway.perOwnerMax,
      /** slots, those of the first builds included, and how many went to a build while another was to go first */
      granted,
      outOfOrder,
      /** from the slot to the request for a sandbox */
      startedAfterMs: { median: startedAfterMs[startedAfterMs.length >> 1], max: startedAfterMs.at(-1) },
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

/** Growth is that of the lowest memory: what a tick under way holds is not kept. */
function growthOf(rssMb: readonly number[]) {
  const lowest = (from: number, to: number) => Math.min(...rssMb.slice(from, to));
  const ends = rssMb.length;
  const [rssAfterWarmupMb, rssEndMb] = [lowest(warmupTicks - 5, warmupTicks), lowest(ends - 5, ends)];
  return {
    rssAfterWarmupMb: Math.round(rssAfterWarmupMb),
    rssEndMb: Math.round(rssEndMb),
    rssGrowthMbPer10Ticks: round(((rssEndMb - rssAfterWarmupMb) / measuredTicks) * 10),
  };
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

function countUnchanged(file: string): number {
  const db = new DatabaseSync(file);
  const row = db.prepare("SELECT count(*) AS found FROM skipped_checks WHERE reason = 'unchanged'").get();
  db.close();
  return Number(row?.found);
}

function databaseFile(dataDir: string): string {
  const folder = join(dataDir, "worker", "v3", "d1", "miniflare-D1DatabaseObject");
  const file = readdirSync(folder).find((name) => /^[0-9a-f]{64}\.sqlite$/.test(name));
  if (file === undefined) throw new Error(`${folder} has no database`);
  return join(folder, file);
}

/** Counts the lines with which the scheduler says that an installation is done, and keeps those that tell of slots. */
function watchLog() {
  const slots: SlotEvent[] = [];
  let seen = 0;
  let waiting: { at: number; resolve: () => void } | null = null;
  return {
    slots,
    line(line: string) {
      const slot = readSlotEvent(line);
      if (slot) slots.push(slot);
      if (!line.includes('"installation.checked"')) return;
      seen += 1;
      if (waiting && seen >= waiting.at) waiting.resolve();
    },
    checked(count: number): Promise<void> {
      return new Promise((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error("the tick did not end")), limitMs);
        waiting = { at: seen + count, resolve: () => resolve(clearTimeout(timer)) };
      });
    },
  };
}

async function until(ask: () => Promise<boolean>, what: string): Promise<void> {
  const deadline = Date.now() + limitMs;
  while (!(await ask())) {
    if (Date.now() > deadline) throw new Error(`never came true: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
