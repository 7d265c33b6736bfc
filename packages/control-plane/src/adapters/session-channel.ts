/**
 * Browsers that watch one session: hibernatable sockets, each with its person. Every event is serialised once and sent to all. It knows
 * neither what the events mean nor where they are stored.
 */
import { type Person, personSchema, type SessionEvent } from "@open-inspect/protocol";
import { sendText, shut } from "./sockets.ts";

export interface SessionChannel {
  /** Takes a browser in: first what `begin` gives, then who watches. From then on it gets what is said to all. */
  join(socket: WebSocket, person: Person, begin: Iterable<string>): void;
  /** Whether the socket is one of these; its person is not counted any more. */
  left(socket: WebSocket): boolean;
  isWatched(): boolean;
  /** @param text a serialised event */
  say(text: string): void;
}

const tag = "session";
/** A browser that has not taken this much is sent away; it comes back with its cursor and is told the state, not each step to it. */
export const slowReaderMaxBytes = 8 * 1024 * 1024;
export const tooSlowCode = 4008;
/** how much is said between two looks at what the readers have not taken yet */
const lookEveryBytes = 256 * 1024;

export function createSessionChannel(ctx: DurableObjectState): SessionChannel {
  let sockets: Map<WebSocket, string> | null = null;
  let saidBytes = 0;

  /** The object's former lives may have taken browsers in. */
  function listeners(): Map<WebSocket, string> {
    if (sockets) return sockets;
    sockets = new Map();
    for (const socket of ctx.getWebSockets(tag)) {
      const person = personSchema.safeParse(socket.deserializeAttachment());
      if (person.success) sockets.set(socket, JSON.stringify(person.data));
    }
    return sockets;
  }

  const presence = (): string => {
    const people = [...new Set(listeners().values())].sort().map((json) => personSchema.parse(JSON.parse(json)));
    return JSON.stringify({ type: "presence", people } satisfies SessionEvent);
  };

  function say(text: string, except: WebSocket | null = null): void {
    saidBytes += text.length;
    const isLook = saidBytes >= lookEveryBytes;
    if (isLook) saidBytes = 0;
    let gone: WebSocket[] | null = null;
    for (const socket of listeners().keys()) {
      if (socket === except) continue;
      if (isLook && socket.bufferedAmount > slowReaderMaxBytes) {
        shut(socket, tooSlowCode, "too slow: come back with the cursor");
        gone = [...(gone ?? []), socket];
      } else if (!sendText(socket, text)) gone = [...(gone ?? []), socket];
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
    join(socket, person, begin) {
      const before = presence();
      ctx.acceptWebSocket(socket, [tag]);
      const { name, email, login } = person;
      const attachment: Person = { name, email, login };
      socket.serializeAttachment(attachment);
      listeners().set(socket, JSON.stringify(attachment));
      for (const text of begin) sendText(socket, text);
      const after = presence();
      sendText(socket, after);
      if (after !== before) say(after, socket);
    },
    left,
    isWatched: () => listeners().size > 0,
    say: (text) => say(text),
  };
}
