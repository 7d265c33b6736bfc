/** Receivers of notifications: they remember what they were sent and answer what they are told to. Runs in Node. */
import { type Fetch } from "./world.ts";

export interface ReceivedHook {
  path: string;
  headers: Record<string, string>;
  body: string;
}

/** The next answers of a path, one after the other; then 200. */
export type HookOrder = { do: "state" } | { do: "answer"; path: string; statuses: number[] };

export function createFakeHooks(): Fetch {
  const received: ReceivedHook[] = [];
  const answers = new Map<string, number[]>();
  return async (request) => {
    const url = new URL(request.url);
    if (url.pathname !== "/__control") {
      received.push({ path: url.pathname, headers: Object.fromEntries(request.headers), body: await request.text() });
      const status = answers.get(url.pathname)?.shift() ?? 200;
      return new Response(null, { status, headers: status === 302 ? { location: "http://hooks.test/elsewhere" } : {} });
    }
    const order = (await request.json()) as HookOrder;
    if (order.do === "answer") answers.set(order.path, [...order.statuses]);
    return Response.json(received);
  };
}
