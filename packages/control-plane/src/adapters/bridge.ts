/**
 * The bridge's end in a Durable Object: hibernatable sockets to its sandbox. Keeps sequence numbers in SQLite so that each event
 * is applied once; what an event means is the object's.
 */
import {
  type BridgeDown,
  type BridgeUp,
  bridgeCloseCodes,
  bridgeFrameMaxBytes,
  bridgeUpSchema,
  type RuntimeEvent,
} from "@open-inspect/protocol";
import { z } from "zod";
import { acceptSocket, refuseSocket, sendText, shut } from "./sockets.ts";

export interface BridgeHandlers {
  /** The runtime of this attempt is there; false refuses it for good. */
  hello(attempt: string, hello: { runtimeVersion: string; revision?: number | undefined; protocol: number }): boolean;
  /** Applies one event; the sequence number is stored in the same transaction. */
  event(attempt: string, event: RuntimeEvent, at: number): void;
  /** After the welcome: what the runtime must be told (again). */
  welcomed(attempt: string): void;
  closed(attempt: string): void;
  /** `pushId`: to write, for the push that was asked for */
  credential(attempt: string, pushId?: string): Promise<{ username: string; password: string } | { refused: string }>;
}

export interface Bridge {
  /** Lets the attempt in if it is the one that lives. Else its socket is closed for good with the code that says why. */
  upgrade(attempt: string, owner: { live: string | null } | { over: string }): Response;
  /** Sockets of browsers may be given to these, too: browsers only listen. */
  message(socket: WebSocket, data: string | ArrayBuffer): void;
  close(socket: WebSocket): void;
  /** false when no greeted socket of the attempt is open */
  send(attempt: string, message: BridgeDown): boolean;
  isConnected(attempt: string): boolean;
  /** Refuses the attempt's sockets for good. */
  end(attempt: string): void;
  heardAt(attempt: string): number | null;
}

const attachmentSchema = z.object({ attempt: z.string(), current: z.boolean(), greeted: z.boolean() });
type Attachment = z.infer<typeof attachmentSchema>;
const bridgeTag = "bridge";

interface Fault {
  code: keyof typeof bridgeCloseCodes;
  reason: string;
}
const fault = (code: Fault["code"], reason: string): Fault => ({ code, reason });

/** the last frame's time is stored at most this often */
const heardStepMs = 5_000;
/** log events are acknowledged in groups, everything else at once */
const ackEvery = 16;

