/**
 * What the session's object costs between a sandbox and its browsers: events a second that are stored, acknowledged and shown, and how much later
 * they are shown, each against a bare Durable Object in the same workerd that only passes the same frames on. Gateway and GitHub are the
 * in-memory ones of the control plane's tests; the sandbox and the browsers are sockets of this process in both cases.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { join } from "node:path";
import { deadlines } from "../../packages/control-plane/src/domain/deadlines.ts";
import { createFakeWorld } from "../../packages/control-plane/test/fakes/world.ts";
import {
  bridgeProtocolVersion,
  emptyReplica,
  followSession,
  heartbeatIntervalMs,
  type PromptView,
  type RuntimeConfig,
  type RuntimeEvent,
  type SessionEvent,
  type SessionReplica,
} from "../../packages/protocol/src/index.ts";
import { loadCredentials } from "../credentials.ts";
import { applyMigrations, buildDashboard, inheritedEnv, quietWrangler, wrangler } from "../prepared.ts";
import { root } from "../prerequisites.ts";
import { createProcessKeeper } from "../processes.ts";
import { freePort } from "./tick-world.ts";

/** what one sandbox sends in a round, for so many browsers */
const sizes = [
  { browsers: 1, events: 6_000 },
  { browsers: 10, events: 4_000 },
  { browsers: 100, events: 600 },
];
const rounds = 5;
const paced = { events: 400, everyMs: 5, browsers: 10 };
/** as in the runtime's outbox */
const windowEvents = 512;
const bufferedMaxBytes = 1024 * 1024;
const limitMs = 60_000;

export async function benchBridge({ dataDir, say }: { dataDir: string; say: (line: string) => void }) {
  const world = createFakeWorld();
  const servers = await Promise.all(["gateway.test", "github.test"].map((host) => serve(host, world.fetch)));
  const [gateway, github] = servers;
  const keeper = createProcessKeeper(join(dataDir, "processes.json"));
  try {
    buildDashboard(say);
    applyMigrations(dataDir);
    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    const config = writeWorker(dataDir, { url, gatewayUrl: gateway?.url ?? "", githubUrl: github?.url ?? "" });
    keeper.start({
      name: "worker",
      cwd: root,
      command: [
        ...[process.execPath, wrangler, "dev", "--config", config, "--ip", "127.0.0.1", "--port", `${port}`],
        ...["--inspector-port", "0", "--persist-to", join(dataDir, "worker"), "--env-file", join(dataDir, "worker.env")],
        ...["--show-interactive-dev-session=false", "--log-level", "warn"],
      ],
      env: { ...inheritedEnv(), ...quietWrangler(dataDir) },
      log: (line) => say(line),
    });
    await until(async () => (await fetch(`${url}/api/alive-probe`).catch(() => null)) !== null, "the Worker answers");
    const figures: {
      browsers: number;
      session: number;
      echo: number;
      batchedEcho: number;
      ratio: number;
      batchedRatio: number;
    }[] = [];
    for (const { browsers, events } of sizes) {
      const session = await startSession(url, world.fetch);
      const [withSession, withEcho, withBatchedEcho]: [number[], number[], number[]] = [[], [], []];
      for (let round = 0; round <= rounds; round++) {
        const echoed = await flood(await openEcho(url, browsers), events);
        const shown = await flood(await session.open(browsers), events);
        const echoedTogether = await flood(await openEcho(url, browsers, true), events);
        // The first round warms all of them up.
        if (round === 0) continue;
        withEcho.push(echoed);
        withSession.push(shown);
        withBatchedEcho.push(echoedTogether);
      }
      const [shown, echoed, echoedTogether] = [median(withSession), median(withEcho), median(withBatchedEcho)];
      figures.push({
        ...{ browsers, session: Math.round(shown), echo: Math.round(echoed), batchedEcho: Math.round(echoedTogether) },
        ...{ ratio: round2(shown / echoed), batchedRatio: round2(shown / echoedTogether) },
      });
      session.close();
      say(`${browsers} browsers: ${JSON.stringify(figures.at(-1))}`);
    }
    const session = await startSession(url, world.fetch);
    const [echoMs = [], sessionMs = []] = await pace([await openEcho(url, paced.browsers), await session.open(paced.browsers)]);
    session.close();
    return {
      ratio: Math.min(...figures.map((one) => one.ratio)),
      batchedRatio: Math.min(...figures.map((one) => one.batchedRatio)),
      p95AddedMs: round2(quantile(sessionMs, 0.95) - quantile(echoMs, 0.95)),
      /** events a second, by browsers */
      eventsPerSecond: figures,
      latencyMs: {
        session: { p50: round2(quantile(sessionMs, 0.5)), p95: round2(quantile(sessionMs, 0.95)) },
        echo: { p50: round2(quantile(echoMs, 0.5)), p95: round2(quantile(echoMs, 0.95)) },
      },
    };
  } finally {
    await keeper.stopAll(10_000);
    for (const { server } of servers) {
      server.closeAllConnections();
      server.close();
    }
  }
}

