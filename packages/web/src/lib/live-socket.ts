/** A WebSocket that comes back: parses each message or list of them, reconnects with backoff and jitter. Knows no React and no message's meaning. */
import { type ZodType } from "zod";

/** What of the browser's WebSocket is used. Tests hand in their own. */
export interface SocketLike {
  onopen: ((event: Event) => void) | null;
  onmessage: ((event: MessageEvent) => void) | null;
  onclose: ((event: CloseEvent) => void) | null;
  send(data: string): void;
  close(): void;
}
export type SocketConstructor = new (url: string) => SocketLike;

/** `ended`: nothing more will come, by the owner's word. */
export type LiveState = "connecting" | "live" | "reconnecting" | "ended";

export interface LiveSocketOptions<T> {
  WebSocket: SocketConstructor;
  /** asked before every connection, so that a cursor can move on */
  url: () => string;
  schema: ZodType<T>;
  onMessage: (message: T) => void;
  onState: (state: LiveState) => void;
  /** says how much has come on a connection, each time that `every` more characters have: who is slow is known by it */
  receipt?: { every: number; message: (received: number) => object };
  /** told when the server closed before it had opened: a browser keeps the reason to itself */
  onRefused?: () => void;
  /** asked when the server closes: true means that this was the end, not a cut */
  isComplete?: () => boolean;
}

export const firstDelayMs = 500;
export const longestDelayMs = 15_000;
const connectDeadlineMs = 10_000;
/** A page that slept longer may hold a socket that died without a word. */
const sleptMs = 45_000;

/**
 * Connects at once and keeps connecting until closed; waits double from `firstDelayMs` to `longestDelayMs`, each with jitter.
 * Only a message resets the backoff: a server that accepts and drops at once must not be hammered.
 * @returns the function that closes it for good
 */
export function openLiveSocket<T>(options: LiveSocketOptions<T>): () => void {
  let socket: SocketLike | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let failures = 0;
  let closed = false;
  let hiddenAt: number | null = null;

  function drop(): void {
    clearTimeout(timer);
    if (socket === null) return;
    const old = socket;
    socket = null;
    old.onopen = old.onmessage = old.onclose = null;
    old.close();
  }

  function lost(): void {
    drop();
    if (closed) return;
    if (options.isComplete?.() === true) {
      finish();
      options.onState("ended");
      return;
    }
    options.onState("reconnecting");
    const ceilingMs = Math.min(longestDelayMs, firstDelayMs * 2 ** failures);
    failures += 1;
    timer = setTimeout(connect, ceilingMs * (0.5 + Math.random() / 2));
  }

  function connect(): void {
    drop();
    let current: SocketLike;
    try {
      current = new options.WebSocket(options.url());
    } catch {
      // A browser may refuse at once, for reasons of security: the page goes on without news.
      lost();
      return;
    }
    socket = current;
    timer = setTimeout(lost, connectDeadlineMs);
    let hasOpened = false;
    current.onopen = () => {
      hasOpened = true;
      clearTimeout(timer);
      options.onState("live");
    };
    let received = 0;
    let told = 0;
    current.onmessage = (event) => {
      failures = 0;
      received += String(event.data).length;
      if (options.receipt && received - told >= options.receipt.every) {
        told = received;
        current.send(JSON.stringify(options.receipt.message(received)));
      }
      for (const message of parseMessages(options.schema, event.data)) options.onMessage(message);
    };
    current.onclose = () => {
      if (!hasOpened) options.onRefused?.();
      lost();
    };
  }

  function retryNow(): void {
    failures = 0;
    options.onState("reconnecting");
    connect();
  }

  function onVisibility(): void {
    if (document.visibilityState === "hidden") hiddenAt = Date.now();
    else if (hiddenAt !== null && Date.now() - hiddenAt > sleptMs) retryNow();
  }

  function finish(): void {
    closed = true;
    removeEventListener("online", retryNow);
    removeEventListener("offline", lost);
    document.removeEventListener("visibilitychange", onVisibility);
    drop();
  }

  addEventListener("online", retryNow);
  // A network that goes takes its connections along without a word; what is shown must not be called live.
  addEventListener("offline", lost);
  document.addEventListener("visibilitychange", onVisibility);
  options.onState("connecting");
  connect();
  return finish;
}

/** One message, or a list of them. What does not parse is from a newer server: it is left out, and said so in the console. */
function parseMessages<T>(schema: ZodType<T>, data: unknown): T[] {
  let raw: unknown = null;
  try {
    raw = typeof data === "string" ? JSON.parse(data) : null;
  } catch {
    // Falls through to the schema, which refuses null.
  }
  return (Array.isArray(raw) ? raw : [raw]).flatMap((one) => {
    const parsed = schema.safeParse(one);
    if (parsed.success) return [parsed.data];
    console.warn("A message was left out: it is not what the protocol says.", parsed.error);
    return [];
  });
}
