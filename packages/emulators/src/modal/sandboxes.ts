/** All sandboxes of the emulator: unique names, lookups, lists, bounded memory of ended ones. Knows nothing of gRPC messages. */
import { Status } from "nice-grpc";
import { fail } from "./rpc.ts";
import { endings, type Sandbox, type SandboxPorts, type SandboxSpec, startSandbox } from "./sandbox.ts";
import { within } from "./waiting.ts";

const keptEnded = 500;
const endLimitMs = 20_000;

interface SandboxFilter {
  /** null: any */
  appIds: Set<string> | null;
  tags: Record<string, string>;
  /** seconds; 0: no bound */
  before: number;
  includeEnded: boolean;
}

export interface Sandboxes {
  /** Fails with ALREADY_EXISTS while another sandbox of the app holds the name. */
  create(spec: Omit<SandboxSpec, "createdAt">): Promise<Sandbox>;
  /** Fails with NOT_FOUND. */
  get(id: string): Sandbox;
  byTask(taskId: string): Sandbox;
  /** the running one of that name, else with `includeEnded` the latest that ended */
  byName(appId: string, name: string, includeEnded: boolean): Sandbox | null;
  /** newest first */
  list(filter: SandboxFilter): Sandbox[];
  endAll(): Promise<void>;
}

export interface SandboxesDeps extends SandboxPorts {
  now: () => number;
  log: (line: string) => void;
}

export function createSandboxes({ now, log, ...ports }: SandboxesDeps): Sandboxes {
  const byId = new Map<string, Sandbox>();
  const byTask = new Map<string, Sandbox>();
  const names = new Set<string>();
  const starting = new Set<Promise<Sandbox>>();
  let lastCreatedAt = 0;
  let closed = false;

  const newestFirst = () => [...byId.values()].reverse();
  const isLive = (sandbox: Sandbox) => sandbox.state.status !== "ended";

  function forgetOldest(): void {
    const ended = [...byId.values()].filter((sandbox) => !isLive(sandbox));
    for (const sandbox of ended.slice(0, Math.max(0, ended.length - keptEnded))) {
      byId.delete(sandbox.spec.id);
      byTask.delete(sandbox.spec.taskId);
    }
  }

  async function create(given: Omit<SandboxSpec, "createdAt">): Promise<Sandbox> {
    if (closed) fail(Status.UNAVAILABLE, "The emulator is stopping.");
    const held = given.name === null ? null : `${given.appId}/${given.name}`;
    if (held !== null && names.has(held)) {
      fail(Status.ALREADY_EXISTS, `A sandbox named '${given.name}' is already running in this app.`);
    }
    if (held !== null) names.add(held);
    lastCreatedAt = Math.max(now() / 1000, lastCreatedAt + 0.000_01);
    const start = startSandbox(ports, { ...given, createdAt: lastCreatedAt });
    starting.add(start);
    try {
      const sandbox = await start;
      byId.set(given.id, sandbox);
      byTask.set(given.taskId, sandbox);
      void sandbox.ended.then((result) => {
        if (held !== null) names.delete(held);
        log(`sandbox ${given.id} ended: ${result.exception || "finished"}`);
        forgetOldest();
      });
      log(`sandbox ${given.id} runs${given.name === null ? "" : ` as ${given.name}`}`);
      return sandbox;
    } catch (cause) {
      if (held !== null) names.delete(held);
      throw cause;
    } finally {
      starting.delete(start);
    }
  }

  return {
    create,
    get: (id) => byId.get(id) ?? fail(Status.NOT_FOUND, `Sandbox ${id} is unknown.`),
    byTask: (taskId) => byTask.get(taskId) ?? fail(Status.NOT_FOUND, `Task ${taskId} is unknown.`),
    byName: (appId, name, includeEnded) => {
      const matching = newestFirst().filter(({ spec }) => spec.appId === appId && spec.name === name);
      return matching.find(isLive) ?? (includeEnded ? (matching[0] ?? null) : null);
    },
    list: ({ appIds, tags, before, includeEnded }) =>
      newestFirst().filter(
        (sandbox) =>
          (includeEnded || isLive(sandbox)) &&
          (appIds === null || appIds.has(sandbox.spec.appId)) &&
          (before === 0 || sandbox.spec.createdAt < before) &&
          Object.entries(tags).every(([name, value]) => sandbox.tags[name] === value),
      ),
    endAll: async () => {
      closed = true;
      await Promise.allSettled(starting);
      const ended = Promise.all([...byId.values()].map((sandbox) => sandbox.end(endings.terminated)));
      await within(ended, endLimitMs, new AbortController().signal);
      for (const sandbox of byId.values()) sandbox.forget();
    },
  };
}
