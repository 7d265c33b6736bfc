/**
 * How fast a setup that prints 100 MB of numbered lines gets through to a reader of its log, and what that costs the runtime in memory. The
 * whole way is real: script, pipes, runtime in its sandbox, bridge, the build's object with its store, the dashboard's socket. What is over
 * the cap of a log is left out on that way; that every line is in its place or accounted for by a gap is checked on what arrived.
 *
 * What the cap means: of one step's output the first 2 MiB pass as they come (`headBytes` of the runtime), then 16 KiB every two seconds, and the
 * last 128 KiB at its end. `mbPerS` is how fast a flood is swallowed, `deliveredMbPerS` how fast text below the cap passes as text,
 * `floodDeliveredMbPerS` what of a flood is seen meanwhile, and `storedMbPerS` how fast the kept log is read again.
 */
import { join } from "node:path";
import { type BuildView, buildEventSchema, buildLogsSchema, type LogEntry } from "../../packages/protocol/src/index.ts";
import { createApi, until } from "../api.ts";
import { pushCommit } from "../person.ts";
import { type BenchInput } from "./start.ts";

/** of `seq 1 lines`, newlines included: 100 MB less one byte */
const lines = 12_345_678;
const printedBytes = 99_999_999;
/** under the cap by more than is sent at once, so that all of them and the line behind them arrive */
const burstLines = 270_000;
const megabyte = 1_000_000;
const buildDeadlineMs = 10 * 60_000;

/** The parent of a script is the runtime; the peak of its memory is the kernel's own record. Its clock is this machine's. */
const setup = `#!/bin/sh
kib() { sed -n "s/^$1:[^0-9]*\\([0-9]*\\).*/\\1/p" /proc/$PPID/status; }
echo "begin $(kib VmRSS) $(date +%s%3N)"
seq 1 ${burstLines}
sleep 1
echo "flood $(date +%s%3N)"
seq ${burstLines + 1} ${lines}
echo "end $(kib VmHWM)"
`;

export async function benchLogs({ system, dataDir, repository, runs, say }: BenchInput) {
  const api = createApi(system.url);
  const folder = join(dataDir, "person");
  const measured: (Awaited<ReturnType<typeof readBuild>> & Awaited<ReturnType<typeof readStored>>)[] = [];
  const file = { content: setup, executable: true };
  await pushCommit(system, folder, repository, "Print a lot", { ".openinspect/setup.sh": file });
  // A refresh.sh of the repository would take the place of what prints, in builds on the image before.
  await api.setSettings(repository, { limitMinutes: 30, keptImages: 3, rebuildMode: "clean" });
  await api.setImage(repository, true);
  for (let run = 1; run <= runs; run++) {
    const id = await until("a build", buildDeadlineMs, async () => {
      const { latestBuild } = await api.image(repository);
      return latestBuild?.finishedAt === null ? latestBuild.id : null;
    });
    const live = await readBuild(`${system.url.replace(/^http/, "ws")}/api/builds/${id}/events?after=0`);
    const read = { ...live, ...(await readStored(`${system.url}/api/builds/${id}/logs`)) };
    say(
      `${read.mbPerS.toFixed(1)} MB/s swallowed, ${read.deliveredMbPerS.toFixed(1)} MB/s delivered (${read.burstMs} ms), ` +
        `stored text read at ${read.storedMbPerS.toFixed(1)} MB/s, memory +${read.rssGrowthMb.toFixed(1)} MB, ${read.deliveredMb.toFixed(2)} MB delivered`,
    );
    measured.push(read);
    if (run < runs) await api.rebuild(repository);
  }
  const worst = (pick: (one: (typeof measured)[number]) => number, of: (...values: number[]) => number) =>
    Number(of(...measured.map(pick)).toFixed(2));
  return {
    repository,
    printedMb: Math.round(printedBytes / megabyte),
    /** of the slowest run: what was printed at once, by the time until the reader had its last line */
    mbPerS: worst((one) => one.mbPerS, Math.min),
    /** of the run that grew most: the runtime's peak over what it had before */
    rssGrowthMb: worst((one) => one.rssGrowthMb, Math.max),
    /** of the slowest run: text under the cap, by the time from its first byte in the script until the reader had it, but for the last piece */
    deliveredMbPerS: worst((one) => one.deliveredMbPerS, Math.min),
    /** of the slowest run: text that the reader got while the flood went on, which the cap allows for */
    floodDeliveredMbPerS: worst((one) => one.floodDeliveredMbPerS, Math.min),
    /** of the slowest run: the kept log, read page by page over REST */
    storedMbPerS: worst((one) => one.storedMbPerS, Math.min),
    storedMb: worst((one) => one.storedMb, Math.min),
    burstMs: worst((one) => one.burstMs, Math.max),
    burstMb: Number((bytesBetween(1, burstLines + 1) / megabyte).toFixed(2)),
    /** what of it reached the reader as text; a gap accounts for the rest */
    deliveredMb: worst((one) => one.deliveredMb, Math.min),
    gaps: worst((one) => one.gaps, Math.max),
    runs,
  };
}

