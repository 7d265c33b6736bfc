/**
 * The product's Worker in workerd with the in-memory gateway and GitHub of the control plane's tests, and with one class more: a bare object
 * that only passes frames on.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { join } from "node:path";
import { deadlines } from "../../packages/control-plane/src/domain/deadlines.ts";
import { createFakeWorld } from "../../packages/control-plane/test/fakes/world.ts";
import { loadCredentials } from "../credentials.ts";
import { buildDashboard } from "../prepared.ts";
import { root } from "../prerequisites.ts";
import { createProcessKeeper } from "../processes.ts";
import { bundleInto } from "../worker-bundle.ts";
import { prepareWorker, workerCommand } from "../worker-process.ts";
import { freePort } from "./tick-world.ts";
import { until } from "./waits.ts";
import { workerVars } from "./worker-vars.ts";

export interface BridgeWorld {
  url: string;
  /** asks the in-memory gateway and GitHub, as the Worker does */
  fetch(request: Request): Promise<Response>;
  stop(): Promise<void>;
}

export async function startBridgeWorld(dataDir: string, say: (line: string) => void): Promise<BridgeWorld> {
  const world = createFakeWorld();
  const servers = await Promise.all(["gateway.test", "github.test"].map((host) => serve(host, world.fetch)));
  const [gateway, github] = servers;
  const keeper = createProcessKeeper(join(dataDir, "processes.json"));
  const stop = async () => {
    await keeper.stopAll(10_000);
    for (const { server } of servers) {
      server.closeAllConnections();
      server.close();
    }
  };
  try {
    buildDashboard(say);
    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    const bundle = join(dataDir, "bundle");
    mkdirSync(bundle);
    await bundleInto(bundle, writeConfig(dataDir));
    const vars = workerVars(loadCredentials(dataDir), { url, gatewayUrl: gateway?.url ?? "", githubUrl: github?.url ?? "" });
    prepareWorker(dataDir, { bundle, port, vars });
    keeper.start({ name: "worker", cwd: root, ...workerCommand(dataDir), log: (line) => say(line) });
    await until(async () => (await fetch(`${url}/api/alive-probe`).catch(() => null)) !== null, "the Worker answers");
    return { url, fetch: world.fetch, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The product's Worker with one class more: an object that passes what its sandbox says on to its browsers, and does nothing else. */
function writeConfig(dataDir: string): string {
  const worker = JSON.stringify(join(root, "packages/control-plane/src/worker.ts"));
  writeFileSync(
    join(dataDir, "worker.js"),
    `import { DurableObject } from "cloudflare:workers";
import worker from ${worker};
export * from ${worker};
export class EchoObject extends DurableObject {
  fetch(request) {
    const { 0: client, 1: server } = new WebSocketPair();
    this.ctx.acceptWebSocket(server, [new URL(request.url).pathname.split("/")[3]]);
    this.batchMs = new URL(request.url).pathname.startsWith("/batched-") ? ${deadlines.bridgeBatchMs} : null;
    return new Response(null, { status: 101, webSocket: client });
  }
  webSocketMessage(_, text) {
    if (this.batchMs === null) return this.tell(text);
    (this.inbox ??= []).push(text);
    if (this.timer !== undefined) return;
    if (Date.now() - (this.toldAt ?? 0) >= this.batchMs) this.tellAll();
    else this.timer = setTimeout(() => this.tellAll(), this.batchMs);
  }
  tellAll() {
    const texts = this.inbox;
    this.inbox = [];
    this.timer = undefined;
    this.toldAt = Date.now();
    this.tell("[" + texts.join(",") + "]");
  }
  tell(text) {
    for (const browser of this.ctx.getWebSockets("browser")) browser.send(text);
  }
  webSocketClose(socket) {
    socket.close(1000, "bye");
  }
}
export default {
  ...worker,
  fetch(request, env, ctx) {
    const [, kind, name] = new URL(request.url).pathname.split("/");
    return kind === "echo" || kind === "batched-echo" ? env.ECHO.getByName(name).fetch(request) : worker.fetch(request, env, ctx);
  },
};
`,
  );
  const inPlace = (folder: string) => JSON.stringify(join(root, folder));
  const config = readFileSync(join(root, "wrangler.toml"), "utf8")
    .replace(/^main = .*$/m, `main = ${JSON.stringify(join(dataDir, "worker.js"))}`)
    .replace('"packages/web/dist"', inPlace("packages/web/dist"))
    .replace('"packages/control-plane/migrations"', inPlace("packages/control-plane/migrations"))
    .replace(/^run_worker_first = .*$/m, "run_worker_first = true");
  const echo = `
[[durable_objects.bindings]]
name = "ECHO"
class_name = "EchoObject"

[[migrations]]
tag = "bench"
new_sqlite_classes = ["EchoObject"]
`;
  writeFileSync(join(dataDir, "wrangler.toml"), `${config}${echo}`);
  return join(dataDir, "wrangler.toml");
}

/** One of the world's hosts on a port of its own. */
async function serve(host: string, world: (request: Request) => Promise<Response>): Promise<{ url: string; server: Server }> {
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const { method = "GET", headers } = request;
    const body = method === "GET" || method === "HEAD" ? null : Buffer.concat(chunks);
    const known = Object.entries(headers).flatMap(([name, value]) => (typeof value === "string" ? [[name, value]] : []));
    const answer = await world(new Request(`http://${host}${request.url}`, { method, headers: Object.fromEntries(known), body }));
    response.writeHead(answer.status, Object.fromEntries(answer.headers));
    response.end(Buffer.from(await answer.arrayBuffer()));
  });
  const port = await freePort();
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${port}`, server };
}
