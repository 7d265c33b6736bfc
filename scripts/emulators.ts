/**
 * Starts the three emulators (Modal, GitHub, a scripted model) in this process and prints where they are.
 *
 * `npm run emulators -- --json [--data DIR] [--modal-port N] [--github-port N] [--model-port N] [--forward-port N]… [--webhook-url URL]
 * [--callback-url URL]… [--engine namespaces|directory] [--repo PATH]…`. With `--json` standard output is one line `{ "modal", "github", "model" }`; everything else goes to standard error and, for
 * programs, to `emulators.json` in the data folder (also `tunnelCaFile`, for TLS to tunnels of sandboxes). SIGINT and SIGTERM end it; without `--data` the data goes with it.
 */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { startGithubEmulator } from "../packages/emulators/src/github/github.ts";
import { createEngine } from "../packages/emulators/src/modal/engine/create-engine.ts";
import { startModalEmulator } from "../packages/emulators/src/modal/modal.ts";
import { startModelEmulator } from "../packages/emulators/src/model/model.ts";
import { loadCredentials } from "./credentials.ts";
import { onInterruption } from "./interruption.ts";
import { ensurePrograms, findProgram, root } from "./prerequisites.ts";

const { values } = parseArgs({
  options: {
    json: { type: "boolean", default: false },
    data: { type: "string" },
    "modal-port": { type: "string", default: "0" },
    "github-port": { type: "string", default: "0" },
    "model-port": { type: "string", default: "0" },
    "forward-port": { type: "string", multiple: true, default: [] },
    "webhook-url": { type: "string" },
    "callback-url": { type: "string", multiple: true, default: [] },
    engine: { type: "string" },
    repo: { type: "string", multiple: true, default: [] },
  },
});
const say = (line: string) => process.stderr.write(`${line}\n`);

const dataDir = values.data === undefined ? mkdtempSync(join(tmpdir(), "open-inspect-emulators-")) : resolve(values.data);
mkdirSync(dataDir, { recursive: true });
const closers: (() => Promise<void> | void)[] = [];
let ending = false;
async function end(code: number) {
  if (ending) return;
  ending = true;
  for (const close of closers.reverse()) await close();
  if (values.data === undefined) rmSync(dataDir, { recursive: true, force: true });
  process.exit(code);
}
onInterruption(() => void end(0));

try {
  await startAll();
} catch (error) {
  say(error instanceof Error ? error.message : String(error));
  await end(1);
}

async function startAll() {
  ensurePrograms(["git", "bwrap", "tini", "rg"], ["git", "tini"], say);
  const wanted = values.engine;
  if (wanted !== undefined && wanted !== "namespaces" && wanted !== "directory")
    throw new Error(`--engine ${wanted} is neither namespaces nor directory`);
  const credentials = loadCredentials(dataDir);

  const github = await startGithubEmulator({
    port: Number(values["github-port"]),
    dataDir: join(dataDir, "github"),
    app: {
      id: credentials.githubAppId,
      slug: "open-inspect",
      name: "Open-Inspect",
      privateKeyPem: credentials.githubAppPrivateKey,
      webhookSecret: credentials.githubWebhookSecret,
    },
    oauth: {
      clientId: credentials.githubClientId,
      clientSecret: credentials.githubClientSecret,
      callbackUrls: values["callback-url"],
    },
    webhookUrl: values["webhook-url"] ?? null,
    person: credentials.person,
    adminToken: credentials.emulatorAdminToken,
    log: (line) => say(`github: ${line}`),
  });
  closers.push(() => github.stop());
  for (const name of ["storefront", "notes-api", "billing-legacy"]) {
    await github.addRepository({ owner: "acme", name, fromTree: join(root, "samples", name) });
  }
  await github.addRepository({ owner: "acme", name: "empty", empty: true });
  for (const path of values.repo) {
    await github.addRepository({ owner: "local", name: basename(resolve(path)), fromPath: resolve(path) });
  }

  const engine = await createEngine({
    stateDir: join(dataDir, "sandboxes"),
    forwardedPorts: [Number(new URL(github.url).port), ...values["forward-port"].map(Number)],
    ...hostToolchain(),
    ...(wanted === undefined ? {} : { engine: wanted }),
    log: (line) => say(`engine: ${line}`),
  });
  closers.push(() => engine.close());
  const modal = await startModalEmulator({
    port: Number(values["modal-port"]),
    stateDir: join(dataDir, "modal"),
    engine,
    log: (line) => say(`modal: ${line}`),
  });
  closers.push(() => modal.stop());

  const model = await startModelEmulator({ port: Number(values["model-port"]), log: (line) => say(`model: ${line}`) });
  closers.push(() => model.stop());

  const urls = { modal: modal.url, github: github.url, model: model.url };
  const { isolation, detail } = engine.describe();
  const more = { modalAdmin: modal.adminUrl, tunnelCaFile: modal.tunnelCaFile, isolation, detail };
  writeFileSync(join(dataDir, "emulators.json"), JSON.stringify({ ...urls, ...more }));
  say(`sandboxes: isolation ${isolation} (${detail})`);
  say(`credentials of these emulators: ${join(dataDir, "credentials.json")}`);
  if (values.json) process.stdout.write(`${JSON.stringify(urls)}\n`);
  else for (const [name, url] of Object.entries(urls)) process.stdout.write(`${name}\t${url}\n`);
}

/** The host's programs that `local/host-toolchain` shows to sandboxes. */
function hostToolchain() {
  const tools: Record<string, string> = {
    node: process.execPath,
    opencode: createRequire(join(root, "packages/emulators/package.json")).resolve(`opencode-linux-${process.arch}/bin/opencode`),
  };
  for (const name of ["tini", "rg", "git"]) {
    const path = findProgram(name);
    if (path !== null) tools[name] = path;
  }
  return { tools, toolDirs: npmDirectory() };
}

/** npm is no single file: its folder is shown as a whole. */
function npmDirectory(): Record<string, string> {
  const npm = [
    join(dirname(findProgram("npm") ?? "/"), "../lib/node_modules/npm"),
    "/usr/lib/node_modules/npm",
    "/usr/local/lib/node_modules/npm",
    "/usr/share/nodejs/npm",
  ].find((path) => existsSync(join(path, "bin/npm-cli.js")));
  return npm === undefined ? {} : { "/opt/tools/lib/node_modules/npm": npm };
}
