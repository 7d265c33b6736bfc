/** A listening socket for a Hono app that can be drained. Knows nothing of what the app answers. */
import { createServer } from "node:http";
import { getRequestListener } from "@hono/node-server";
import { gatewayDeadlinesMs } from "./deadlines.ts";

export interface ListeningServer {
  url: string;
  /** Takes no new requests, waits a bounded while for those in flight, then cuts. Idempotent. */
  drain(limitMs?: number): Promise<void>;
}

/** Longer than proxies and workerd keep an idle connection, so that theirs is the side that closes. */
const keepAliveMs = 75_000;
const requestLimitMs = 30_000;
const drainSweepMs = 50;

/** @param port 0 takes any free one */
export async function listen(
  app: { fetch: (request: Request) => Response | Promise<Response> },
  host: string,
  port: number,
): Promise<ListeningServer> {
  const answer = getRequestListener(app.fetch);
  const server = createServer(
    { keepAliveTimeout: keepAliveMs, requestTimeout: requestLimitMs, headersTimeout: requestLimitMs },
    (request, response) => void answer(request, response),
  );
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, resolve);
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the gateway does not listen on a TCP port");
  let drained: Promise<void> | undefined;
  return {
    url: `http://${host.includes(":") ? `[${host}]` : host}:${address.port}`,
    drain(limitMs = gatewayDeadlinesMs.drain) {
      drained ??= new Promise((resolve) => {
        const cut = setTimeout(() => server.closeAllConnections(), limitMs);
        // A connection whose last request is answered is kept open for the next, which will not come.
        const sweep = setInterval(() => server.closeIdleConnections(), drainSweepMs);
        server.close(() => {
          clearTimeout(cut);
          clearInterval(sweep);
          resolve();
        });
      });
      return drained;
    },
  };
}
