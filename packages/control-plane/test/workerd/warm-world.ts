/** What tests of warm sandboxes share: an image, sessions of members, runtimes that get ready and prove the branch's head again. */
import { type ImageState, type PoolView, type RuntimeConfig, type SessionList, type SessionView } from "@open-inspect/protocol";
import {
  connectRuntime,
  eventually,
  type FakeRuntime,
  gateway,
  json,
  playWholeBuild,
  someSha,
  startedSandbox,
} from "./harness.ts";

export const settingsPath = "/api/repositories/acme/shop/session-settings";
export const ready = { type: "session.ready", sha: someSha("b"), setupRan: false, agentVersion: "1" } as const;

export const view = async (id: string) => (await json<SessionView>("GET", `/api/sessions/${id}`)).body;
export const readPool = async () => (await json<PoolView>("GET", settingsPath)).body;
export const listed = async () => (await json<SessionList>("GET", "/api/sessions")).body.sessions.map((one) => one.id);
export const runningSandboxes = async () =>
  (await gateway({ do: "state" })).sandboxes.filter((one) => one.status.status === "running");

export async function buildImage(sha?: string): Promise<ImageState> {
  const { body } = await json<ImageState>("PUT", "/api/repositories/acme/shop/image", { enabled: true });
  await playWholeBuild(await connectRuntime((await startedSandbox(body.latestBuild?.id ?? "")).config), sha);
  return eventually(async () => {
    const { body: state } = await json<ImageState>("GET", "/api/repositories/acme/shop/image");
    return state.active ? state : null;
  }, "an image is active");
}

export const setPool = (poolSize: number, more: object = {}) =>
  json<PoolView>("PUT", settingsPath, { idleStopMinutes: 10, poolSize, poolHours: [], poolTimeZone: "UTC", ...more });

export const untilPool = (what: string, is: (pool: PoolView) => boolean) =>
  eventually(async () => {
    const pool = await readPool();
    return is(pool) && pool;
  }, `the pool ${what}`);

/** Sessions that a runtime was started for and that are in no list: members of the pool, and what is reserved. */
export async function hiddenSessions(count: number): Promise<string[]> {
  return eventually(async () => {
    const shown = new Set(await listed());
    const sandboxes = (await runningSandboxes()).flatMap((one) => (one.config?.mode === "session" ? [one.config] : []));
    const hidden = sandboxes.map((one) => one.sessionId).filter((id) => !shown.has(id));
    return hidden.length === count && hidden;
  }, `${count} sandboxes stand for nobody yet`);
}

export async function getReady(id: string): Promise<FakeRuntime> {
  const { config } = await startedSandbox(id);
  const runtime = await connectRuntime(config);
  runtime.event(ready);
  return runtime;
}

/** The runtime brings the workspace to the branch's head again, as it is asked to when its sandbox becomes a session. */
export async function proveAgain(runtime: FakeRuntime): Promise<void> {
  await eventually(async () => runtime.received.some((one) => one.type === "sync"), "a sync is asked for");
  runtime.event(ready);
}

export const untilReady = (id: string) =>
  eventually(async () => {
    const now = await view(id);
    return now.status === "ready" && now;
  }, `${id} is ready`);

export const sessionOf = (config: RuntimeConfig): string => (config.mode === "session" ? config.sessionId : "");
