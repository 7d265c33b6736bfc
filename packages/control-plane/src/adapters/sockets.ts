/** Sockets of one Durable Object: hibernatable ones of browsers, and what every socket needs. Knows no messages. */
import { z } from "zod";
import { deadlines } from "../domain/deadlines.ts";

/** Sockets of browsers. A message that cannot be sent is lost with its socket; who comes back reads anew. */
export interface Viewers {
  accept(socket: WebSocket, topic: string): void;
  isWatched(topic: string): boolean;
  send(topic: string, message: object): void;
}

export function createViewers(ctx: DurableObjectState): Viewers {
  return {
    accept(socket, topic) {
      ctx.acceptWebSocket(socket, [`view:${topic}`]);
      socket.serializeAttachment({ openedAt: Date.now() });
    },
    isWatched: (topic) => ctx.getWebSockets(`view:${topic}`).length > 0,
    send(topic, message) {
      const sockets = ctx.getWebSockets(`view:${topic}`);
      if (sockets.length === 0) return;
      const text = JSON.stringify(message);
      for (const socket of sockets) {
        const opened = openedSchema.safeParse(socket.deserializeAttachment());
        if (opened.success && isTooOld(opened.data.openedAt, Date.now())) sendAway(socket);
        else sendText(socket, text);
      }
    },
  };
}

const openedSchema = z.object({ openedAt: z.number() });
export const tooOldCode = 4009;

/** Who may look was decided when the socket was opened. */
export const isTooOld = (openedAt: number, now: number): boolean => now - openedAt >= deadlines.viewerLifeMs;
export const sendAway = (socket: WebSocket): void => shut(socket, tooOldCode, "too old: come back");

/** A socket may be closing while it is still listed; then there is nobody to tell. */
export function sendText(socket: WebSocket, text: string): boolean {
  try {
    socket.send(text);
    return true;
  } catch {
    return false;
  }
}

export function shut(socket: WebSocket, code: number, reason: string): void {
  try {
    socket.close(code, reason);
  } catch {
    // it is closed already
  }
}

/** Answers an upgrade; `accept` gets the object's end. */
export function acceptSocket(accept: (socket: WebSocket) => void): Response {
  const { 0: client, 1: server } = new WebSocketPair();
  accept(server);
  return new Response(null, { status: 101, webSocket: client });
}

/** A socket that is accepted only to be told its final close code: a refused upgrade would hide the code from the client. */
export function refuseSocket(code: number, reason: string): Response {
  return acceptSocket((socket) => {
    socket.accept();
    socket.close(code, reason);
  });
}
