/**
 * The model emulator: Anthropic's Messages API and OpenAI's Chat Completions API over a scripted model, on one loopback
 * port. Knows nothing of who asks; what it says follows from the request alone (`reply.ts`).
 */
import { createHash, randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import {
  anthropicError,
  anthropicMessage,
  anthropicPartial,
  anthropicStart,
  anthropicStream,
  anthropicUsage,
} from "./anthropic-wire.ts";
import { anthropicRequestSchema, type Conversation, fromAnthropic, fromOpenai, openaiRequestSchema } from "./conversation.ts";
import { openaiCompletion, openaiError, openaiPartial, openaiStream } from "./openai-wire.ts";
import { decideReply } from "./reply.ts";
import { countTokens, type StreamItem } from "./wire.ts";

export interface ModelEmulatorOptions {
  /** 0 or left out: a free one */
  port?: number;
  /** keys that are accepted; null or left out: any key */
  apiKeys?: readonly string[] | null;
  log?: (line: string) => void;
}

/** One request as it came in, without its key. */
export interface ModelRequest {
  at: number;
  method: string;
  path: string;
  /** sha256 of the key as hex, null without one */
  keySha256: string | null;
  body: unknown;
  /** the status of the answer; 0 while there is none */
  status: number;
}

export interface ModelEmulator {
  url: string;
  /** the latest requests, oldest first */
  requests(): readonly ModelRequest[];
  stop(): Promise<void>;
}

type Dialect = "anthropic" | "openai";

const bodyMaxBytes = 32 * 1024 * 1024;
const requestsKept = 1_000;
const repeatsKept = 1_000;
/** A hung answer ends with its client, or after this. */
const hangMaxMs = 30 * 60_000;
const models = ["claude-sonnet-4-5", "claude-opus-4-5", "claude-haiku-4-5", "scripted"];
const modelsCreatedAt = "2026-01-01T00:00:00Z";

export async function startModelEmulator(options: ModelEmulatorOptions = {}): Promise<ModelEmulator> {
  const log = options.log ?? (() => undefined);
  const requests: ModelRequest[] = [];
  /** how often each body was asked: only faults that end after some times need it */
  const repeats = new Map<string, number>();

  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = new URL(request.url ?? "/", "http://model");
    const path = url.pathname.replace(/\/+$/, "");
    const key = readKey(request);
    const record: ModelRequest = {
      at: Date.now(),
      method: request.method ?? "GET",
      path,
      keySha256: key === null ? null : createHash("sha256").update(key).digest("hex"),
      body: null,
      status: 0,
    };
    requests.push(record);
    if (requests.length > requestsKept) requests.shift();
    const dialect: Dialect =
      request.headers["anthropic-version"] !== undefined || path.startsWith("/v1/messages") ? "anthropic" : "openai";
    const id = randomUUID().replaceAll("-", "").slice(0, 24);

    const send = (status: number, body: unknown, headers: Record<string, string> = {}) => {
      record.status = status;
      response.writeHead(status, { "content-type": "application/json", "request-id": `req_${id}`, ...headers });
      response.end(JSON.stringify(body));
    };
    const fail = (status: number, message: string, headers: Record<string, string> = {}) =>
      send(status, dialect === "anthropic" ? anthropicError(status, message, id) : openaiError(status, message), headers);

    if (key === null)
      return fail(401, dialect === "anthropic" ? "x-api-key header is required" : "You didn't provide an API key.");
    if (options.apiKeys && !options.apiKeys.includes(key))
      return fail(401, dialect === "anthropic" ? "invalid x-api-key" : "Incorrect API key provided.");
    if (path === "/v1/models" && request.method === "GET")
      return send(200, dialect === "anthropic" ? anthropicModels() : openaiModels());
    const isKnown = ["/v1/messages", "/v1/messages/count_tokens", "/v1/chat/completions"].includes(path);
    if (!isKnown) return fail(404, `Not found: ${request.method} ${path}`);
    if (request.method !== "POST") return fail(405, "Method not allowed");
    if (path.startsWith("/v1/messages") && request.headers["anthropic-version"] === undefined)
      return fail(400, "anthropic-version: header is required");

    const text = await readBody(request);
    if (text === null) return fail(413, "Request exceeds the maximum size");
    try {
      record.body = JSON.parse(text);
    } catch {
      return fail(400, "The request body is not valid JSON");
    }
    if (path === "/v1/messages/count_tokens") return send(200, { input_tokens: countTokens(text) });

    let conversation: Conversation;
    let withUsage = false;
    if (dialect === "anthropic") {
      const parsed = anthropicRequestSchema.safeParse(record.body);
      if (!parsed.success) return fail(400, describe(parsed.error.issues[0]));
      conversation = fromAnthropic(parsed.data);
    } else {
      const parsed = openaiRequestSchema.safeParse(record.body);
      if (!parsed.success) return fail(400, describe(parsed.error.issues[0]));
      conversation = fromOpenai(parsed.data);
      withUsage = parsed.data.stream_options?.include_usage ?? false;
    }

    const digest = createHash("sha256").update(text).digest("base64");
    const asked = repeats.get(digest) ?? 0;
    repeats.delete(digest);
    repeats.set(digest, asked + 1);
    const [oldest] = repeats.keys();
    if (repeats.size > repeatsKept && oldest !== undefined) repeats.delete(oldest);

    const reply = decideReply(conversation, asked);
    log(`${path} ${conversation.model} ${conversation.turns.length} turns → ${reply.kind}`);
    const created = Math.floor(record.at / 1000);
    const envelope = { id, created, model: conversation.model };
    const stream = async (items: Iterable<StreamItem>) => {
      if (!response.headersSent) {
        record.status = 200;
        response.writeHead(200, {
          "content-type": "text/event-stream; charset=utf-8",
          "cache-control": "no-cache",
          "request-id": `req_${id}`,
        });
      }
      for (const item of items) {
        if (item.delayMs > 0) await sleep(item.delayMs);
        if (response.destroyed) return;
        if (!response.write(item.text)) await drained(response);
      }
    };
    switch (reply.kind) {
      case "status":
        return fail(reply.status, reply.message, reply.headers);
      case "hang":
      case "cut": {
        const usage = { inputTokens: countTokens(text), outputTokens: 1 };
        if (conversation.isStream || reply.text !== "") {
          if (dialect === "anthropic") {
            await stream(anthropicStart(conversation.model, id, usage));
            if (reply.text !== "") await stream(anthropicPartial(reply.text));
          } else await stream(openaiPartial(reply.text, envelope));
        }
        if (reply.kind === "hang") await ended(response, hangMaxMs);
        // What was written arrives, the end of the answer never does.
        response.socket?.destroySoon();
        return;
      }
      case "answer": {
        const usage = anthropicUsage(record.body, reply);
        if (!conversation.isStream)
          return send(
            200,
            dialect === "anthropic"
              ? anthropicMessage(reply, conversation.model, id, usage)
              : openaiCompletion(reply, conversation.model, id, created, usage),
          );
        await stream(
          dialect === "anthropic"
            ? anthropicStream(reply, conversation.model, id, usage)
            : openaiStream(reply, envelope, usage, withUsage),
        );
        response.end();
        return;
      }
    }
  };

  const server = createServer((request, response) => {
    response.on("error", () => undefined);
    handle(request, response).catch((error: unknown) => {
      log(`failed: ${error instanceof Error ? error.stack : error}`);
      if (!response.headersSent) response.writeHead(500);
      response.end();
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port ?? 0, "127.0.0.1", resolve);
  });
  const address = server.address();
  if (!address || typeof address === "string") throw new Error("the model emulator has no port");
  return {
    url: `http://127.0.0.1:${address.port}`,
    requests: () => requests,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function readKey(request: IncomingMessage): string | null {
  const plain = request.headers["x-api-key"];
  if (typeof plain === "string" && plain !== "") return plain;
  return /^Bearer (.+)$/.exec(request.headers.authorization ?? "")?.[1] ?? null;
}

/** The body as text, or null when it is too long. */
async function readBody(request: IncomingMessage): Promise<string | null> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += chunk.length;
    if (bytes > bodyMaxBytes) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function describe(issue: { path: PropertyKey[]; message: string } | undefined): string {
  return issue ? `${issue.path.map(String).join(".")}: ${issue.message}` : "invalid request";
}

/** Resolves when the client is gone or `limitMs` has passed. */
function ended(response: ServerResponse, limitMs: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, limitMs);
    response.once("close", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      response.off("drain", done);
      response.off("close", done);
      resolve();
    };
    response.once("drain", done);
    response.once("close", done);
  });
}

function anthropicModels() {
  const data = models.map((id) => ({ type: "model", id, display_name: id, created_at: modelsCreatedAt }));
  return { data, has_more: false, first_id: models[0], last_id: models.at(-1) };
}

function openaiModels() {
  const created = Date.parse(modelsCreatedAt) / 1000;
  return { object: "list", data: models.map((id) => ({ id, object: "model", created, owned_by: "open-inspect" })) };
}
