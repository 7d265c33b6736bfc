/**
 * The gateway's HTTP side: who may ask, what a request must look like, how an answer is written. Knows the protocol and the
 * parts' interfaces; nothing of the Modal SDK.
 */
import {
  createSandboxRequestSchema,
  type GatewayErrorKind,
  type GatewayHealth,
  sandboxNameSchema,
  sandboxTagsSchema,
  snapshotRequestSchema,
  startSandboxRequestSchema,
} from "@open-inspect/protocol";
import { Hono, type MiddlewareHandler } from "hono";
import { bodyLimit } from "hono/body-limit";
import { z } from "zod";
import { createNonceCache, looksSigned, type SignatureRefusal, type SigningKey, verify } from "../signing.ts";
import { assertAllowedHosts } from "./allowed-hosts.ts";
import { classifyFailure, type FailureSubject, GatewayFault } from "./errors.ts";
import { type Images } from "./images.ts";
import { type Log } from "./log.ts";
import { type Sandboxes } from "./sandboxes.ts";
import { type Snapshots } from "./snapshots.ts";

const maximumBodyBytes = 1024 * 1024;

const httpStatuses = {
  transient: 503,
  permanent: 422,
  not_found: 404,
  unauthorized: 401,
  invalid_request: 400,
} as const satisfies Record<GatewayErrorKind, number>;

export type RouteEnv = { Variables: { requestId: string; body: Uint8Array<ArrayBuffer>; outcome: string } };

const providerIdSchema = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, { error: "must be an id of the provider" });
const offsetSchema = z.coerce.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER).default(0);

export function createRoutes(options: {
  key: Promise<SigningKey>;
  allowedHosts: readonly string[];
  sandboxes: Sandboxes;
  snapshots: Snapshots;
  images: Images;
  health: () => GatewayHealth;
  log: Log;
  now: () => number;
}): Hono<RouteEnv> {
  const { sandboxes, snapshots, images, log } = options;
  const app = new Hono<RouteEnv>();

  app.use(async (c, next) => {
    const startedAt = performance.now();
    c.set("requestId", crypto.randomUUID());
    c.set("outcome", "ok");
    await next();
    c.header("x-request-id", c.get("requestId"));
    log.info("request", {
      requestId: c.get("requestId"),
      method: c.req.method,
      path: c.req.path.slice(0, 200),
      status: c.res.status,
      outcome: c.get("outcome"),
      ms: Math.round((performance.now() - startedAt) * 10) / 10,
    });
  });
  app.onError((error, c) => {
    const failure = classifyFailure(error, subjectOf(c.req.path));
    c.set("outcome", failure.code);
    if (failure.code === "gateway_unexpected")
      log.warn("unexpected_error", { requestId: c.get("requestId"), error: `${error.name}: ${error.message}`.slice(0, 500) });
    // The body may not have been read to its end: the connection cannot carry another request then.
    if (failure.code === "body_too_large" || failure.kind === "unauthorized") c.header("connection", "close");
    const status =
      failure.code === "gateway_unexpected" ? 500 : failure.code === "body_too_large" ? 413 : httpStatuses[failure.kind];
    return c.json({ error: failure }, status);
  });
  app.notFound(() => {
    throw invalid(
      "no_such_route",
      "The gateway has no such call.",
      "Deploy the control plane and the gateway from the same version.",
    );
  });
  app.use(refuseUnsigned, limitBody, verifySignature(options.key, options.now));

  app.get("/v1/health", (c) => c.json(options.health()));
  app.put("/v1/sandboxes/:name", async (c) => {
    const name = parse(sandboxNameSchema, c.req.param("name"));
    return c.json(await sandboxes.create(name, parse(createSandboxRequestSchema, readJson(c.get("body")))));
  });
  app.post("/v1/sandboxes/:id/start", async (c) => {
    const id = parse(providerIdSchema, c.req.param("id"));
    const { config } = parse(startSandboxRequestSchema, readJson(c.get("body")));
    assertAllowedHosts(config, options.allowedHosts);
    return c.json(await sandboxes.start(id, config));
  });
  app.get("/v1/sandboxes/:id", async (c) =>
    c.json(await sandboxes.status(parse(providerIdSchema, c.req.param("id")), c.req.query("runtime") === "1")),
  );
  app.get("/v1/sandboxes/:id/logs", async (c) => {
    const id = parse(providerIdSchema, c.req.param("id"));
    return c.json(await sandboxes.logs(id, parse(offsetSchema, c.req.query("offset"))));
  });
  app.post("/v1/sandboxes/:id/snapshot", async (c) => {
    const id = parse(providerIdSchema, c.req.param("id"));
    return c.json(await snapshots.take(id, parse(snapshotRequestSchema, readJson(c.get("body")))));
  });
  app.post("/v1/sandboxes/:id/terminate", async (c) => {
    await sandboxes.terminate(parse(providerIdSchema, c.req.param("id")));
    return c.json({});
  });
  app.get("/v1/sandboxes", async (c) => {
    const query = Object.entries(c.req.query());
    const tags = query.filter(([name]) => name.startsWith("tag.")).map(([name, value]) => [name.slice("tag.".length), value]);
    // Without a tag the sweeper of one installation would see, and end, everything in the app.
    if (tags.length === 0) throw invalid("tags_missing", "Name at least one tag.", "Ask for tag.<name>=<value>.");
    return c.json(await sandboxes.list(parse(sandboxTagsSchema, Object.fromEntries(tags))));
  });
  app.delete("/v1/images/:id", async (c) => {
    await images.delete(parse(providerIdSchema, c.req.param("id")));
    return c.json({});
  });
  return app;
}

