/** A sandbox and its browsers as sockets of this process: through a session of the product, or through a bare object that passes frames on. */
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
import { until, within } from "./waits.ts";

/** as in the runtime's outbox */
const windowEvents = 512;
const bufferedMaxBytes = 1024 * 1024;

/** A sandbox's socket with its browsers, through a session or through the echo. */
export interface Line {
  /** puts a frame on the wire as soon as the flow allows */
  send(event: RuntimeEvent): Promise<void> | undefined;
  promptId: string;
  /** called with each text that the first browser gets */
  onText: (text: string) => void;
  /** resolves when every browser has shown the last event and everything is stored */
  finish(): Promise<void>;
  close(): void;
}

export async function startSession(url: string, world: (request: Request) => Promise<Response>) {
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

export async function openEcho(url: string, count: number, isBatched = false): Promise<Line> {
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