export function createBridge(ctx: DurableObjectState, handlers: BridgeHandlers, now: () => number): Bridge {
  const { sql } = ctx.storage;
  sql.exec(
    "CREATE TABLE IF NOT EXISTS bridge (attempt TEXT PRIMARY KEY, boot_id TEXT NOT NULL, last_seq INTEGER NOT NULL, heard_at INTEGER NOT NULL)",
  );
  type Peer = { bootId: string; lastSeq: number; heardAt: number; storedHeardAt: number; acked: number };
  const peers = new Map<string, Peer>();

  function peerOf(attempt: string): Peer | null {
    const known = peers.get(attempt);
    if (known) return known;
    const [row] = sql
      .exec<{ boot_id: string; last_seq: number; heard_at: number }>("SELECT * FROM bridge WHERE attempt = ?", attempt)
      .toArray();
    if (!row) return null;
    const peer = {
      bootId: row.boot_id,
      lastSeq: row.last_seq,
      heardAt: row.heard_at,
      storedHeardAt: row.heard_at,
      acked: row.last_seq,
    };
    peers.set(attempt, peer);
    return peer;
  }

  function save(attempt: string, peer: Peer): void {
    peer.storedHeardAt = peer.heardAt;
    sql.exec(
      "INSERT OR REPLACE INTO bridge (attempt, boot_id, last_seq, heard_at) VALUES (?, ?, ?, ?)",
      attempt,
      peer.bootId,
      peer.lastSeq,
      peer.heardAt,
    );
  }

  const attachmentOf = (socket: WebSocket): Attachment | null => {
    const parsed = attachmentSchema.safeParse(socket.deserializeAttachment());
    return parsed.success ? parsed.data : null;
  };

  function currentSocket(attempt: string): WebSocket | null {
    for (const socket of ctx.getWebSockets(bridgeTag)) {
      const attachment = attachmentOf(socket);
      if (attachment?.current && attachment.greeted && attachment.attempt === attempt) return socket;
    }
    return null;
  }

  function refuse(socket: WebSocket, attachment: Attachment, code: number, reason: string): void {
    socket.serializeAttachment({ ...attachment, current: false } satisfies Attachment);
    shut(socket, code, reason);
  }

  function greet(socket: WebSocket, attachment: Attachment, hello: Extract<BridgeUp, { type: "hello" }>): Fault | null {
    const { attempt } = attachment;
    const known = peerOf(attempt);
    const lastSeq = known?.bootId === hello.bootId ? known.lastSeq : 0;
    const peer: Peer = { bootId: hello.bootId, lastSeq, heardAt: now(), storedHeardAt: 0, acked: lastSeq };
    if (!handlers.hello(attempt, hello)) return fault("protocolError", "another protocol version");
    peers.set(attempt, peer);
    save(attempt, peer);
    socket.serializeAttachment({ ...attachment, greeted: true } satisfies Attachment);
    push(socket, { type: "welcome", ack: lastSeq });
    handlers.welcomed(attempt);
    return null;
  }

  function take(socket: WebSocket, attachment: Attachment, message: Exclude<BridgeUp, { type: "hello" }>): Fault | null {
    const { attempt } = attachment;
    const peer = peerOf(attempt);
    if (!peer || !attachment.greeted) return fault("protocolError", "hello comes first");
    peer.heardAt = now();
    switch (message.type) {
      case "event":
        if (message.seq > peer.lastSeq + 1) return fault("protocolError", `event ${peer.lastSeq + 1} is missing`);
        if (message.seq === peer.lastSeq + 1) {
          // No await in here: the event's effects and its number reach the disk together.
          handlers.event(attempt, message.event, message.at);
          peer.lastSeq = message.seq;
          save(attempt, peer);
        }
        if (message.event.type !== "log" || peer.lastSeq - peer.acked >= ackEvery) acknowledge(socket, peer);
        return null;
      case "heartbeat":
        if (peer.heardAt - peer.storedHeardAt >= heardStepMs) save(attempt, peer);
        if (peer.lastSeq > peer.acked) acknowledge(socket, peer);
        return null;
      case "credential.request":
        ctx.waitUntil(answerCredential(socket, attempt, message.id, message.pushId));
        return null;
      case "session.request":
        push(socket, {
          type: "session.refused",
          id: message.id,
          message: "This control plane does not start sessions for sandboxes.",
        });
        return null;
    }
  }

  function acknowledge(socket: WebSocket, peer: Peer): void {
    peer.acked = peer.lastSeq;
    push(socket, { type: "ack", seq: peer.lastSeq });
  }

  async function answerCredential(socket: WebSocket, attempt: string, id: string, pushId?: string): Promise<void> {
    const answer = await handlers.credential(attempt, pushId);
    if ("refused" in answer) push(socket, { type: "credential.refused", id, message: answer.refused });
    else push(socket, { type: "credential", id, username: answer.username, password: answer.password });
  }

  function receive(socket: WebSocket, attachment: Attachment, data: string | ArrayBuffer): Fault | null {
    if (typeof data !== "string") return fault("protocolError", "text frames only");
    if (isTooLarge(data)) return fault("frameTooLarge", `frames end at ${bridgeFrameMaxBytes} bytes`);
    const parsed = bridgeUpSchema.safeParse(parseJson(data));
    if (!parsed.success) return fault("protocolError", "not a message of this protocol");
    return parsed.data.type === "hello" ? greet(socket, attachment, parsed.data) : take(socket, attachment, parsed.data);
  }

  function shutAttempt(attempt: string, code: number, reason: string): void {
    for (const socket of ctx.getWebSockets(bridgeTag)) {
      const attachment = attachmentOf(socket);
      if (attachment?.current && attachment.attempt === attempt) refuse(socket, attachment, code, reason);
    }
  }

  return {
    upgrade(attempt, owner) {
      if ("over" in owner) return refuseSocket(bridgeCloseCodes.ended, owner.over);
      if (owner.live !== attempt) return refuseSocket(bridgeCloseCodes.unauthorized, "the token is retired");
      return acceptSocket((socket) => {
        shutAttempt(attempt, bridgeCloseCodes.replaced, "replaced");
        ctx.acceptWebSocket(socket, [bridgeTag]);
        socket.serializeAttachment({ attempt, current: true, greeted: false } satisfies Attachment);
      });
    },
    message(socket, data) {
      const attachment = attachmentOf(socket);
      if (!attachment?.current) return;
      const found = receive(socket, attachment, data);
      if (found) refuse(socket, attachment, bridgeCloseCodes[found.code], found.reason);
    },
    close(socket) {
      const attachment = attachmentOf(socket);
      if (attachment?.current) {
        socket.serializeAttachment({ ...attachment, current: false } satisfies Attachment);
        if (attachment.greeted) handlers.closed(attachment.attempt);
      }
      // The object's half of the closing handshake.
      shut(socket, 1000, "bye");
    },
    send(attempt, message) {
      const socket = currentSocket(attempt);
      return socket !== null && push(socket, message);
    },
    isConnected: (attempt) => currentSocket(attempt) !== null,
    end: (attempt) => shutAttempt(attempt, bridgeCloseCodes.ended, "it is over"),
    heardAt: (attempt) => peerOf(attempt)?.heardAt ?? null,
  };
}

const push = (socket: WebSocket, message: BridgeDown): boolean => sendText(socket, JSON.stringify(message));

function isTooLarge(text: string): boolean {
  if (text.length > bridgeFrameMaxBytes) return true;
  return text.length * 3 > bridgeFrameMaxBytes && new TextEncoder().encode(text).byteLength > bridgeFrameMaxBytes;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