/** Follows a build's log to its end, as the dashboard does. */
function readBuild(url: string) {
  const found = Promise.withResolvers<ReturnType<typeof checkLog> & ReturnType<typeof timesOf>>();
  const socket = new WebSocket(url);
  const arrivals: Arrival[] = [];
  const finish = (build: BuildView) => {
    if (build.failure) return found.reject(new Error([build.failure.message, ...build.failure.lines].join("\n")));
    try {
      found.resolve({ ...checkLog(arrivals.map(({ entry }) => entry)), ...timesOf(arrivals) });
    } catch (error) {
      found.reject(error);
    }
  };
  socket.addEventListener("message", ({ data }) => {
    const event = buildEventSchema.parse(JSON.parse(String(data)));
    const at = Date.now();
    if (event.type === "log") for (const entry of event.entries) if (entry.phase === "setup") arrivals.push({ at, entry });
    if (event.type === "build" && event.build.finishedAt !== null) finish(event.build);
  });
  socket.addEventListener("close", () => found.reject(new Error("the log's socket was closed")));
  const timer = setTimeout(() => found.reject(new Error("the build did not end in time")), buildDeadlineMs);
  return found.promise.finally(() => {
    clearTimeout(timer);
    socket.close();
  });
}

interface Arrival {
  at: number;
  entry: LogEntry;
}

/** From when the script began to print until the reader had the last line of it. */
function timesOf(arrivals: readonly Arrival[]) {
  const stdout = arrivals.filter(({ entry }) => entry.stream === "stdout");
  const bytesOf = (some: readonly Arrival[]) => some.reduce((sum, { entry }) => sum + entry.text.length, 0);
  const find = (line: RegExp) => {
    for (const [index, { at, entry }] of stdout.entries()) {
      const found = line.exec(entry.text);
      if (found) return { at, index, printedAt: Number(found[1]) };
    }
    throw new Error(`no text with ${line} arrived`);
  };
  const [begin, burst] = [find(/^begin \d+ (\d+)$/m), find(new RegExp(`^${burstLines}$`, "m"))];
  const [flood, end] = [find(/^flood (\d+)$/m), find(/^end \d+$/m)];
  const burstBytes = bytesBetween(1, burstLines + 1);
  // The last piece waits a moment for more of it: that is a delay, not the rate.
  const before = stdout.slice(0, burst.index);
  const during = stdout.filter(({ at }) => at >= flood.printedAt && at <= end.at);
  const perSecond = (bytes: number, ms: number) => bytes / megabyte / (ms / 1000);
  return {
    mbPerS: perSecond(printedBytes - burstBytes, end.at - flood.printedAt),
    burstMs: burst.at - begin.printedAt,
    deliveredMbPerS: perSecond(bytesOf(before), (before.at(-1)?.at ?? 0) - begin.printedAt),
    floodDeliveredMbPerS: perSecond(bytesOf(during), end.at - flood.printedAt),
  };
}

/** The log as it is kept, from its beginning to its end. */
async function readStored(url: string) {
  const startedAt = performance.now();
  let bytes = 0;
  for (let after = 0; ; ) {
    const page = buildLogsSchema.parse(await (await fetch(`${url}?after=${after}`)).json());
    for (const { text } of page.entries) bytes += text.length;
    if (page.entries.length === 0) break;
    after = page.next;
  }
  return { storedMb: bytes / megabyte, storedMbPerS: bytes / megabyte / ((performance.now() - startedAt) / 1000) };
}

/** Every number is followed by the next one or by a gap of just the bytes that are missing; throws where that is not so. */
function checkLog(entries: readonly LogEntry[]) {
  let [expected, before, peak, deliveredBytes, gapBytes, gaps] = [1, 0, 0, 0, 0, 0];
  let text = "";
  const take = () => {
    const pieces = text.split("\n");
    text = pieces.pop() ?? "";
    for (const line of pieces) {
      const [word = "", kib] = line.split(" ");
      if (word === "begin") before = Number(kib);
      else if (word === "end") peak = Number(kib);
      else if (word !== "flood") {
        const missing = gapBytes > 0 ? bytesBetween(expected, Number(word)) : 0;
        if (missing !== gapBytes) throw new Error(`line ${expected} is followed by ${line}, with a gap of ${gapBytes} bytes`);
        if (gapBytes === 0 && Number(word) !== expected) throw new Error(`line ${expected} was expected, there is ${line}`);
        expected = Number(word) + 1;
        gapBytes = 0;
      }
    }
  };
  for (const { stream, text: piece } of entries) {
    if (stream === "gap") {
      if (text !== "") throw new Error(`a line is cut at a gap: ${text}`);
      gapBytes += Number.parseInt(piece, 10);
      gaps++;
    } else if (stream === "stdout") {
      deliveredBytes += piece.length;
      text += piece;
      take();
    }
  }
  if (expected !== lines + 1) throw new Error(`the last line is ${expected - 1} instead of ${lines}`);
  return { rssGrowthMb: ((peak - before) * 1024) / megabyte, deliveredMb: deliveredBytes / megabyte, gaps };
}

/** of the lines from `first` to before `next` */
function bytesBetween(first: number, next: number): number {
  let bytes = 0;
  for (let digits = 1; digits <= 9; digits++) {
    const from = Math.max(first, 10 ** (digits - 1));
    const to = Math.min(next, 10 ** digits);
    if (to > from) bytes += (to - from) * (digits + 1);
  }
  return bytes;
}
