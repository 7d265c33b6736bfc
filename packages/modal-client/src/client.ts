/**
 * The control plane's typed door to the gateway: signs each call, gives it a deadline and classifies every failure once.
 * Runs in workerd: Web Crypto and fetch only. Knows nothing of Modal, of retries by schedule or of builds and sessions.
 */
import {
  type CreateSandboxRequest,
  type CreateSandboxResponse,
  createSandboxResponseSchema,
  type GatewayErrorBody,
  type GatewayHealth,
  gatewayErrorBodySchema,
  gatewayHealthSchema,
  type SandboxList,
  type SandboxLogs,
  type SandboxStatus,
  type SnapshotRequest,
  type SnapshotResponse,
  type StartSandboxRequest,
  type StartSandboxResponse,
  sandboxListSchema,
  sandboxLogsSchema,
  sandboxStatusSchema,
  snapshotResponseSchema,
  startSandboxResponseSchema,
} from "@open-inspect/protocol";
import { z } from "zod";
import { importSigningKey, type SigningKey, sign } from "./signing.ts";

/** Why a call failed: `kind` says whether a repetition can help, `code` what it was, `hint` what a person can do. */
export type GatewayFailure = GatewayErrorBody["error"];
/** Calls never throw for what the world does; they answer with the failure. */
export type GatewayResult<T> = { ok: true; value: T } | { ok: false; error: GatewayFailure };

/** `signal` ends a call early; `deadlineMs` replaces the call's own limit. */
export interface CallOptions {
  signal?: AbortSignal;
  deadlineMs?: number;
}

export interface StatusOptions extends CallOptions {
  runtime?: boolean;
}

export interface GatewayClientOptions {
  /** without a trailing slash and without `/v1` */
  baseUrl: string;
  /** MODAL_API_SECRET, the same on both sides */
  secret: string;
  fetch?: (url: string, init: RequestInit) => Promise<Response>;
  /** milliseconds since the epoch */
  now?: () => number;
  randomBytes?: (length: number) => Uint8Array;
}

/** Every call is safe to repeat. */
export interface GatewayClient {
  health(options?: CallOptions): Promise<GatewayResult<GatewayHealth>>;
  /** A second call with the same name answers the same sandbox while it runs, with `created: false`. */
  create(name: string, request: CreateSandboxRequest, options?: CallOptions): Promise<GatewayResult<CreateSandboxResponse>>;
  /** Starts the runtime once in the sandbox's life; a repetition answers `started: false`. */
  start(sandboxId: string, request: StartSandboxRequest, options?: CallOptions): Promise<GatewayResult<StartSandboxResponse>>;
  /** A sandbox that the provider no longer knows is `ended` for an `unknown` reason. With `runtime` also whether that still runs. */
  status(sandboxId: string, options?: StatusOptions): Promise<GatewayResult<SandboxStatus>>;
  /** What the runtime printed from a byte offset on; at most 256 KiB a call. */
  logs(sandboxId: string, offset: number, options?: CallOptions): Promise<GatewayResult<SandboxLogs>>;
  /**
   * One image per sandbox: a repetition joins the running snapshot or answers the finished one. `permanent` with code
   * `snapshot_ambiguous` means that an image may or may not exist and that none will be made again for this sandbox.
   */
  snapshot(sandboxId: string, request: SnapshotRequest, options?: CallOptions): Promise<GatewayResult<SnapshotResponse>>;
  /** Ending what has ended, or what is not known, succeeds. */
  terminate(sandboxId: string, options?: CallOptions): Promise<GatewayResult<void>>;
  /** Running sandboxes of the app that carry all of these tags. */
  list(tags: Record<string, string>, options?: CallOptions): Promise<GatewayResult<SandboxList>>;
  /** Deleting an image that is not known succeeds. */
  deleteImage(providerImageId: string, options?: CallOptions): Promise<GatewayResult<void>>;
}

/** Limits of the calls, a little above what the gateway allows itself for the same work. */
export const callDeadlinesMs = {
  health: 5_000,
  create: 75_000,
  start: 40_000,
  status: 35_000,
  logs: 40_000,
  terminate: 35_000,
  list: 45_000,
  deleteImage: 35_000,
  /** one request for a snapshot, of which there may be many: the gateway holds none open for longer than 80 s */
  snapshotRequest: 110_000,
  /** added to the snapshot's own limit */
  snapshotMargin: 60_000,
} as const;

/** 256 KiB of log can grow sixfold as JSON. */
const maximumResponseBytes = 2 * 1024 * 1024;
const snapshotJoinPauseMs = 250;
const nothing = z.object({}).transform(() => undefined);

