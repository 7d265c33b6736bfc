/** `npm start`: the whole system on loopback, until Ctrl-C. `--repo PATH` (repeatable), `--port N`, `--data DIR`, `--reset`, `--base local|debian`, `--no-webhooks`. */
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { onInterruption } from "./interruption.ts";
import { migrationsPending } from "./prepared.ts";
import { root } from "./prerequisites.ts";
import { cronUrl, startSystem } from "./system.ts";
import { watchWorkerSources } from "./worker-bundle.ts";
import { watchWorker } from "./worker-watch.ts";

const usage = "npm start -- [--repo PATH]… [--port N] [--data DIR] [--reset] [--base local|debian] [--no-webhooks]";

function readOptions() {
  try {
    const { values } = parseArgs({
      options: {
        repo: { type: "string", multiple: true, default: [] },
        port: { type: "string", default: "8787" },
        data: { type: "string", default: join(root, ".data") },
        base: { type: "string", default: "local" },
        reset: { type: "boolean", default: false },
        "no-webhooks": { type: "boolean", default: false },
      },
    });
    const port = Number(values.port);
    if (!Number.isInteger(port) || port < 0 || port > 65_000) throw new Error(`--port ${values.port} is no port`);
    if (values.base !== "local" && values.base !== "debian") throw new Error(`--base ${values.base} is neither local nor debian`);
    for (const path of values.repo) {
      const folder = resolve(path);
      if (!existsSync(join(folder, ".git")) && !existsSync(join(folder, "HEAD")))
        throw new Error(`--repo ${path} is no git repository`);
    }
    const base: "local" | "debian" = values.base;
    return { ...values, base, port, dataDir: resolve(values.data) };
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\nUsage: ${usage}`);
    process.exit(2);
  }
}

const options = readOptions();
await refuseSecondStart(options.dataDir);
if (options.reset) reset(options.dataDir);
mkdirSync(options.dataDir, { recursive: true });
const logFile = join(options.dataDir, "system.log");
writeFileSync(logFile, "");

const abort = new AbortController();
onInterruption(() => abort.abort());
const aborted = new Promise<"aborted">((done) => abort.signal.addEventListener("abort", () => done("aborted")));

console.log("Starting Open-Inspect …");
try {
  const system = await startSystem({
    dataDir: options.dataDir,
    port: options.port,
    repos: options.repo,
    base: options.base,
    webhooks: !options["no-webhooks"],
    log: (line, part) => {
      if (part === null) console.log(line);
      else appendFileSync(logFile, `${part}: ${line}\n`);
    },
  });
  const running = join(options.dataDir, "system.json");
  writeFileSync(running, JSON.stringify({ url: system.url, pid: process.pid }));
  const stopCron = startCron(system.url);
  const stopWatch = watchWorker({
    url: system.url,
    migrationsPending: () => migrationsPending(options.dataDir),
    sourcesChanged: watchWorkerSources(),
    restart: () => system.restart("worker"),
    log: (line) => appendFileSync(logFile, `start: ${line}\n`),
  });
  const { person } = system.credentials;
  const gitHost = new URL(system.githubUrl).host;
  console.log(`
Open-Inspect is running:   ${system.url}

Try this
  1. Open ${system.url}/settings/images and switch a repository on. Its first image is built at once.
  2. Start a session: ${system.url}/sessions/new
  3. Push a commit:
       git clone http://${person.login}:${person.token}@${gitHost}/acme/notes-api.git
     and compare heads now instead of in half an hour: npm run tick

Sandboxes: isolation ${system.isolation}${options.base === "debian" ? "\nBase: Debian. When it is built for the first time, which takes minutes, sessions and builds wait for it." : ""}
Log: ${logFile}
Stop with Ctrl-C. The data stays in ${options.dataDir}.`);
  const outcome = await Promise.race([aborted, system.failed]);
  stopCron();
  stopWatch();
  rmSync(running, { force: true });
  if (outcome !== "aborted") console.error(`\nThe ${outcome} ended unexpectedly; its last words are in ${logFile}.`);
  console.log("\nStopping …");
  await system.stop();
  process.exit(outcome === "aborted" ? 0 : 1);
} catch (error) {
  if (!abort.signal.aborted) console.error(error instanceof Error ? error.message : error);
  process.exit(abort.signal.aborted ? 0 : 1);
}

/** Two systems on one data folder would ruin it. */
async function refuseSecondStart(folder: string) {
  const running = join(folder, "system.json");
  if (!existsSync(running)) return;
  const { url }: { url: string } = JSON.parse(readFileSync(running, "utf8"));
  const answer = await fetch(`${url}/api/health`, { signal: AbortSignal.timeout(2_000) }).catch(() => null);
  if (answer === null) return;
  console.error(
    `Open-Inspect is running on this data folder already: ${url}\nStop it first, or choose another folder with --data.`,
  );
  process.exit(2);
}

/** Removes a data folder, but never one that is somebody else's. */
function reset(folder: string) {
  if (!existsSync(folder)) return;
  const ours = readdirSync(folder).length === 0 || existsSync(join(folder, "credentials.json"));
  if (!ours) {
    console.error(`--reset would delete ${folder}, which is no data folder of Open-Inspect. Name another one with --data.`);
    process.exit(2);
  }
  console.log(`Deleting ${folder} …`);
  rmSync(folder, { recursive: true, force: true });
}

/** Cloudflare fires the Cron Trigger in production; the local runtime never does by itself. */
function startCron(url: string): () => void {
  const everyMs = 30 * 60_000;
  let timer: NodeJS.Timeout;
  const arm = () => {
    timer = setTimeout(
      async () => {
        await fetch(cronUrl(url), { signal: AbortSignal.timeout(30_000) }).catch((error) =>
          appendFileSync(logFile, `cron: ${error}\n`),
        );
        arm();
      },
      everyMs - (Date.now() % everyMs),
    );
  };
  arm();
  return () => clearTimeout(timer);
}
