/**
 * REST and GraphQL as one Hono app: authentication, rate limits, ETags and GitHub's error bodies around the routes.
 * Does not serve git, and knows of failure injection only that it comes before.
 */
import { createHash, randomUUID } from "node:crypto";
import { Hono } from "hono";
import { HTTPException } from "hono/http-exception";
import { createGraphql, graphqlRequestSchema } from "./graphql.ts";
import { type OauthOptions } from "./login.ts";
import { type Pulls } from "./pulls.ts";
import { allowanceShape, createRateLimits, type Resource } from "./rate-limits.ts";
import { type ApiEnv, type ApiPorts, apiError, notFound, requestJson } from "./rest/answers.ts";
import { addAppRoutes } from "./rest/app-routes.ts";
import { addPullRoutes } from "./rest/pull-routes.ts";
import { addRepositoryRoutes } from "./rest/repository-routes.ts";
import { addUserRoutes, applicationsPath } from "./rest/user-routes.ts";

const freePaths = new Set(["/rate_limit", "/meta"]);

export function createApi(
  ports: ApiPorts & {
    pulls: Pulls;
    oauth: OauthOptions | null;
    rateLimit: { authenticated: number; anonymous: number };
    count: (key: string) => void;
  },
) {
  const api = new Hono<ApiEnv>();
  const limits = createRateLimits({ ...ports.rateLimit, now: ports.now });
  const executeGraphql = createGraphql(ports);

  api.use(async (c, next) => {
    c.header("x-github-request-id", randomUUID().toUpperCase());
    c.header("x-github-media-type", "github.v3; format=json");
    c.header("x-content-type-options", "nosniff");
    if (!c.req.header("user-agent")) {
      const advice = "Please make sure your request has a User-Agent header";
      return c.text(`Request forbidden by administrative rules. ${advice} (https://docs.github.com/rest).`, 403);
    }
    // These paths take the app's client id and secret, and check them themselves.
    const isApplication = c.req.path.startsWith(applicationsPath);
    const asApp = { identity: { kind: "app" } } as const;
    const identified = isApplication ? asApp : ports.access.identify(c.req.header("authorization"));
    if ("refused" in identified) throw apiError(identified.status, identified.refused);
    const { identity } = identified;
    c.set("identity", identity);

    const resource: Resource = c.req.path === "/graphql" ? "graphql" : "core";
    const free = freePaths.has(c.req.path);
    let allowance = limits.read(identity, resource);
    const spent = !free && allowance.remaining === 0 && allowance.limit > 0;
    if (spent) c.res = apiError(403, "API rate limit exceeded.").getResponse();
    else await next();
    const unchanged = spent ? false : await applyEtag(c.req.header("if-none-match"), c.req.method, c.res);
    if (unchanged) {
      c.res = new Response(null, { status: 304, headers: c.res.headers });
      c.res.headers.delete("content-type");
      ports.count("rest:304");
    } else if (!free && !spent) allowance = limits.spend(identity, resource);
    c.res.headers.set("x-ratelimit-limit", String(allowance.limit));
    c.res.headers.set("x-ratelimit-remaining", String(allowance.remaining));
    c.res.headers.set("x-ratelimit-used", String(allowance.used));
    c.res.headers.set("x-ratelimit-reset", String(allowance.resetAt / 1000));
    c.res.headers.set("x-ratelimit-resource", resource);
    return;
  });

  api.get("/rate_limit", (c) => {
    const identity = c.get("identity");
    const core = allowanceShape(limits.read(identity, "core"));
    const graphql = allowanceShape(limits.read(identity, "graphql"));
    const search = { limit: 30, used: 0, remaining: 30, reset: core.reset };
    return c.json({ resources: { core, graphql, search }, rate: core });
  });
  api.get("/meta", (c) => c.json({ verifiable_password_authentication: false }));
  api.post("/graphql", async (c) => {
    const identity = c.get("identity");
    if (identity.kind === "anonymous") throw apiError(401, "This endpoint requires you to be authenticated.");
    if (identity.kind === "app") throw apiError(403, "Resource not accessible by integration");
    const request = graphqlRequestSchema.safeParse(await requestJson(c));
    if (!request.success) throw apiError(400, "Problems parsing JSON");
    const { limit, used, remaining, resetAt } = limits.read(identity, "graphql");
    return c.json(await executeGraphql(request.data, identity, { limit, used: used + 1, remaining: remaining - 1, resetAt }));
  });
  addAppRoutes(api, ports);
  addRepositoryRoutes(api, ports);
  addPullRoutes(api, ports);
  addUserRoutes(api, ports);

  api.notFound((c) => {
    ports.log(`no route for ${c.req.method} ${c.req.path}`);
    return notFound().getResponse();
  });
  api.onError((error, c) => {
    if (error instanceof HTTPException) return error.getResponse();
    if (!c.req.raw.signal.aborted) ports.log(`${c.req.method} ${c.req.path} failed: ${error.message}`);
    return apiError(500, "Server Error").getResponse();
  });
  return api;
}

/** Gives a successful GET its ETag; true when the asker has that very answer already. */
async function applyEtag(asked: string | undefined, method: string, response: Response): Promise<boolean> {
  if (method !== "GET" || response.status !== 200) return false;
  const body = await response.clone().arrayBuffer();
  const etag = response.headers.get("etag") ?? `W/"${createHash("sha256").update(new Uint8Array(body)).digest("hex")}"`;
  response.headers.set("etag", etag);
  response.headers.set("cache-control", "private, max-age=60, s-maxage=60");
  response.headers.set("vary", "Accept, Authorization");
  const plain = (tag: string) => tag.trim().replace(/^W\//, "");
  return asked?.split(",").some((tag) => plain(tag) === plain(etag) || tag.trim() === "*") ?? false;
}
