/** The whole dashboard on a page of its own, with a server and sockets that the test holds in its hands. */
import { defaultSessionSettings, type PoolView, type SessionView } from "@open-inspect/protocol";
import { createMemoryHistory } from "@tanstack/react-router";
import { act, render, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { App, createServices } from "../src/app/providers.tsx";
import { createAppRouter } from "../src/app/router.tsx";
import { createApi } from "../src/lib/api.ts";
import { type SocketLike } from "../src/lib/live-socket.ts";
import { insights, me } from "./fixtures.ts";

interface Asked {
  method: string;
  path: string;
  body: unknown;
}
interface Answer {
  status: number;
  body: unknown;
}
/** By `METHOD /path`, with or without its query; a function is asked anew each time. */
export type Routes = Record<string, Answer | ((asked: Asked) => Answer | Promise<Answer>)>;

export const ok = (body: unknown): Answer => ({ status: 200, body });
export const refuse = (status: number, code: string, message: string, hint: string): Answer => ({
  status,
  body: { error: { code, message, hint } },
});

/** One end of a socket, held by the test. */
export interface HeldSocket extends SocketLike {
  readonly path: string;
  readonly isClosed: () => boolean;
  open(): void;
  send(message: unknown): void;
  cut(): void;
}

export function createSockets() {
  const all: HeldSocket[] = [];
  class TestSocket implements HeldSocket {
    onopen: SocketLike["onopen"] = null;
    onmessage: SocketLike["onmessage"] = null;
    onclose: SocketLike["onclose"] = null;
    readonly path: string;
    #closed = false;
    constructor(url: string) {
      const { pathname, search } = new URL(url);
      this.path = pathname + search;
      all.push(this);
    }
    isClosed = () => this.#closed;
    close() {
      this.#closed = true;
    }
    open() {
      act(() => this.onopen?.(new Event("open")));
    }
    send(message: unknown) {
      act(() => this.onmessage?.(new MessageEvent("message", { data: JSON.stringify(message) })));
    }
    cut() {
      act(() => this.onclose?.(new CloseEvent("close")));
    }
  }
  return {
    WebSocket: TestSocket,
    all,
    /** the newest socket of this path that is still wanted */
    of(path: string): HeldSocket {
      const found = all.findLast((each) => each.path.startsWith(path) && !each.isClosed());
      if (found === undefined) throw new Error(`no open socket to ${path}`);
      return found;
    },
  };
}

export function openDashboard(path: string, routes: Routes) {
  const asked: Asked[] = [];
  const answers: Routes = {
    "GET /api/me": ok(me()),
    "GET /api/repositories": ok({ repositories: [] }),
    "GET /api/sessions": ok({ sessions: [], next: null }),
    "GET /api/insights?days=30": ok(insights()),
    "GET /api/repositories/acme/web/session-settings": ok({
      ...{ ready: 0, starting: 0, problem: null },
      settings: defaultSessionSettings,
    } satisfies PoolView),
    ...routes,
  };
  const fetch = async (input: RequestInfo | URL, init?: RequestInit): Promise<Response> => {
    const method = init?.method ?? "GET";
    const request: Asked = {
      method,
      path: input instanceof Request ? input.url : input.toString(),
      body: typeof init?.body === "string" ? JSON.parse(init.body) : null,
    };
    asked.push(request);
    // A route without a query answers for every query that no other route names.
    const route = answers[`${method} ${request.path}`] ?? answers[`${method} ${request.path.split("?")[0]}`];
    if (route === undefined) throw new Error(`unexpected ${method} ${request.path}`);
    const { status, body } = await (typeof route === "function" ? route(request) : route);
    return Response.json(body, { status });
  };
  const sockets = createSockets();
  const services = createServices(createApi(fetch), sockets.WebSocket);
  const router = createAppRouter(createMemoryHistory({ initialEntries: [path] }));
  render(<App services={services} router={router} />);
  return {
    user: userEvent.setup(),
    asked,
    sockets,
    router,
    queryClient: services.queryClient,
    count: (method: string, at: string) => asked.filter((each) => each.method === method && each.path === at).length,
  };
}

/** A session's page with its socket open and the whole session told by it. */
export async function openSession(view: SessionView, routes: Routes = {}) {
  const path = `/sessions/${view.id}`;
  const dashboard = openDashboard(path, routes);
  const socket = await waitFor(() => dashboard.sockets.of(`/api${path}/events`));
  socket.open();
  socket.send({ type: "snapshot", cursor: 1, session: view });
  return { ...dashboard, socket };
}