/** @throws RangeError on the first call when the secret is too short to be one. */
export function createGatewayClient(options: GatewayClientOptions): GatewayClient {
  const base = new URL(options.baseUrl);
  const prefix = base.pathname.replace(/\/$/, "");
  const send = options.fetch ?? ((url: string, init: RequestInit) => fetch(url, init));
  const now = options.now ?? Date.now;
  const randomBytes = options.randomBytes ?? ((length: number) => crypto.getRandomValues(new Uint8Array(length)));
  let key: Promise<SigningKey> | undefined;

  async function call<T>(
    method: "GET" | "PUT" | "POST" | "DELETE",
    path: string,
    content: object | null,
    schema: z.ZodType<T>,
    deadlineMs: number,
    { signal, deadlineMs: ownDeadlineMs }: CallOptions = {},
  ): Promise<GatewayResult<T>> {
    key ??= importSigningKey(options.secret);
    const url = new URL(`${base.origin}${prefix}/v1${path}`);
    const target = url.pathname + url.search;
    const body = new Uint8Array(new TextEncoder().encode(content === null ? "" : JSON.stringify(content)));
    const limitMs = ownDeadlineMs ?? deadlineMs;
    // Not AbortSignal.timeout: its timer cannot be cleared, and a pending timer keeps a Durable Object from hibernating.
    const limiter = new AbortController();
    const limit = limiter.signal;
    const timer = setTimeout(() => limiter.abort(), limitMs);
    try {
      const headers = await sign(await key, { method, target, body }, now(), randomBytes(16));
      const response = await send(url.href, {
        method,
        headers: content === null ? headers : { ...headers, "content-type": "application/json" },
        ...(content === null ? {} : { body }),
        redirect: "manual",
        signal: signal === undefined ? limit : AbortSignal.any([limit, signal]),
      });
      return classifyResponse(response.status, await readBounded(response), schema);
    } catch (error) {
      if (signal?.aborted)
        return failed("transient", "gateway_call_cancelled", "The call to the gateway was cancelled.", "Repeat it.");
      if (limit.aborted)
        return failed(
          "transient",
          "gateway_timeout",
          `The gateway did not answer within ${limitMs} ms.`,
          "Repeat the call; if it goes on, look at the gateway's log.",
        );
      return failed(
        "transient",
        "gateway_unreachable",
        `The gateway cannot be reached: ${describe(error)}.`,
        "Check that the gateway runs and that GATEWAY_URL names it.",
      );
    } finally {
      clearTimeout(timer);
    }
  }

  return {
    health: (own) => call("GET", "/health", null, gatewayHealthSchema, callDeadlinesMs.health, own),
    create: (name, request, own) =>
      call("PUT", `/sandboxes/${encodeURIComponent(name)}`, request, createSandboxResponseSchema, callDeadlinesMs.create, own),
    start: (id, request, own) =>
      call("POST", `${sandboxPath(id)}/start`, request, startSandboxResponseSchema, callDeadlinesMs.start, own),
    status: (id, own) =>
      call(
        "GET",
        `${sandboxPath(id)}${own?.runtime ? "?runtime=1" : ""}`,
        null,
        sandboxStatusSchema,
        callDeadlinesMs.status,
        own,
      ),
    logs: (id, offset, own) =>
      call("GET", `${sandboxPath(id)}/logs?offset=${offset}`, null, sandboxLogsSchema, callDeadlinesMs.logs, own),
    async snapshot(id, request, own = {}) {
      const deadlineMs = own.deadlineMs ?? request.timeoutMs + callDeadlinesMs.snapshotMargin;
      const until = now() + deadlineMs;
      for (;;) {
        const left = { ...own, deadlineMs: Math.max(1, Math.min(until - now(), callDeadlinesMs.snapshotRequest)) };
        const result = await call("POST", `${sandboxPath(id)}/snapshot`, request, snapshotResponseSchema, deadlineMs, left);
        // A proxy in between may cut long requests, so the gateway answers early and the call is joined again.
        const joinable = !result.ok && ["snapshot_in_progress", "gateway_timeout"].includes(result.error.code);
        if (!joinable || now() + snapshotJoinPauseMs >= until) return result;
        await new Promise((resolve) => setTimeout(resolve, snapshotJoinPauseMs));
      }
    },
    terminate: (id, own) => call("POST", `${sandboxPath(id)}/terminate`, {}, nothing, callDeadlinesMs.terminate, own),
    list(tags, own) {
      const query = new URLSearchParams(Object.entries(tags).map(([name, value]): [string, string] => [`tag.${name}`, value]));
      return call("GET", `/sandboxes?${query}`, null, sandboxListSchema, callDeadlinesMs.list, own);
    },
    deleteImage: (id, own) =>
      call("DELETE", `/images/${encodeURIComponent(id)}`, null, nothing, callDeadlinesMs.deleteImage, own),
  };
}

const sandboxPath = (sandboxId: string): string => `/sandboxes/${encodeURIComponent(sandboxId)}`;

/** Pure: what an HTTP answer means. An answer that is not the gateway's own is judged by its status alone. */
export function classifyResponse<T>(status: number, text: string, schema: z.ZodType<T>): GatewayResult<T> {
  const content = parseJson(text);
  if (status >= 200 && status < 300) {
    const parsed = schema.safeParse(content);
    if (parsed.success) return { ok: true, value: parsed.data };
    return failed(
      "permanent",
      "gateway_bad_answer",
      "The gateway's answer does not have the expected shape.",
      "Deploy the control plane and the gateway from the same version.",
    );
  }
  const body = gatewayErrorBodySchema.safeParse(content);
  if (body.success) return { ok: false, error: body.data.error };
  const message = `The gateway answered HTTP ${status} without an explanation.`;
  const hint = "Check that GATEWAY_URL names the gateway itself and look at its log.";
  if (status >= 500 || status === 408 || status === 429) return failed("transient", "gateway_unavailable", message, hint);
  if (status === 401 || status === 403) return failed("unauthorized", "gateway_unauthorized", message, hint);
  return failed("permanent", "gateway_unexpected_status", message, hint);
}

function failed(kind: GatewayFailure["kind"], code: string, message: string, hint: string): { ok: false; error: GatewayFailure } {
  return { ok: false, error: { kind, code, message, hint } };
}

async function readBounded(response: Response): Promise<string> {
  if (response.body === null) return "";
  const decoder = new TextDecoder();
  let text = "";
  let size = 0;
  for (const reader = response.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    size += value.byteLength;
    if (size > maximumResponseBytes) {
      await reader.cancel();
      throw new Error("its answer is too large");
    }
    text += decoder.decode(value, { stream: true });
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return "unknown cause";
  const cause = error.cause instanceof Error ? `: ${error.cause.message}` : "";
  return `${error.message}${cause}`.slice(0, 300);
}
