/** A control plane's end of the bridge for tests: applies each number once, acknowledges, can misbehave on demand. */
import { createServer } from "node:http";
import {
  type AgentSessionRequest,
  type BridgeDown,
  bridgeFrameMaxBytes,
  bridgeUpSchema,
  type RuntimeEvent,
} from "@open-inspect/protocol";
import { type WebSocket, WebSocketServer } from "ws";

export interface NumberedEvent {
  seq: number;
  at: number;
  event: RuntimeEvent;
}
type EventOf<T extends RuntimeEvent["type"]> = Extract<RuntimeEvent, { type: T }>;

export interface TestBridge {
  url: string;
  token: string;
  /** applied events in order, each number once */
  events: NumberedEvent[];
  /** every event frame that came in, repetitions included */
  received: number[];
  hellos: { bootId: string; runtimeVersion: string }[];
  all<T extends RuntimeEvent["type"]>(type: T): EventOf<T>[];
  waitFor<T extends RuntimeEvent["type"]>(
    type: T,
    where?: (event: EventOf<T>) => boolean,
    timeoutMs?: number,
  ): Promise<EventOf<T>>;
  send(frame: BridgeDown): void;
  /** acknowledgements are held back while false */
  acknowledge: boolean;
  /** breaks the present connection without a close frame */
  cut(): void;
  /** closes with a code; new connections are closed with it too while set */
  close(code: number): void;
  /** connections are refused while false */
  accept: boolean;
  credential: { username: string; password: string } | { refused: string } | null;
  credentialRequests: number;
  /** pushes for which a credential to write was asked */
  writeRequests: string[];
  /** what the agent asked about sessions, and how it is answered */
  sessionRequests: AgentSessionRequest[];
  answerSession: (id: string, request: AgentSessionRequest) => BridgeDown;
  /** bytes by id that `GET <bridge>/attachments/<id>` gives; a number is a status */
  attachments: Map<string, Uint8Array | number>;
  stop(): Promise<void>;
}

export async function startBridge(token = "t".repeat(40)): Promise<TestBridge> {
  const http = createServer((request, response) => {
    const id = /^\/bridge\/attachments\/([^/]+)$/.exec(request.url ?? "")?.[1] ?? "";
    const found = request.headers.authorization === `Bearer ${token}` ? (bridge.attachments.get(id) ?? 404) : 401;
    if (typeof found === "number") response.writeHead(found).end();
    else response.end(found);
  });
  const server = new WebSocketServer({ noServer: true, maxPayload: bridgeFrameMaxBytes });
  let socket: WebSocket | null = null;
  let closeCode: number | null = null;
  const waiters = new Set<() => void>();
  const problems: string[] = [];
  let ack = 0;
  /** what this end says it has: behind `ack` while acknowledgements are held back */
  let told = 0;

  http.on("upgrade", (request, raw, head) => {
    if (!bridge.accept || request.headers.authorization !== `Bearer ${token}`) {
      raw.end("HTTP/1.1 503 Service Unavailable\r\n\r\n");
      return;
    }
    server.handleUpgrade(request, raw, head, (next) => {
      if (closeCode !== null) return next.close(closeCode);
      socket = next;
      next.on("error", () => undefined);
      next.on("message", (data) => onFrame(next, data.toString()));
    });
  });

  const onFrame = (from: WebSocket, text: string) => {
    const frame = bridgeUpSchema.parse(JSON.parse(text));
    switch (frame.type) {
      case "hello":
        bridge.hellos.push({ bootId: frame.bootId, runtimeVersion: frame.runtimeVersion });
        from.send(JSON.stringify({ type: "welcome", ack: told }));
        return;
      case "heartbeat":
        return;
      case "credential.request": {
        bridge.credentialRequests++;
        if (frame.pushId !== undefined) bridge.writeRequests.push(frame.pushId);
        const { credential } = bridge;
        if (!credential) return;
        if ("refused" in credential)
          from.send(JSON.stringify({ type: "credential.refused", id: frame.id, message: credential.refused }));
        else from.send(JSON.stringify({ type: "credential", id: frame.id, ...credential }));
        return;
      }
      case "session.request":
        bridge.sessionRequests.push(frame.request);
        from.send(JSON.stringify(bridge.answerSession(frame.id, frame.request)));
        return;
      case "event":
        bridge.received.push(frame.seq);
        if (frame.seq === ack + 1) {
          ack = frame.seq;
          bridge.events.push({ seq: frame.seq, at: frame.at, event: frame.event });
          for (const wake of [...waiters]) wake();
        } else if (frame.seq > ack + 1) problems.push(`gap: ${frame.seq} after ${ack}`);
        if (!bridge.acknowledge) return;
        told = ack;
        from.send(JSON.stringify({ type: "ack", seq: ack }));
        return;
    }
  };

  const find = <T extends RuntimeEvent["type"]>(type: T): EventOf<T>[] =>
    bridge.events.flatMap(({ event }) => (isOf(event, type) ? [event] : []));

  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
  const address = http.address();
  if (!address || typeof address === "string") throw new Error("no port");
  const bridge: TestBridge = {
    url: `ws://127.0.0.1:${address.port}/bridge`,
    token,
    events: [],
    received: [],
    hellos: [],
    acknowledge: true,
    accept: true,
    credential: { username: "x-access-token", password: "unused" },
    credentialRequests: 0,
    writeRequests: [],
    sessionRequests: [],
    answerSession: (id) => ({ type: "session.answer", id, sessions: [] }),
    attachments: new Map(),
    all: find,
    waitFor: (type, where = () => true, timeoutMs = 30_000) =>
      new Promise((resolve, reject) => {
        const look = () => {
          const found = find(type).find(where);
          if (!found && problems.length === 0) return;
          waiters.delete(look);
          clearTimeout(timer);
          if (found) resolve(found);
          else reject(new Error(problems.join("; ")));
        };
        const timer = setTimeout(() => {
          waiters.delete(look);
          const seen = bridge.events.slice(-15).map(({ event }) => JSON.stringify(event).slice(0, 300));
          reject(new Error(`no ${type} within ${timeoutMs} ms; last events:\n${seen.join("\n")}`));
        }, timeoutMs);
        waiters.add(look);
        look();
      }),
    send: (frame) => socket?.send(JSON.stringify(frame)),
    cut: () => socket?.terminate(),
    close(code) {
      closeCode = code;
      socket?.close(code);
    },
    stop: () =>
      new Promise((resolve) => {
        for (const client of server.clients) client.terminate();
        http.close(() => resolve());
        http.closeAllConnections();
      }),
  };
  return bridge;
}

function isOf<T extends RuntimeEvent["type"]>(event: RuntimeEvent, type: T): event is EventOf<T> {
  return event.type === type;
}
