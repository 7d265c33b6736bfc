/**
 * The way out of a guest's empty network: unix sockets that lead to the forwarded loopback ports, and a proxy that dials
 * the internet under the guest's rules. Knows sockets and HTTP, nothing of how the guest reaches the sockets.
 */
import { lookup } from "node:dns/promises";
import { closeSync, constants, openSync } from "node:fs";
import { createServer as createHttpServer, request as httpRequest } from "node:http";
import { connect, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { type EgressRules } from "./network-policy.ts";

/** Where guests find the proxy; taken from the space of forwarded ports. */
export const PROXY_PORT = 3128;
export const PROXY_SOCKET = "egress.sock";
export const portSocket = (port: number) => `p${port}.sock`;

const DIAL_TIMEOUT_MS = 15_000;
const MAX_CONNECTIONS = 1024;
const HOP_HEADERS = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

export interface GuestNetwork {
  close(): void;
}

/** Splices both ways, keeps half-closes, and lets go of both ends when one breaks. */
function splice(left: Socket, right: Socket): void {
  const drop = () => {
    left.destroy();
    right.destroy();
  };
  left.on("error", drop).on("close", () => right.destroySoon());
  right.on("error", drop).on("close", () => left.destroySoon());
  left.pipe(right);
  right.pipe(left);
}

class Refused extends Error {}

/** Resolves, judges and dials the very address that was judged, so that a second answer of the resolver changes nothing. */
async function dial(host: string, port: number, rules: EgressRules): Promise<{ socket: Socket; address: string }> {
  if (!rules.allowsHost(host)) throw new Refused(`${host} is not on the list of hosts that this sandbox may reach`);
  const found = await lookup(host, { all: true, verbatim: true });
  const allowed = found.filter(({ address }) => rules.allowsAddress(host, address));
  if (allowed.length === 0) throw new Refused(`${host} resolves to no address that this sandbox may reach`);
  let last: unknown = null;
  // IPv4 first: where a host has no IPv6 route every attempt would cost its error.
  for (const { address } of [...allowed].sort((a, b) => a.family - b.family)) {
    try {
      return { socket: await connectTo(address, port), address };
    } catch (error) {
      last = error;
    }
  }
  throw last;
}

function connectTo(address: string, port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: address, port, allowHalfOpen: true, noDelay: true, timeout: DIAL_TIMEOUT_MS });
    socket.once("timeout", () => socket.destroy(new Error(`no answer from ${address}:${port}`)));
    socket.once("error", reject);
    socket.once("connect", () => {
      socket.setTimeout(0);
      socket.off("error", reject);
      resolve(socket);
    });
  });
}

const failureOf = (error: unknown): [number, string] =>
  error instanceof Refused ? [403, error.message] : [502, error instanceof Error ? error.message : "the host cannot be reached"];

function createProxy(rules: EgressRules, log: (line: string) => void): Server {
  const server = createHttpServer((incoming, answer) => {
    const refuse = (status: number, message: string) => {
      incoming.resume();
      if (answer.headersSent) answer.destroy();
      else answer.writeHead(status, { "content-type": "text/plain", connection: "close" }).end(`${message}\n`);
    };
    const url = URL.canParse(incoming.url ?? "") ? new URL(incoming.url ?? "") : null;
    if (url === null || url.protocol !== "http:")
      return refuse(400, "This is a proxy: it wants an absolute http URI or CONNECT.");
    const host = url.hostname.replace(/^\[|\]$/g, "");
    const port = Number(url.port || 80);
    incoming.pause();
    dial(host, port, rules).then(
      ({ socket }) => {
        const headers = Object.fromEntries(Object.entries(incoming.headers).filter(([name]) => !HOP_HEADERS.has(name)));
        const outgoing = httpRequest({
          createConnection: () => socket,
          method: incoming.method,
          path: url.pathname + url.search,
          headers: { ...headers, host: url.host, connection: "close" },
        });
        outgoing.on("response", (response) => {
          const kept = Object.fromEntries(Object.entries(response.headers).filter(([name]) => !HOP_HEADERS.has(name)));
          answer.writeHead(response.statusCode ?? 502, kept);
          response.pipe(answer);
          response.on("error", () => answer.destroy());
        });
        outgoing.on("error", (error) => refuse(502, error.message));
        answer.on("close", () => outgoing.destroy());
        incoming.pipe(outgoing);
      },
      (error: unknown) => {
        const [status, message] = failureOf(error);
        log(`egress to ${host}:${port} refused: ${message}`);
        refuse(status, message);
      },
    );
  });
  server.on("connect", (incoming, client, head) => {
    const inner = client as Socket;
    inner.on("error", () => inner.destroy());
    const target = URL.canParse(`http://${incoming.url}`) ? new URL(`http://${incoming.url}`) : null;
    const host = target?.hostname.replace(/^\[|\]$/g, "") ?? "";
    const port = Number(incoming.url?.split(":").at(-1));
    if (host === "" || !Number.isInteger(port) || port < 1 || port > 65535) {
      inner.end("HTTP/1.1 400 Bad Request\r\n\r\n");
      return;
    }
    dial(host, port, rules).then(
      ({ socket }) => {
        if (inner.destroyed) return socket.destroy();
        inner.write("HTTP/1.1 200 Connection established\r\n\r\n");
        if (head.length > 0) socket.write(head);
        return splice(inner, socket);
      },
      (error: unknown) => {
        const [status, message] = failureOf(error);
        log(`egress to ${host}:${port} refused: ${message}`);
        inner.end(
          `HTTP/1.1 ${status} ${status === 403 ? "Forbidden" : "Bad Gateway"}\r\ncontent-type: text/plain\r\n\r\n${message}\n`,
        );
      },
    );
  });
  server.on("clientError", (_error, socket) => socket.destroy());
  return server;
}

function createPortRelay(port: number): Server {
  return createServer({ allowHalfOpen: true, noDelay: true }, (inner) => {
    splice(inner, connect({ host: "127.0.0.1", port, allowHalfOpen: true, noDelay: true }));
  });
}

/** Opens one socket per forwarded port, and the proxy's when the rules allow any egress, in `dir`. */
export async function openGuestNetwork(
  dir: string,
  ports: number[],
  rules: EgressRules,
  log: (line: string) => void,
): Promise<GuestNetwork> {
  const servers: [string, Server][] = ports.map((port) => [portSocket(port), createPortRelay(port)]);
  if (rules.anyEgress) servers.push([PROXY_SOCKET, createProxy(rules, log)]);
  const sockets = new Set<Socket>();
  // Socket addresses end at 107 bytes; through the directory's descriptor the path stays short.
  const fd = openSync(dir, constants.O_RDONLY | constants.O_DIRECTORY);
  let closed = false;
  const close = () => {
    if (closed) return;
    closed = true;
    for (const [, server] of servers) server.close();
    for (const socket of sockets) socket.destroy();
    closeSync(fd);
  };
  try {
    await Promise.all(
      servers.map(([name, server]) => {
        server.maxConnections = MAX_CONNECTIONS;
        server.on("connection", (socket: Socket) => {
          sockets.add(socket);
          socket.on("close", () => sockets.delete(socket));
        });
        return new Promise<void>((resolve, reject) => {
          server.once("error", reject);
          server.listen({ path: join(`/proc/self/fd/${fd}`, name), readableAll: true, writableAll: true }, resolve);
        });
      }),
    );
  } catch (error) {
    close();
    throw error;
  }
  return { close };
}
