/** The outside world of the tests in Node: a gateway, a GitHub and a model as in-memory servers, told apart by host name. */
import { createFakeGateway } from "./gateway.ts";
import { createFakeGitHub } from "./github.ts";
import { createFakeHooks } from "./hooks.ts";

export type Fetch = (request: Request) => Promise<Response>;

/** `http://world.test/reset` empties everything; each server takes orders at `/__control`. */
export function createFakeWorld(): { fetch: Fetch } {
  let gateway = createFakeGateway();
  let github = createFakeGitHub();
  let hooks = createFakeHooks();
  let modelRequests: { path: string; headers: Record<string, string>; body: string }[] = [];
  return {
    async fetch(request) {
      const url = new URL(request.url);
      switch (url.hostname) {
        case "world.test":
          gateway = createFakeGateway();
          github = createFakeGitHub();
          hooks = createFakeHooks();
          modelRequests = [];
          return Response.json({});
        case "gateway.test":
          return gateway(request);
        case "github.test":
          return github(request);
        case "hooks.test":
          return hooks(request);
        case "model.test":
          if (url.pathname === "/__control") return Response.json(modelRequests);
          modelRequests.push({ path: url.pathname, headers: Object.fromEntries(request.headers), body: await request.text() });
          return new Response("event: message_stop\n\n", { headers: { "content-type": "text/event-stream" } });
        default:
          return new Response(`nobody lives at ${url.host}`, { status: 599 });
      }
    },
  };
}