/** A sandbox's socket with its browsers, through a session or through the echo. */
interface Line {
  /** puts a frame on the wire as soon as the flow allows */
  send(event: RuntimeEvent): Promise<void> | undefined;
  promptId: string;
  /** called with each text that the first browser gets */
  onText: (text: string) => void;
  /** resolves when every browser has shown the last event and everything is stored */
  finish(): Promise<void>;
  close(): void;
}

async function flood(line: Line, count: number): Promise<number> {
  const events = answer(line.promptId, count);
  const startedAt = performance.now();
  for (const event of events) {
    const blocked = line.send(event);
    if (blocked) await blocked;
  }
  await line.finish();
  const seconds = (performance.now() - startedAt) / 1_000;
  line.close();
  return count / seconds;
}

/** Milliseconds from the sandbox's send until the first browser has it, per event, of lines that take turns: whatever else the machine does hits all. */
async function pace(lines: readonly Line[]): Promise<number[][]> {
  const tookMs = lines.map((): number[] => []);
  const sentAt: number[] = [];
  for (const [which, line] of lines.entries()) {
    line.onText = (text) => {
      const at = performance.now();
      for (const [, index = ""] of text.matchAll(/#(\d+);/g)) tookMs[which]?.push(at - (sentAt[Number(index)] ?? 0));
    };
  }
  for (let index = 0; index < paced.events * lines.length; index++) {
    const line = lines[index % lines.length];
    sentAt[index] = performance.now();
    void line?.send({ type: "prompt.delta", promptId: line.promptId, partId: "p", kind: "text", delta: `#${index};` });
    await sleep(paced.everyMs);
  }
  for (const line of lines) {
    await line.finish();
    line.close();
  }
  for (const took of tookMs)
    if (took.length !== paced.events) throw new Error(`${took.length} of ${paced.events} events were shown`);
  return tookMs;
}

/** Text that grows word by word, tools that print, and each text as a whole at its end. */
function answer(promptId: string, count: number): RuntimeEvent[] {
  const events: RuntimeEvent[] = [];
  for (let part = 0; events.length < count; part++) {
    const words = Array.from({ length: 44 }, (_, at) => `word ${at} of part ${part}, `);
    const partId = `text-${part}`;
    for (const delta of words) events.push({ type: "prompt.delta", promptId, partId, kind: "text", delta });
    events.push({ type: "prompt.part", promptId, part: { kind: "text", id: partId, text: words.join("") } });
    for (let step = 1; step <= 5; step++) {
      const status = step === 5 ? "completed" : "running";
      const said = { title: "npm test", input: "npm test", output: "a line of output\n".repeat(12 * step) };
      events.push({ type: "prompt.part", promptId, part: { kind: "tool", id: `tool-${part}`, tool: "bash", status, ...said } });
    }
  }
  return events.slice(0, count);
}

async function startSession(url: string, world: (request: Request) => Promise<Response>) {
  const { id } = await post<{ id: string }>(`${url}/api/sessions`, { repository: "acme/shop" });
  const config = await until(async () => {
    const answer = await world(new Request("http://gateway.test/__control", { method: "POST", body: '{"do":"state"}' }));
    const { sandboxes } = (await answer.json()) as { sandboxes: { config: RuntimeConfig | null }[] };
    return sandboxes.find((one) => one.config?.mode === "session" && one.config.sessionId === id)?.config ?? null;
  }, "a runtime is started");
  let seq = 0;
  let acked = 0;
  let closed: string | null = null;
  let asked: ((promptId: string) => void) | null = null;
  let free: (() => void) | null = null;
  const frame = (event: RuntimeEvent) => JSON.stringify({ type: "event", seq: ++seq, at: Date.now(), event });
  const hear = (text: string) => {
    const message = JSON.parse(text) as { type: string; seq?: number; promptId?: string };
    if (message.type === "ack") acked = message.seq ?? 0;
    else if (message.type === "prompt" && message.promptId) asked?.(message.promptId);
    free?.();
  };
  const sandbox = await connect(`${url.replace("http", "ws")}/bridge/sessions/${id}`, hear, config.bridgeToken);
  sandbox.send(
    JSON.stringify({ type: "hello", protocol: bridgeProtocolVersion, runtimeVersion: "bench", revision: 1_000, bootId: "bench" }),
  );
  sandbox.send(frame({ type: "session.ready", sha: "a".repeat(40), setupRan: true, agentVersion: "bench" }));
  await until(async () => acked >= 1, "the session is ready");
  sandbox.addEventListener("close", ({ code, reason }) => {
    closed = `the bridge was closed: ${code} ${reason}`;
    free?.();
  });
  // As a runtime does: the other lines have their turns for longer than a sandbox may be silent.
  const heartbeat = setInterval(() => sandbox.send(JSON.stringify({ type: "heartbeat", at: Date.now() })), heartbeatIntervalMs);

  return {
    close(): void {
      clearInterval(heartbeat);
      sandbox.close();
    },
    async open(count: number): Promise<Line> {
      const line: Partial<Line> = { onText: () => {} };
      const ends = Array.from({ length: count }, () => Promise.withResolvers<void>());
      // The first one follows as a page does; the others only wait for the end.
      let replica: SessionReplica = emptyReplica;
      const sockets = await Promise.all(
        ends.map((end, index) =>
          connect(`${url.replace("http", "ws")}/api/sessions/${id}/events?together=1`, (text) => {
            if (index === 0) {
              const said = JSON.parse(text) as SessionEvent | SessionEvent[];
              replica = (Array.isArray(said) ? said : [said]).reduce(followSession, replica);
              line.onText?.(text);
            }
            const isEnd = text.includes('{"type":"prompt"') && text.includes('"status":"done"');
            if (isEnd && text.includes(line.promptId ?? "-")) end.resolve();
          }),
        ),
      );
      const answered = new Promise<string>((resolve) => {
        asked = resolve;
      });
      await post<PromptView>(`${url}/api/sessions/${id}/prompts`, { text: "go" });
      const promptId = await answered;
      asked = null;
      sandbox.send(frame({ type: "prompt.started", promptId }));
      const sent: RuntimeEvent[] = [];
      return Object.assign(line, {
        promptId,
        send(event: RuntimeEvent) {
          sent.push(event);
          sandbox.send(frame(event));
          if (seq - acked < windowEvents) return undefined;
          const { promise, resolve, reject } = Promise.withResolvers<void>();
          free = () => {
            if (closed !== null) reject(new Error(closed));
            else if (seq - acked < windowEvents) resolve();
          };
          return within(promise, "more is acknowledged");
        },
        async finish() {
          sandbox.send(frame({ type: "prompt.finished", promptId, outcome: "done", error: null }));
          let ended = 0;
          for (const end of ends) void end.promise.then(() => ended++);
          const all = within(Promise.all(ends.map((one) => one.promise)), "every browser shows the end");
          await all.catch((error: Error) => {
            const open = sockets.filter((one) => one.readyState === WebSocket.OPEN).length;
            const told = `${ended} of ${count} do, ${open} are connected, ${acked} of ${seq} events are acknowledged`;
            throw new Error(`${error.message}: ${told}; ${closed ?? "the bridge is open"}`);
          });
          await until(async () => acked === seq, "everything is acknowledged");
          const shown = replica.view?.prompts.find((one) => one.id === promptId)?.parts;
          if (JSON.stringify(shown) !== JSON.stringify(playBack(sent)))
            throw new Error("the browser does not show what was sent");
        },
        close() {
          for (const socket of sockets) socket.close();
        },
      } satisfies Omit<Line, "onText">) as Line;
    },
  };
}

/** The answer that the events come to; what never came whole is left out at the end. */
function playBack(events: readonly RuntimeEvent[]) {
  const parts = new Map<string, { part: unknown; isWhole: boolean }>();
  for (const event of events) {
    if (event.type === "prompt.part") parts.set(event.part.id, { part: event.part, isWhole: true });
    else if (event.type === "prompt.delta" && !parts.has(event.partId)) parts.set(event.partId, { part: null, isWhole: false });
  }
  return [...parts.values()].flatMap(({ part, isWhole }) => (isWhole ? [part] : []));
}

async function openEcho(url: string, count: number, isBatched = false): Promise<Line> {
  const base = `${url.replace("http", "ws")}/${isBatched ? "batched-echo" : "echo"}/${crypto.randomUUID()}`;
  const ends = Array.from({ length: count }, () => Promise.withResolvers<void>());
  const sockets = await Promise.all(
    ends.map((end, index) =>
      connect(`${base}/browser`, (text) => {
        if (index === 0) {
          // The page's work is done here, too: it is the same for both.
          JSON.parse(text);
          line.onText(text);
        }
        if (text.endsWith('{"type":"end"}') || text.endsWith('{"type":"end"}]')) end.resolve();
      }),
    ),
  );
  const sandbox = await connect(`${base}/sandbox`, () => {});
  let seq = 0;
  const line: Line = {
    promptId: "prm_01k00000000000000000000000",
    onText: () => {},
    send(event) {
      sandbox.send(JSON.stringify({ type: "event", seq: ++seq, at: Date.now(), event }));
      if (sandbox.bufferedAmount < bufferedMaxBytes) return undefined;
      return until(async () => sandbox.bufferedAmount < bufferedMaxBytes / 2, "the echo takes more").then(() => {});
    },
    async finish() {
      sandbox.send('{"type":"end"}');
      await within(Promise.all(ends.map((one) => one.promise)), "every browser has the end");
    },
    close() {
      for (const socket of [...sockets, sandbox]) socket.close();
    },
  };
  return line;
}

/** The product's Worker with one class more: an object that passes what its sandbox says on to its browsers, and does nothing else. */
function writeWorker(dataDir: string, urls: { url: string; gatewayUrl: string; githubUrl: string }): string {
  const worker = JSON.stringify(join(root, "packages/control-plane/src/worker.ts"));
  writeFileSync(
    join(dataDir, "bench-worker.js"),
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
    .replace(/^main = .*$/m, `main = ${JSON.stringify(join(dataDir, "bench-worker.js"))}`)
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
  const credentials = loadCredentials(dataDir);
  const vars: Record<string, string> = {
    CONTROL_PLANE_URL: urls.url,
    GATEWAY_URL: urls.gatewayUrl,
    GITHUB_API_URL: urls.githubUrl,
    GITHUB_APP_ID: `${credentials.githubAppId}`,
    GITHUB_APP_PRIVATE_KEY: credentials.githubAppPrivateKey,
    GITHUB_WEBHOOK_SECRET: credentials.githubWebhookSecret,
    MODAL_API_SECRET: credentials.modalApiSecret,
    MODEL_BASE_URL: "http://127.0.0.1:9",
    MODEL_API_KEY: credentials.modelApiKey,
    DEVELOPER_IDENTITY: "bench",
  };
  const lines = Object.entries(vars).map(([name, value]) => `${name}="${value.replaceAll("\n", "\\n")}"`);
  writeFileSync(join(dataDir, "worker.env"), `${lines.join("\n")}\n`, { mode: 0o600 });
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

async function connect(url: string, hear: (text: string) => void, token?: string): Promise<WebSocket> {
  const socket = token === undefined ? new WebSocket(url) : new WebSocket(url, { headers: { authorization: `Bearer ${token}` } });
  socket.addEventListener("message", ({ data }) => hear(String(data)));
  await within(
    new Promise<void>((resolve, reject) => {
      socket.addEventListener("open", () => resolve());
      socket.addEventListener("error", () => reject(new Error(`${url} is not reached`)));
    }),
    `${url} opens`,
  );
  return socket;
}

async function post<T>(url: string, body: object): Promise<T> {
  const headers = { "content-type": "application/json" };
  const answer = await fetch(url, { method: "POST", headers, body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(`${url} answered ${answer.status}: ${await answer.text()}`);
  return (await answer.json()) as T;
}

async function within<T>(work: Promise<T>, what: string): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`not within ${limitMs} ms: ${what}`)), limitMs);
  try {
    return await Promise.race([work, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

async function until<T>(ask: () => Promise<T | null | false>, what: string): Promise<T> {
  const endAt = performance.now() + limitMs;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    if (performance.now() > endAt) throw new Error(`not within ${limitMs} ms: ${what}`);
    await sleep(2);
  }
}

const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
const round2 = (value: number) => Math.round(value * 100) / 100;
function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}
const median = (values: readonly number[]) => quantile(values, 0.5);
