/**
 * Browsers that watch one session: hibernatable sockets, each with its person. Every event is serialised once and sent to all; those who
 * take lists get what is said in one turn as one message. It knows neither what the events mean nor where they are stored.
 */
import { type Person, personSchema, type SessionEvent, sessionSeenSchema } from "@open-inspect/protocol";
import { z } from "zod";
import { isTooOld, sendAway, sendText, shut } from "./sockets.ts";

export interface SessionChannel {
  /** Takes a browser in: first what `begin` gives, then who watches. From then on it gets what is said to all. */
  join(socket: WebSocket, browser: { person: Person; isTogether: boolean }, begin: Iterable<string>): void;
  /** Whether the socket is one of these; its person is not counted any more. */
  left(socket: WebSocket): boolean;
  /** Whether the socket is one of these: what it says is how much it has received. */
  heard(socket: WebSocket, data: string | ArrayBuffer): boolean;
  isWatched(): boolean;
  /** @param text a serialised event */
  say(text: string): void;
}

const tag = "session";
/** of sockets that take lists of events */
const togetherTag = "session:together";
/**
 * A browser that has not taken so many characters is sent away; it comes back with its cursor and is told the state, not each step to it.
 * The platform does not tell what waits on a socket, so browsers do.
 */
export const unseenMax = 8 * 1024 * 1024;
/** of whoever does not tell */
export const unconfirmedMax = 32 * 1024 * 1024;
export const tooSlowCode = 4008;
/** characters after which a list is sent though its turn is not over */
const listMax = 256 * 1024;

interface Listener {
  /** as JSON */
  person: string;
  openedAt: number;
  said: number;
  seen: number;
  confirms: boolean;
  isTogether: boolean;
}

/** sockets of an earlier version do not say when they were opened */
const attachmentSchema = personSchema.extend({ openedAt: z.number().default(0) });

export function createSessionChannel(ctx: DurableObjectState): SessionChannel {
  let sockets: Map<WebSocket, Listener> | null = null;

  /** The object's former lives may have taken browsers in. */
  function listeners(): Map<WebSocket, Listener> {
    if (sockets) return sockets;
    sockets = new Map();
    for (const socket of ctx.getWebSockets(tag)) {
      const attachment = attachmentSchema.safeParse(socket.deserializeAttachment());
      if (!attachment.success) continue;
      const { openedAt, ...person } = attachment.data;
      const isTogether = ctx.getTags(socket).includes(togetherTag);
      sockets.set(socket, { person: JSON.stringify(person), openedAt, said: 0, seen: 0, confirms: false, isTogether });
    }
    return sockets;
  }

  const presence = (): string => {
    const named = new Set([...listeners().values()].map(({ person }) => person));
    const people = [...named].sort().map((json) => personSchema.parse(JSON.parse(json)));
    return JSON.stringify({ type: "presence", people } satisfies SessionEvent);
  };

  /** what was said in this turn and those who take lists have not been sent yet */
  let waiting: string[] = [];
  let waitingLength = 0;

  function say(text: string): void {
    if (waiting.length === 0) queueMicrotask(flush);
    waiting.push(text);
    waitingLength += text.length;
    send(text, (listener) => !listener.isTogether);
    if (waitingLength > listMax) flush();
  }

  function flush(): void {
    const texts = waiting;
    waiting = [];
    waitingLength = 0;
    const [first] = texts;
    if (first !== undefined) send(texts.length === 1 ? first : `[${texts.join(",")}]`, (listener) => listener.isTogether);
  }

  function send(text: string, isFor: (listener: Listener, socket: WebSocket) => boolean): void {
    const now = Date.now();
    let gone: WebSocket[] | null = null;
    for (const [socket, listener] of listeners()) {
      if (!isFor(listener, socket)) continue;
      listener.said += text.length;
      const isSlow = listener.said - listener.seen > (listener.confirms ? unseenMax : unconfirmedMax);
      const isOld = isTooOld(listener.openedAt, now);
      if (isSlow) shut(socket, tooSlowCode, "too slow: come back with the cursor");
      else if (isOld) sendAway(socket);
      if (isSlow || isOld || !sendText(socket, text)) gone = [...(gone ?? []), socket];
    }
    for (const socket of gone ?? []) left(socket);
  }

  function left(socket: WebSocket): boolean {
    const before = presence();
    if (!listeners().delete(socket)) return false;
    const after = presence();
    if (after !== before) say(after);
    return true;
  }

  return {
    join(socket, { person, isTogether }, begin) {
      // What was said before is in its beginning.
      flush();
      const before = presence();
      ctx.acceptWebSocket(socket, isTogether ? [tag, togetherTag] : [tag]);
      const { name, email, login } = person;
      const shown: Person = { name, email, login };
      const openedAt = Date.now();
      socket.serializeAttachment({ ...shown, openedAt });
      const listener = { person: JSON.stringify(shown), openedAt, said: 0, seen: 0, confirms: false, isTogether };
      listeners().set(socket, listener);
      for (const text of begin) {
        sendText(socket, text);
        listener.said += text.length;
      }
      // The beginning may be large; it is what comes after it that must not pile up.
      listener.seen = listener.said;
      const after = presence();
      sendText(socket, after);
      if (after !== before) send(after, (_, other) => other !== socket);
    },
    left,
    heard(socket, data) {
      const listener = listeners().get(socket);
      if (!listener) return false;
      const seen = typeof data === "string" && data.length < 200 ? parseSeen(data) : null;
      if (seen === null) return true;
      // What was said in a former life of the object is in the reader's count and not in ours.
      if (!listener.confirms || seen > listener.said) listener.said = Math.max(listener.said, seen);
      listener.confirms = true;
      listener.seen = Math.max(listener.seen, seen);
      return true;
    },
    isWatched: () => listeners().size > 0,
    say,
  };
}

function parseSeen(text: string): number | null {
  try {
    return sessionSeenSchema.parse(JSON.parse(text)).received;
  } catch {
    return null;
  }
}