const refusals: Record<SignatureRefusal, string> = {
  unsigned: "The request is not signed.",
  signature: "The signature does not match.",
  clock: "The request was signed too long ago or by a clock that is ahead.",
  replay: "The request was seen before.",
};
const unauthorized = (refusal: SignatureRefusal): GatewayFault =>
  new GatewayFault(
    "unauthorized",
    "gateway_unauthorized",
    refusals[refusal],
    refusal === "clock"
      ? "Check the clocks of the control plane and the gateway."
      : "Check that MODAL_API_SECRET is the same on both sides and that nothing in between changes requests.",
  );

/** Before the body is read: a stranger does not get to send one. */
const refuseUnsigned: MiddlewareHandler<RouteEnv> = async (c, next) => {
  if (!looksSigned((name) => c.req.header(name))) throw unauthorized("unsigned");
  await next();
};

const limitBody: MiddlewareHandler<RouteEnv> = bodyLimit({
  maxSize: maximumBodyBytes,
  onError: () => {
    throw invalid("body_too_large", `A request may have ${maximumBodyBytes} bytes at most.`, "Send less.");
  },
});

function verifySignature(key: Promise<SigningKey>, now: () => number): MiddlewareHandler<RouteEnv> {
  const nonces = createNonceCache();
  return async (c, next) => {
    const body = new Uint8Array(await c.req.arrayBuffer());
    const url = new URL(c.req.url);
    const parts = { method: c.req.method, target: url.pathname + url.search, body };
    const verdict = await verify(await key, parts, (name) => c.req.header(name), now(), nonces);
    if (!verdict.valid) throw unauthorized(verdict.refusal);
    c.set("body", body);
    await next();
  };
}

const subjectOf = (path: string): FailureSubject =>
  path.startsWith("/v1/images/") ? "image" : /^\/v1\/sandboxes\/[^/]+/.test(path) ? "sandbox" : "provider";

function invalid(code: string, message: string, hint: string): GatewayFault {
  return new GatewayFault("invalid_request", code, message, hint);
}

function readJson(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(body));
  } catch {
    throw invalid("bad_json", "The body is not JSON.", "Send a JSON object.");
  }
}

/** Says where a request is wrong, never what was in it: a config holds tokens. */
function parse<T>(schema: z.ZodType<T>, content: unknown): T {
  const parsed = schema.safeParse(content);
  if (parsed.success) return parsed.data;
  const faults = parsed.error.issues.slice(0, 5).map((issue) => `${issue.path.map(String).join(".") || "value"} (${issue.code})`);
  throw invalid(
    "bad_request",
    `The request does not have the expected shape: ${faults.join(", ")}.`,
    "Compare it with protocol/src/gateway.ts.",
  );
}
