/** What tests of the whole Worker share: requests to its API, orders to the world outside, and a sandbox's runtime to play. */
import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import {
  type BridgeDown,
  type BridgeUp,
  bridgeDownSchema,
  bridgeProtocolVersion,
  emptyReplica,
  followSession,
  type RuntimeConfig,
  type RuntimeEvent,
  type SessionEvent,
  type SessionReplica,
  sessionEventSchema,
} from "@open-inspect/protocol";
import { vi } from "vitest";
import { z } from "zod";
import { type FakeSandbox, type GatewayOrder, type GatewayState } from "../fakes/gateway.ts";
import { type GitHubOrder, type GitHubState } from "../fakes/github.ts";
import { type HookOrder, type ReceivedHook } from "../fakes/hooks.ts";

export const origin = "http://127.0.0.1:8787";
export const someSha = (digit: string): string => digit.repeat(40);

export function call(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Response> {
  return exports.default.fetch(`${origin}${path}`, {
    method,
    headers: { ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
  });
}

export async function json<T>(
  method: string,
  path: string,
  body?: unknown,
): Promise<{ status: number; body: T; headers: Headers }> {
  const response = await call(method, path, body);
  return { status: response.status, body: (await response.json()) as T, headers: response.headers };
}

const order = async <T>(host: string, content: unknown): Promise<T> =>
  (await fetch(`http://${host}/__control`, { method: "POST", body: JSON.stringify(content) })).json<T>();
export const gateway = (content: GatewayOrder) => order<GatewayState>("gateway.test", content);
export const hooks = (content: HookOrder = { do: "state" }) => order<ReceivedHook[]>("hooks.test", content);
export const github = (content: GitHubOrder) => order<GitHubState>("github.test", content);

/** Asks again until the answer is there; each question is bounded by the whole. */
export async function eventually<T>(
  ask: () => Promise<T | undefined | null | false>,
  what: string,
  limitMs = 15_000,
): Promise<T> {
  const until = performance.now() + limitMs;
  // Most answers are a moment away, and asking is work that the answer waits for.
  for (let pauseMs = 2; ; pauseMs = Math.min(2 * pauseMs, 50)) {
    const answer = await ask();
    if (answer) return answer;
    if (performance.now() > until) throw new Error(`never came true: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}

/** The newest sandbox that a runtime was started in, of a build or session. */
export function startedSandbox(ownerId: string): Promise<FakeSandbox & { config: RuntimeConfig }> {
  return eventually(async () => {
    const { sandboxes } = await gateway({ do: "state" });
    const found = sandboxes.findLast(
      (one) => one.status.status === "running" && one.config !== null && ownerOf(one.config) === ownerId,
    );
    return found?.config ? { ...found, config: found.config } : null;
  }, `a runtime is started for ${ownerId}`);
}

const ownerOf = (config: RuntimeConfig): string => (config.mode === "session" ? config.sessionId : config.buildId);

export interface FakeRuntime {
  config: RuntimeConfig;
  socket: WebSocket;
  received: BridgeDown[];
  closed: { code: number } | null;
  event(event: RuntimeEvent): void;
  send(message: BridgeUp): void;
  seq: number;
}

/** Plays the runtime in a sandbox: dials with its token and says hello. */
export async function connectRuntime(
  config: RuntimeConfig,
  more: { bootId?: string; seq?: number; protocol?: number; token?: string } = {},
) {
  const response = await exports.default.fetch(config.bridgeUrl.replace(/^ws/, "http"), {
    headers: { upgrade: "websocket", authorization: `Bearer ${more.token ?? config.bridgeToken}` },
  });
  const socket = response.webSocket;
  if (!socket) throw new Error(`no upgrade: ${response.status}`);
  const runtime: FakeRuntime = {
    config,
    socket,
    received: [],
    closed: null,
    seq: more.seq ?? 0,
    send: (message) => socket.send(JSON.stringify(message)),
    event(event) {
      this.seq += 1;
      this.send({ type: "event", seq: this.seq, at: Date.now(), event });
    },
  };
  socket.addEventListener("message", ({ data }) => {
    runtime.received.push(bridgeDownSchema.parse(JSON.parse(String(data))));
  });
  socket.addEventListener("close", ({ code }) => {
    runtime.closed = { code };
  });
  socket.accept();
  const { bootId = "boot-1", protocol = bridgeProtocolVersion } = more;
  runtime.send({ type: "hello", protocol, runtimeVersion: "runtime-1", bootId });
  await eventually(
    async () => runtime.closed ?? runtime.received.some((one) => one.type === "welcome"),
    "the bridge answers hello",
  );
  return runtime;
}

/** Watches like a browser: follows every event from `since` on. */
export async function watchSession(id: string, from: SessionReplica & { after?: number } = emptyReplica, isTogether = false) {
  const query = new URLSearchParams({ after: `${from.after ?? 0}`, ...(isTogether ? { together: "1" } : {}) });
  if (from.cursor !== null) query.set("since", `${from.cursor}`);
  const response = await exports.default.fetch(`${origin}/api/sessions/${id}/events?${query}`, {
    headers: { upgrade: "websocket", origin },
  });
  const socket = response.webSocket;
  if (!socket) throw new Error(`no upgrade: ${response.status} ${await response.text()}`);
  const replica: SessionReplica = from;
  const browser = { messages: [] as SessionEvent[], lists: 0, socket, replica, closed: null as number | null };
  socket.addEventListener("message", ({ data }) => {
    const said: unknown = JSON.parse(String(data));
    if (Array.isArray(said)) browser.lists += 1;
    for (const message of z.array(sessionEventSchema).parse(Array.isArray(said) ? said : [said])) {
      browser.messages.push(message);
      browser.replica = followSession(browser.replica, message);
    }
  });
  socket.addEventListener("close", ({ code }) => {
    browser.closed = code;
  });
  socket.accept();
  return browser;
}

/** All that a good build says. */
export function playBuild(runtime: FakeRuntime, sha = someSha("a")): void {
  runtime.event({ type: "phase.started", phase: "clone" });
  runtime.event({ type: "workspace.synced", sha, bakedSha: null });
  runtime.event({ type: "phase.finished", phase: "clone", outcome: "done", durationMs: 700 });
  runtime.event({ type: "phase.started", phase: "setup" });
  runtime.event({ type: "log", phase: "setup", stream: "stdout", text: "installing\n" });
  runtime.event({ type: "phase.finished", phase: "setup", outcome: "done", durationMs: 9_000 });
  runtime.event({ type: "build.finished", sha, setupRan: true });
}

/** A build that goes well to its end: what its runtime says, and what the sandbox from the candidate says. */
export async function playWholeBuild(runtime: FakeRuntime, sha = someSha("a")): Promise<void> {
  playBuild(runtime, sha);
  await playVerification(runtime.config);
}

/** The throw-away sandbox of a build proves the candidate. */
export async function playVerification(build: RuntimeConfig): Promise<FakeRuntime> {
  const { config } = await eventually(async () => {
    const found = await startedSandbox(ownerOf(build));
    return found.config.mode === "verify" && found;
  }, "the candidate is started");
  const runtime = await connectRuntime(config);
  if (config.mode === "verify") runtime.event({ type: "verify.finished", sha: config.sha, verifyRan: false });
  return runtime;
}

export const imageObject = (scope = "repo:acme/shop") => env.IMAGES.getByName(scope);
export const sessionObject = (id: string) => env.SESSIONS.getByName(id);

/** Moves the clock that the Worker sees. Timers go on as they are. */
export function passTime(ms: number): void {
  if (!vi.isFakeTimers()) vi.useFakeTimers({ toFake: ["Date"] });
  vi.setSystemTime(Date.now() + ms);
}

/** Waits until the object's alarm is at most `withinMs` away, then moves the clock there and fires it. */
export async function ringWithin(stub: DurableObjectStub, withinMs: number): Promise<void> {
  const awayMs = await eventually(async () => {
    const at = await runInDurableObject(stub, (_, { storage }) => storage.getAlarm());
    return at !== null && at - Date.now() <= withinMs && { ms: Math.max(0, at - Date.now()) };
  }, `the alarm is at most ${withinMs} ms away`);
  passTime(awayMs.ms);
  await ring(stub);
}

/** Fires the object's alarm now, whatever time it is set to. */
export const ring = (stub: DurableObjectStub): Promise<boolean> => runDurableObjectAlarm(stub);
