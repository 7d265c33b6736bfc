/** `/model/v1/*`: the agent's way to the model. The sandbox's token is checked and taken off; the real key never leaves the Worker. */
import { type Context, Hono } from "hono";
import { createLog } from "../adapters/log.ts";
import { verifyToken } from "../adapters/sandbox-tokens.ts";
import { deadlines, limits } from "../domain/deadlines.ts";
import { readConfig } from "../env.ts";
import { type App } from "./app-types.ts";
import { ApiError } from "./errors.ts";

const log = createLog({ part: "model-proxy" });
/** a stopped session's token is refused after this at the latest */
const trustMs = 2_000;
const trustedMax = 1_000;
const trusted = new Map<string, number>();

const forwarded = ["content-type", "accept", "anthropic-version", "anthropic-beta", "user-agent"];
/** what the upstream's connection says about itself is not ours to repeat */
const dropped = ["connection", "keep-alive", "transfer-encoding", "content-encoding", "content-length", "set-cookie"];

async function requireSandbox(c: Context<App>): Promise<void> {
  const token = c.req.header("x-api-key") ?? /^Bearer (.+)$/i.exec(c.req.header("authorization") ?? "")?.[1] ?? "";
  const now = Date.now();
  if ((trusted.get(token) ?? 0) > now) return;
  const claim = await verifyToken(readConfig(c.env).MODAL_API_SECRET, "model", token);
  if (!claim || !(await c.env.SESSIONS.getByName(claim.ownerId).mayUseModel(claim.attempt))) {
    throw new ApiError(
      "unauthorized",
      "The token is not that of a running session.",
      "Only the agent of a running session may use the model.",
    );
  }
  if (trusted.size >= trustedMax) trusted.clear();
  trusted.set(token, now + trustMs);
}

async function forward(c: Context<App>, path: string): Promise<Response> {
  await requireSandbox(c);
  if (Number(c.req.header("content-length") ?? 0) > limits.modelBodyBytes) {
    throw new ApiError(
      "payload_too_large",
      `The body is larger than ${limits.modelBodyBytes} bytes.`,
      "Shorten the conversation.",
    );
  }
  const { MODEL_BASE_URL, MODEL_API_KEY } = readConfig(c.env);
  const headers = new Headers({ "x-api-key": MODEL_API_KEY });
  for (const name of forwarded) {
    const value = c.req.header(name);
    if (value !== undefined) headers.set(name, value);
  }
  const signal = AbortSignal.any([AbortSignal.timeout(deadlines.modelRequestMs), c.req.raw.signal]);
  try {
    const answer = await fetch(`${MODEL_BASE_URL}${path}${new URL(c.req.url).search}`, {
      method: "POST",
      headers,
      body: c.req.raw.body?.pipeThrough(capped(limits.modelBodyBytes)) ?? null,
      redirect: "manual",
      signal,
    });
    const answered = new Headers(answer.headers);
    for (const name of dropped) answered.delete(name);
    return new Response(answer.body, { status: answer.status, headers: answered });
  } catch (error) {
    log.warn("model.unreachable", { error });
    return Response.json(
      { type: "error", error: { type: "api_error", message: "The model could not be reached." } },
      { status: 502 },
    );
  }
}

/** Ends the request when more comes than was announced. */
function capped(maxBytes: number): TransformStream<Uint8Array, Uint8Array> {
  let bytes = 0;
  return new TransformStream({
    transform(chunk, controller) {
      bytes += chunk.byteLength;
      if (bytes > maxBytes) controller.error(new Error("the body is too large"));
      else controller.enqueue(chunk);
    },
  });
}

export const modelProxy = new Hono<App>()
  .post("/v1/messages", (c) => forward(c, "/v1/messages"))
  .post("/v1/messages/count_tokens", (c) => forward(c, "/v1/messages/count_tokens"));
