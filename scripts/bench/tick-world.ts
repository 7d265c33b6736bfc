/** GitHub and the gateway as the tick's bench needs them: small servers that count, on loopback. They know nothing of the Worker. */
import { createServer, type IncomingMessage, type Server } from "node:http";

const sha = (digit: string) => digit.repeat(40);

export async function startGitHub() {
  const moved = new Set<string>();
  const state = { requests: 0, moved, url: "", server: createServer() };
  state.server = createServer(async (request, response) => {
    state.requests += 1;
    const { pathname } = new URL(request.url ?? "/", "http://x");
    const answer = (status: number, body: unknown) => {
      const resetAt = Math.ceil(Date.now() / 1_000) + 3_600;
      response.writeHead(status, {
        "content-type": "application/json",
        "x-ratelimit-limit": "5000",
        "x-ratelimit-remaining": "4900",
        "x-ratelimit-reset": `${resetAt}`,
      });
      response.end(JSON.stringify(body));
    };
    const body = await text(request);
    if (pathname.endsWith("/access_tokens")) {
      answer(201, { token: "ghs_bench", expires_at: new Date(Date.now() + 3_600_000).toISOString() });
    } else if (pathname === "/graphql") {
      const { variables } = JSON.parse(body) as { variables: Record<string, string> };
      const data: Record<string, unknown> = {};
      for (let index = 0; `o${index}` in variables; index++) {
        const name = variables[`n${index}`] ?? "";
        const oid = moved.has(name) ? sha("b") : sha("a");
        const owner = { login: variables[`o${index}`] };
        data[`r${index}`] = { name, owner, isArchived: false, defaultBranchRef: { name: "main", target: { oid } } };
      }
      answer(200, { data });
    } else answer(404, { message: "Not Found" });
  });
  state.url = await listen(state.server);
  return state;
}

/**
 * Accepts every create and refuses every start for good, so that each build begins, holds its slot a while and ends.
 * @param startMs how long it takes to refuse a start, so that builds overlap
 */
export async function startGateway({ startMs }: { startMs: number }) {
  const state = {
    starts: [] as { scope: string; buildId: string; at: number }[],
    ...{ ended: 0, atOnceMax: 0, perOwnerMax: 0, url: "", server: createServer() },
    forget() {
      Object.assign(state, { starts: [], ended: 0, atOnceMax: 0, perOwnerMax: 0 });
    },
  };
  const scopes = new Map<string, string>();
  const running = new Map<string, string>();
  state.server = createServer(async (request, response) => {
    const answer = (status: number, body: unknown) => {
      response.writeHead(status, { "content-type": "application/json" });
      response.end(JSON.stringify(body));
    };
    const { pathname } = new URL(request.url ?? "/", "http://x");
    const [, , kind, id = "", action] = pathname.split("/");
    const body = await text(request);
    if (kind === "health") {
      const base = { name: "bench", ready: true, providerImageId: null };
      return answer(200, { status: "ok", runtimeVersion: "bench", base, sdkVersion: "0" });
    }
    if (request.method === "PUT") {
      const { tags } = JSON.parse(body) as { tags: Record<string, string> };
      const scope = tags.scope ?? "";
      if (!scopes.has(id)) state.starts.push({ scope, buildId: tags.build ?? "", at: Date.now() });
      scopes.set(id, scope);
      running.set(id, scope.split("/")[0] ?? "");
      state.atOnceMax = Math.max(state.atOnceMax, running.size);
      for (const owner of running.values()) {
        const many = [...running.values()].filter((one) => one === owner).length;
        state.perOwnerMax = Math.max(state.perOwnerMax, many);
      }
      return answer(200, { sandboxId: id, created: true, durationMs: 1 });
    }
    if (action === "start") {
      await new Promise((resolve) => setTimeout(resolve, startMs));
      if (running.delete(id)) state.ended += 1;
      return answer(422, { error: { kind: "permanent", code: "bench", message: "The bench builds nothing.", hint: "None." } });
    }
    if (kind === "sandboxes" && id === "") return answer(200, { sandboxes: [] });
    return answer(200, action === undefined ? { status: "running" } : { text: "", nextOffset: 0 });
  });
  state.url = await listen(state.server);
  return state;
}

async function text(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts).toString("utf8");
}

function listen(server: Server): Promise<string> {
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(`http://127.0.0.1:${portOf(server)}`)));
}

const portOf = (server: Server): number => {
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
};

export async function freePort(): Promise<number> {
  const server = createServer();
  await listen(server);
  const port = portOf(server);
  await new Promise((closed) => server.close(closed));
  return port;
}
