/**
 * A build's log as server-sent events and as one text. Nothing is queued: each page is read from the log when the reader asks for it, so
 * a slow reader costs no memory; the build's object only signals that there is more and may sleep in between.
 */
import { type BuildLogs, type BuildView, buildEventSchema, type LogEntry } from "@open-inspect/protocol";
import { findBuild } from "../adapters/d1/builds.ts";
import { deadlines, limits } from "../domain/deadlines.ts";
import { type Env } from "../env.ts";
import { upgradeRequest } from "./upgrade.ts";

/** One build, as its readers see it. */
export interface LogSource {
  read(after: number): Promise<BuildLogs>;
  /** the build as the database has it */
  view(): Promise<BuildView | null>;
  /**
   * `changed` is called when there may be more to read, with the build where that is what changed; `lost` when nothing more will be said.
   * Answers how to stop.
   */
  watch(changed: (view: BuildView | null) => void, lost: () => void): Promise<() => void>;
}

export function buildLogSource(env: Env, scope: string, buildId: string): LogSource {
  const object = env.IMAGES.getByName(scope);
  return {
    read: (after) => object.readLogs(buildId, after),
    view: async () => (await findBuild(env.DB, buildId))?.build ?? null,
    async watch(changed, lost) {
      // A socket that the object need not stay awake for. The log does not come over it: nobody could tell it to wait.
      const { webSocket } = await object.fetch(upgradeRequest(`/events?build=${buildId}&quiet`));
      if (!webSocket) throw new Error("The build's object refused to be watched.");
      webSocket.addEventListener("message", ({ data }) => changed(viewIn(String(data))));
      webSocket.addEventListener("close", lost);
      webSocket.addEventListener("error", lost);
      webSocket.accept();
      return () => webSocket.close(1000, "done");
    },
  };
}

function viewIn(message: string): BuildView | null {
  if (!message.startsWith('{"type":"build"')) return null;
  const event = buildEventSchema.parse(JSON.parse(message));
  return event.type === "build" ? event.build : null;
}

const eventText = (event: string, id: string | null, data: object): string =>
  `event: ${event}\n${id === null ? "" : `id: ${id}\n`}data: ${JSON.stringify(data)}\n\n`;

/** Of the last event of all: who comes back with it has seen everything. */
export const endSuffix = "-end";

/**
 * `log` events with the entry's number as id, `build` events without one, and an `end`.
 * @param after the number of the last entry that the reader has
 * @param view the build as it is known now
 * @param until milliseconds since the epoch; then it is cut, and the reader comes back
 */
export function createEventStream(
  source: LogSource,
  after: number,
  view: BuildView,
  { heartbeatMs, rewatchMs, until }: { heartbeatMs: number; rewatchMs: number; until: number },
): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  let cursor = after;
  let newView: BuildView | null = view.finishedAt === null ? view : null;
  let last: BuildView = view;
  let hasMore = true;
  let isOver = false;
  let isCancelled = false;
  let wasLost = false;
  let stop: (() => void) | null = null;
  let wake: () => void = () => {};
  let preamble = `retry: ${rewatchMs}\n\n`;

  /** false: the time is over and nothing happened */
  async function somethingHappens(limitMs: number): Promise<boolean> {
    if (hasMore || newView || isCancelled) return true;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const timer = setTimeout(() => resolve(false), limitMs);
    wake = () => resolve(true);
    const happened = await promise;
    clearTimeout(timer);
    return happened;
  }

  async function watch(): Promise<void> {
    if (wasLost) await new Promise((resolve) => setTimeout(resolve, rewatchMs));
    const changed = (changedView: BuildView | null) => {
      newView = changedView ?? newView;
      hasMore = true;
      wake();
    };
    const lost = () => {
      stop = null;
      wasLost = true;
      hasMore = true;
      wake();
    };
    try {
      stop = await source.watch(changed, lost);
    } catch {
      lost();
    }
    if (isCancelled) stop?.();
    // What happened between the last page and now was not signalled.
    hasMore = true;
  }

  /** The row is written a moment after the build is over. */
  async function finalView(): Promise<BuildView> {
    for (let look = 0; last.finishedAt === null && look < finalLooks; look++) {
      if (look > 0) await new Promise((resolve) => setTimeout(resolve, finalPauseMs));
      last = (await source.view()) ?? last;
    }
    return last;
  }

  /** The next text to send; empty when it has to be asked again. */
  async function next(): Promise<string> {
    if (newView) {
      last = newView;
      newView = null;
      return eventText("build", null, last);
    }
    if (hasMore) {
      hasMore = false;
      const { entries, next: read, complete } = await source.read(cursor);
      if (entries.length > 0) {
        cursor = read;
        hasMore = true;
        return entries.map((entry) => eventText("log", String(entry.seq), entry)).join("");
      }
      if (complete) {
        isOver = true;
        return eventText("end", `${cursor}${endSuffix}`, await finalView());
      }
    }
    if (!stop) {
      await watch();
      return "";
    }
    return (await somethingHappens(heartbeatMs)) ? "" : ": heartbeat\n\n";
  }

  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        let text = "";
        while (text === "" && !isCancelled && Date.now() < until) text = await next();
        if (isCancelled) return;
        if (text === "") {
          stop?.();
          controller.close();
          return;
        }
        controller.enqueue(encoder.encode(preamble + text));
        preamble = "";
        if (!isOver) return;
        stop?.();
        controller.close();
      },
      cancel() {
        isCancelled = true;
        wake();
        stop?.();
      },
    },
    { highWaterMark: 0 },
  );
}

const finalLooks = 20;
const finalPauseMs = 250;

const textOf = ({ stream, text }: LogEntry): string => (stream === "gap" ? `\n[${text}]\n` : text);

/** Everything that was printed until now, colours included. */
export function createTextStream(source: LogSource): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  let cursor = 0;
  let pages = 0;
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { entries, next } = await source.read(cursor);
        cursor = next;
        // A build that goes on printing would never come to its end.
        if (entries.length === 0 || ++pages > limits.logPages) controller.close();
        else controller.enqueue(encoder.encode(entries.map(textOf).join("")));
      },
    },
    { highWaterMark: 0 },
  );
}

export function answerEvents(source: LogSource, view: BuildView, after: number): Response {
  const { streamHeartbeatMs: heartbeatMs, streamRetryMs: rewatchMs } = deadlines;
  const until = Date.now() + deadlines.viewerLifeMs;
  return new Response(createEventStream(source, after, view, { heartbeatMs, rewatchMs, until }), {
    headers: { "content-type": "text/event-stream; charset=utf-8", "x-accel-buffering": "no" },
  });
}

export function answerText(source: LogSource, buildId: string): Response {
  return new Response(createTextStream(source), {
    headers: {
      "content-type": "text/plain; charset=utf-8",
      "content-disposition": `attachment; filename="${buildId}.log.txt"`,
    },
  });
}
