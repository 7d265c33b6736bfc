/**
 * What the session's object costs between a sandbox and its browsers: events a second that are stored, acknowledged and shown, and how much later
 * they are shown, each against a bare Durable Object in the same workerd that only passes the same frames on. Gateway and GitHub are the
 * in-memory ones of the control plane's tests; the sandbox and the browsers are sockets of this process in both cases.
 */
import { type RuntimeEvent } from "../../packages/protocol/src/index.ts";
import { type Line, openEcho, startSession } from "./bridge-lines.ts";
import { startBridgeWorld } from "./bridge-world.ts";
import { sleep } from "./waits.ts";

/** what one sandbox sends in a round, for so many browsers */
const sizes = [
  { browsers: 1, events: 6_000 },
  { browsers: 10, events: 4_000 },
  { browsers: 100, events: 600 },
];
const rounds = 5;
const paced = { events: 400, everyMs: 5, browsers: 10 };

export async function benchBridge({ dataDir, say }: { dataDir: string; say: (line: string) => void }) {
  const world = await startBridgeWorld(dataDir, say);
  const { url } = world;
  try {
    const figures: {
      browsers: number;
      session: number;
      echo: number;
      batchedEcho: number;
      ratio: number;
      batchedRatio: number;
    }[] = [];
    for (const { browsers, events } of sizes) {
      const session = await startSession(url, world.fetch);
      const [withSession, withEcho, withBatchedEcho]: [number[], number[], number[]] = [[], [], []];
      for (let round = 0; round <= rounds; round++) {
        const echoed = await flood(await openEcho(url, browsers), events);
        const shown = await flood(await session.open(browsers), events);
        const echoedTogether = await flood(await openEcho(url, browsers, true), events);
        // The first round warms all of them up.
        if (round === 0) continue;
        withEcho.push(echoed);
        withSession.push(shown);
        withBatchedEcho.push(echoedTogether);
      }
      const [shown, echoed, echoedTogether] = [median(withSession), median(withEcho), median(withBatchedEcho)];
      figures.push({
        ...{ browsers, session: Math.round(shown), echo: Math.round(echoed), batchedEcho: Math.round(echoedTogether) },
        ...{ ratio: round2(shown / echoed), batchedRatio: round2(shown / echoedTogether) },
      });
      session.close();
      say(`${browsers} browsers: ${JSON.stringify(figures.at(-1))}`);
    }
    const session = await startSession(url, world.fetch);
    const [echoMs = [], sessionMs = []] = await pace([await openEcho(url, paced.browsers), await session.open(paced.browsers)]);
    session.close();
    return {
      ratio: Math.min(...figures.map((one) => one.ratio)),
      batchedRatio: Math.min(...figures.map((one) => one.batchedRatio)),
      p95AddedMs: round2(quantile(sessionMs, 0.95) - quantile(echoMs, 0.95)),
      /** events a second, by browsers */
      eventsPerSecond: figures,
      latencyMs: {
        session: { p50: round2(quantile(sessionMs, 0.5)), p95: round2(quantile(sessionMs, 0.95)) },
        echo: { p50: round2(quantile(echoMs, 0.5)), p95: round2(quantile(echoMs, 0.95)) },
      },
    };
  } finally {
    await world.stop();
  }
}

async function flood(line: Line, count: number): Promise<number> {
  const events = answer(line.promptId, count);
  const startedAt = performance.now();
  for (const event of events) {
    const blocked = line.send(event);
    if (blocked) await blocked;
  }
  await line.finish();
  const seconds = (performance.now() - startedAt) / 1_000;
  line.close();
  return count / seconds;
}

/** Milliseconds from the sandbox's send until the first browser has it, per event, of lines that take turns: whatever else the machine does hits all. */
async function pace(lines: readonly Line[]): Promise<number[][]> {
  const tookMs = lines.map((): number[] => []);
  const sentAt: number[] = [];
  for (const [which, line] of lines.entries()) {
    line.onText = (text) => {
      const at = performance.now();
      for (const [, index = ""] of text.matchAll(/#(\d+);/g)) tookMs[which]?.push(at - (sentAt[Number(index)] ?? 0));
    };
  }
  for (let index = 0; index < paced.events * lines.length; index++) {
    const line = lines[index % lines.length];
    sentAt[index] = performance.now();
    void line?.send({ type: "prompt.delta", promptId: line.promptId, partId: "p", kind: "text", delta: `#${index};` });
    await sleep(paced.everyMs);
  }
  for (const line of lines) {
    await line.finish();
    line.close();
  }
  for (const took of tookMs)
    if (took.length !== paced.events) throw new Error(`${took.length} of ${paced.events} events were shown`);
  return tookMs;
}

/** Text that grows word by word, tools that print, and each text as a whole at its end. */
function answer(promptId: string, count: number): RuntimeEvent[] {
  const events: RuntimeEvent[] = [];
  for (let part = 0; events.length < count; part++) {
    const words = Array.from({ length: 44 }, (_, at) => `word ${at} of part ${part}, `);
    const partId = `text-${part}`;
    for (const delta of words) events.push({ type: "prompt.delta", promptId, partId, kind: "text", delta });
    events.push({ type: "prompt.part", promptId, part: { kind: "text", id: partId, text: words.join("") } });
    for (let step = 1; step <= 5; step++) {
      const status = step === 5 ? "completed" : "running";
      const said = { title: "npm test", input: "npm test", output: "a line of output\n".repeat(12 * step) };
      events.push({ type: "prompt.part", promptId, part: { kind: "tool", id: `tool-${part}`, tool: "bash", status, ...said } });
    }
  }
  return events.slice(0, count);
}

const round2 = (value: number) => Math.round(value * 100) / 100;
function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}
const median = (values: readonly number[]) => quantile(values, 0.5);
