/**
 * How fast a setup that prints 100 MB of numbered lines gets through to a reader of its log, and what that costs the runtime in memory. The
 * whole way is real: script, pipes, runtime in its sandbox, bridge, the build's object with its store, the dashboard's socket. What is over
 * the cap of a log is left out on that way; that every line is in its place or accounted for by a gap is checked on what arrived.
 */
import { join } from "node:path";
import { type BuildView, buildEventSchema, type LogEntry } from "../../packages/protocol/src/index.ts";
import { createApi, until } from "../api.ts";
import { pushCommit } from "../person.ts";
import { type BenchInput } from "./start.ts";

/** of `seq 1 lines`, newlines included: 100 MB less one byte */
const lines = 12_345_678;
const printedBytes = 99_999_999;
/** fit under the cap with room to spare, so that all of them arrive */
const burstLines = 130_000;
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
  const measured: Awaited<ReturnType<typeof readBuild>>[] = [];
  const file = { content: setup, executable: true };
  await pushCommit(system, folder, repository, "Print a lot", { ".openinspect/setup.sh": file });
  await api.setImage(repository, true);
  for (let run = 1; run <= runs; run++) {
    const id = await until("a build", buildDeadlineMs, async () => {
      const { latestBuild } = await api.image(repository);
      return latestBuild?.finishedAt === null ? latestBuild.id : null;
    });
    const read = await readBuild(`${system.url.replace(/^http/, "ws")}/api/builds/${id}/events?after=0`);
    say(
      `${read.mbPerS.toFixed(1)} MB/s, burst ${read.burstMs} ms, memory +${read.rssGrowthMb.toFixed(1)} MB, ${read.deliveredMb.toFixed(2)} MB delivered`,
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
    /** of the slowest run: until the reader had all of the text before that, which is under the cap */
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
  const find = (line: RegExp) => {
    for (const { at, entry } of arrivals) {
      const found = entry.stream === "stdout" ? line.exec(entry.text) : null;
      if (found) return { at, printedAt: Number(found[1]) };
    }
    throw new Error(`no text with ${line} arrived`);
  };
  const [begin, burst] = [find(/^begin \d+ (\d+)$/m), find(new RegExp(`^${burstLines}$`, "m"))];
  const [flood, end] = [find(/^flood (\d+)$/m), find(/^end \d+$/m)];
  const floodBytes = printedBytes - bytesBetween(1, burstLines + 1);
  return {
    mbPerS: floodBytes / megabyte / ((end.at - flood.printedAt) / 1000),
    burstMs: burst.at - begin.printedAt,
  };
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
