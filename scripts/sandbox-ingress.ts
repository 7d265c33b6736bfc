/**
 * The one way from local sandboxes to the Worker: the bridge and the model proxy, nothing else. On a developer's machine
 * whoever reaches the Worker on loopback is the developer, so code in a sandbox must not reach its API. In production sandboxes use
 * the Worker's public address, where people log in.
 */
import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import { connect, type Socket } from "node:net";
import { type Duplex } from "node:stream";

const open = /^\/(?:bridge|model)\//;

export interface SandboxIngress {
  port: number;
  close(): Promise<void>;
}

/**
 * @param port where sandboxes dial, on loopback; 0 = any
 * @param workerPort where the Worker listens
 */
export function startSandboxIngress(port: number, workerPort: number): Promise<SandboxIngress> {
  const sockets = new Set<Duplex>();
  const server = createServer((incoming, answer) => forward(incoming, answer, workerPort));
  server.on("upgrade", (incoming, socket, head) => {
    track(sockets, socket);
    upgrade(incoming, socket, head, workerPort);
  });
  server.on("connection", (socket) => track(sockets, socket));
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => {
      const address = server.address();
      resolve({
        port: typeof address === "object" && address !== null ? address.port : port,
        close: () =>
          new Promise((closed) => {
            server.close(() => closed());
            for (const socket of sockets) socket.destroy();
          }),
      });
    });
  });
}

function track(sockets: Set<Duplex>, socket: Duplex) {
  sockets.add(socket);
  socket.once("close", () => sockets.delete(socket));
}

/** The path as the Worker will understand it: dot segments, also encoded ones, are resolved before it is judged. */
function allowedPath(url: string): string | null {
  try {
    const { pathname, search } = new URL(url, "http://ingress");
    return open.test(pathname) ? pathname + search : null;
  } catch {
    return null;
  }
}

function forward(incoming: IncomingMessage, answer: ServerResponse, port: number) {
  const path = allowedPath(incoming.url ?? "");
  if (path === null) {
    answer.writeHead(403, { "content-type": "application/json" });
    const error = {
      code: "forbidden",
      message: "Sandboxes reach the bridge and the model only.",
      hint: "Use the API from outside of a sandbox.",
    };
    answer.end(JSON.stringify({ error }));
    incoming.resume();
    return;
  }
  const headers = { ...incoming.headers, host: `127.0.0.1:${port}` };
  const outgoing = request({ host: "127.0.0.1", port, method: incoming.method, path, headers }, (received) => {
    answer.writeHead(received.statusCode ?? 502, received.headers);
    received.pipe(answer);
    received.once("error", () => answer.destroy());
  });
  outgoing.once("error", () => (answer.headersSent ? answer.destroy() : answer.writeHead(502).end()));
  answer.once("close", () => outgoing.destroy());
  incoming.pipe(outgoing);
}

function upgrade(incoming: IncomingMessage, socket: Duplex, head: Buffer, port: number) {
  const path = allowedPath(incoming.url ?? "");
  if (path === null) {
    socket.end("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    return;
  }
  const worker: Socket = connect(port, "127.0.0.1", () => {
    const lines = Object.entries({ ...incoming.headers, host: `127.0.0.1:${port}` }).flatMap(([name, value]) =>
      [value].flat().map((one) => `${name}: ${one}`),
    );
    worker.write(`GET ${path} HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\n`);
    worker.write(head);
    worker.pipe(socket).pipe(worker);
  });
  worker.setNoDelay(true);
  const end = () => {
    worker.destroy();
    socket.destroy();
  };
  for (const side of [worker, socket]) side.once("error", end).once("close", end);
}
