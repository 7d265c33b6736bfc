/**
 * Many sessions begun in one moment while the provider limits the rate of its creates: how many get ready, how long they waited, what the others
 * say. The rate is what this machine bears: a hundred agents at once are more than it has memory for, so each session is stopped when it is ready.
 */
import { type SessionSummary, sessionListSchema } from "../../packages/protocol/src/index.ts";
import { createApi, untilImageOf } from "../api.ts";
import { type BenchInput } from "./start.ts";

const minute = 60_000;
const lookEveryMs = 1_000;
/** by then a session that was refused once says that it waits */
const refusedByMs = 5_000;
/** above the time for which a session waits for its provider */
const limitMs = 20 * minute;

export interface BurstOptions {
  sessions: number;
  /** creates that the provider takes per second */
  rate: number;
}

export async function benchBurst({ system, repository, say }: BenchInput, { sessions: total, rate }: BurstOptions) {
  const api = createApi(system.url);
  const head = (await api.branches(repository)).branches[0]?.sha ?? "";
  await api.setImage(repository, true);
  await untilImageOf(api, repository, head, 15 * minute);
  await limitRate(system.modalAdminUrl, rate);

  const begunAt = performance.now();
  const begun = await Promise.allSettled(
    Array.from({ length: total }, async () => {
      const at = performance.now();
      const { id } = await api.startSession({ repository });
      return { id, acceptedMs: performance.now() - at };
    }),
  );
  const accepted = begun.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
  say(`${accepted.length} of ${total} were accepted within ${Math.round(performance.now() - begunAt)} ms`);
  for (const one of begun) if (one.status === "rejected") say(`not accepted: ${one.reason}`);
  await new Promise((resolve) => setTimeout(resolve, refusedByMs));
  const details = await Promise.all(accepted.map(async ({ id }) => (await api.session(id)).phases[0]?.detail));
  const waiting = details.filter((detail) => detail === "waiting for the provider").length;
  say(`${waiting} wait for the provider`);

  const open = new Set(accepted.map(({ id }) => id));
  const ready: SessionSummary[] = [];
  const failures: Record<string, number> = {};
  let mostAtOnce = 0;
  for (const until = Date.now() + limitMs; open.size > 0 && Date.now() < until; ) {
    await new Promise((resolve) => setTimeout(resolve, lookEveryMs));
    const all = await listAll(system.url);
    mostAtOnce = Math.max(mostAtOnce, all.filter((one) => ["connecting", "syncing", "ready"].includes(one.status)).length);
    for (const one of all.filter(({ id }) => open.has(id))) {
      if (one.status === "ready") {
        open.delete(one.id);
        ready.push(one);
        await api.stopSession(one.id);
      } else if (one.status === "failed" || one.status === "stopped") {
        open.delete(one.id);
        const { failure } = await api.session(one.id);
        const cause = failure?.code ?? "no cause";
        failures[cause] = (failures[cause] ?? 0) + 1;
        say(`failed: ${failure?.message}`);
      }
    }
    say(`${ready.length} ready, ${open.size} to come`);
  }
  const startMs = ready.map((one) => one.startMs ?? Number.NaN).sort((a, b) => a - b);
  const acceptedMs = accepted.map((one) => one.acceptedMs).sort((a, b) => a - b);
  return {
    repository,
    sessions: total,
    ready: ready.length,
    failed: Object.values(failures).reduce((sum, count) => sum + count, 0),
    failures,
    unfinished: open.size,
    providerPerSecond: rate,
    waitedForProvider: waiting,
    mostAtOnce,
    acceptedP95Ms: Math.round(share(acceptedMs, 0.95)),
    startP50Ms: Math.round(share(startMs, 0.5)),
    startP95Ms: Math.round(share(startMs, 0.95)),
    wholeMs: Math.round(performance.now() - begunAt),
  };
}

async function limitRate(adminUrl: string, perSecond: number): Promise<void> {
  const answer = await fetch(`${adminUrl}/faults`, {
    method: "POST",
    body: JSON.stringify({ kind: "rate_limit", method: "SandboxCreateV2", perSecond, burst: 2 }),
  });
  if (!answer.ok) throw new Error(`the emulator refused the limit: ${await answer.text()}`);
}

async function listAll(url: string): Promise<SessionSummary[]> {
  const answer = await fetch(`${url}/api/sessions?limit=200`, { signal: AbortSignal.timeout(minute) });
  return sessionListSchema.parse(await answer.json()).sessions;
}

const share = (sorted: number[], part: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? Number.NaN;
