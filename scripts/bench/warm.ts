/**
 * From the first keystroke to the first token of the answer: a session whose sandbox was reserved while its prompt was typed and one from the
 * repository's pool, against a session from its image and a cold one. Typing takes the same time in all of them.
 */
import {
  poolViewSchema,
  type Reservation,
  reservationSchema,
  type SessionSettings,
  sessionEventSchema,
} from "../../packages/protocol/src/index.ts";
import { createApi, until, untilImageOf } from "../api.ts";
import { type System } from "../system.ts";
import { type BenchInput } from "./start.ts";

const minute = 60_000;
/** what a short prompt takes */
const typingMs = 6_000;
const coldRuns = 2;
const prompt = "Say hello in one sentence.";

type Kind = "cold" | "image" | "typing" | "pool";

export async function benchWarm({ system, repository, runs, say }: BenchInput) {
  const api = createApi(system.url);
  const head = (await api.branches(repository)).branches[0]?.sha ?? "";
  const times: Record<Kind, number[]> = { cold: [], image: [], typing: [], pool: [] };

  async function run(kind: Kind): Promise<void> {
    const keystrokeAt = performance.now();
    const reservation = kind === "typing" ? (await reserve(system, repository)).reservation : undefined;
    await new Promise((resolve) => setTimeout(resolve, typingMs - (performance.now() - keystrokeAt)));
    const sentAt = performance.now();
    const { id } = await api.startSession({ repository, prompt, ...(reservation === undefined ? {} : { reservation }) });
    const tokenAt = await firstToken(system, id);
    const { receipt, cold } = await api.session(id);
    const warm = receipt?.warm ?? null;
    const expected = kind === "typing" || kind === "pool" ? kind : null;
    if (warm !== expected || (receipt?.startedFrom === "base") !== (kind === "cold")) {
      throw new Error(`a ${kind} session was warm by ${warm} and started from ${receipt?.startedFrom}: ${cold?.message}`);
    }
    times[kind].push(tokenAt - sentAt);
    say(`${kind} ${Math.round(tokenAt - sentAt)} ms from sent to the first token`);
    await api.stopSession(id);
    await until(`the end of ${id}`, minute, async () => ((await api.session(id)).status === "stopped" ? true : null));
  }

  for (let index = 0; index < coldRuns; index++) await run("cold");
  await api.setImage(repository, true);
  await untilImageOf(api, repository, head, 15 * minute);
  await run("image");
  times.image = [];
  for (let index = 0; index < runs; index++) {
    await run("image");
    await run("typing");
    await setPool(system, repository, 1);
    await until("a pooled sandbox", minute, async () => ((await readPool(system, repository)).ready > 0 ? true : null));
    // Its replacement is made behind the session's start: it is switched off when the session has begun.
    await run("pool");
    await setPool(system, repository, 0);
    await until("an empty pool", minute, async () => {
      const { ready, starting } = await readPool(system, repository);
      return ready + starting === 0 ? true : null;
    });
  }
  const median = (kind: Kind): number => [...times[kind]].sort((a, b) => a - b)[times[kind].length >> 1] ?? Number.NaN;
  const sent = Object.fromEntries((Object.keys(times) as Kind[]).map((kind) => [kind, Math.round(median(kind))]));
  return {
    repository,
    runs,
    coldRuns,
    typingMs,
    /** from sent to the first token */
    sentToTokenMs: sent,
    /** from the first keystroke */
    keystrokeToTokenMs: Object.fromEntries(Object.entries(sent).map(([kind, ms]) => [kind, ms + typingMs])),
    typingOverCold: ratio(median("cold"), median("typing")),
    typingOverImage: ratio(median("image"), median("typing")),
    poolOverCold: ratio(median("cold"), median("pool")),
    poolOverImage: ratio(median("image"), median("pool")),
  };
}

const ratio = (slow: number, fast: number): number => Number((slow / fast).toFixed(2));

async function reserve(system: System, repository: string): Promise<Reservation> {
  const answer = await fetch(`${system.url}/api/sessions/reserve`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ repository }),
    signal: AbortSignal.timeout(minute),
  });
  return reservationSchema.parse(await answer.json());
}

const settingsUrl = (system: System, repository: string) => `${system.url}/api/repositories/${repository}/session-settings`;

async function readPool(system: System, repository: string) {
  const answer = await fetch(settingsUrl(system, repository), { signal: AbortSignal.timeout(minute) });
  return poolViewSchema.parse(await answer.json());
}

async function setPool(system: System, repository: string, poolSize: number): Promise<void> {
  const settings: SessionSettings = { idleStopMinutes: 10, poolSize, poolHours: [], poolTimeZone: "UTC" };
  const answer = await fetch(settingsUrl(system, repository), {
    method: "PUT",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(settings),
    signal: AbortSignal.timeout(minute),
  });
  if (!answer.ok) throw new Error(`the pool was not set: ${await answer.text()}`);
}

/** When the first character of an answer's text arrived at a browser that watches. */
function firstToken(system: System, id: string): Promise<number> {
  const socket = new WebSocket(`${system.url.replace(/^http/, "ws")}/api/sessions/${id}/events?after=0`);
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const timer = setTimeout(() => reject(new Error(`session ${id} never answered`)), 5 * minute);
  socket.addEventListener("message", ({ data }) => {
    const event = sessionEventSchema.parse(JSON.parse(String(data)));
    switch (event.type) {
      case "snapshot": {
        const parts = event.session.prompts.flatMap((one) => one.parts);
        if (parts.some((part) => part.kind === "text" && part.text !== "")) resolve(performance.now());
        break;
      }
      case "part":
        if (event.part.kind === "text" && event.part.text !== "") resolve(performance.now());
        break;
      case "delta":
        if (event.kind === "text") resolve(performance.now());
        break;
      case "session":
        if (event.session.failure !== null) reject(new Error(event.session.failure.message));
        break;
      default:
        break;
    }
  });
  socket.addEventListener("error", () => reject(new Error(`the events of ${id} cannot be watched`)));
  return promise.finally(() => {
    clearTimeout(timer);
    socket.close();
  });
}
