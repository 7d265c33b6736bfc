/**
 * The bridge's end in a Durable Object: hibernatable sockets to its sandbox. Keeps sequence numbers in SQLite so that each event
 * is applied once; what an event means is the object's. Events that come close together are applied in one turn: one commit, one
 * acknowledgement. What has not been applied is not acknowledged, so an object that dies in between is sent it again.
 */
import {
  type AgentSessionRequest,
  type AgentSessionState,
  type BridgeDown,
  type BridgeUp,
  bridgeCloseCodes,
  bridgeFrameMaxBytes,
  bridgeUpSchema,
  type RuntimeEvent,
} from "@open-inspect/protocol";
import { z } from "zod";
import { deadlines } from "../domain/deadlines.ts";
import { acceptSocket, refuseSocket, sendText, shut } from "./sockets.ts";

export interface BridgeHandlers {
  /** The runtime of this attempt is there; false refuses it for good. */
  hello(attempt: string, hello: { runtimeVersion: string; revision?: number | undefined; protocol: number }): boolean;
  /** Applies one event; the sequence number is stored in the same transaction. */
  event(attempt: string, event: RuntimeEvent, at: number): void;
  /** The end of a turn in which events were applied. */
  applied?(attempt: string): void;
  /** After the welcome: what the runtime must be told (again). */
  welcomed(attempt: string): void;
  closed(attempt: string): void;
  /** What the agent's own tools ask about sessions. Without it they are refused. */
  sessions?(
    attempt: string,
    id: string,
    request: AgentSessionRequest,
  ): Promise<{ sessions: AgentSessionState[] } | { refused: string }>;
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
/** Events that are applied together at most: the sandbox may send more when it knows of these. A part of what it has in flight. */
const batchMax = 256;
/** above what a busy machine delays a timer by */
const batchLostMs = 500;
/** frames with a gap before them that are passed over until the missing one comes; above what a runtime has in flight */
const skippedMax = 2_048;

export function createBridge(ctx: DurableObjectState, handlers: BridgeHandlers, now: () => number): Bridge {
  const { sql } = ctx.storage;
  sql.exec(
    "CREATE TABLE IF NOT EXISTS bridge (attempt TEXT PRIMARY KEY, boot_id TEXT NOT NULL, last_seq INTEGER NOT NULL, heard_at INTEGER NOT NULL)",
  );
  type Peer = {
    bootId: string;
    lastSeq: number;
    heardAt: number;
    storedHeardAt: number;
    /** the last event that waits in the inbox, or lastSeq */
    takenSeq: number;
    /** frames passed over since a gap was answered; null: there is no gap */
    skipped: number | null;
  };
  const peers = new Map<string, Peer>();
  /** Events that wait for the end of their batch. */
  let inbox: { socket: WebSocket; attempt: string; peer: Peer; seq: number; event: RuntimeEvent; at: number }[] = [];
  /** until when events are gathered; null: it was quiet, the next one is applied at once */
  let restEndsAt: number | null = null;

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
      takenSeq: row.last_seq,
      skipped: null,
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

  /** what this life of the object knows of its sockets without asking them again */
  const attachments = new WeakMap<WebSocket, Attachment>();

  function attachmentOf(socket: WebSocket): Attachment | null {
    const known = attachments.get(socket);
    if (known) return known;
    const parsed = attachmentSchema.safeParse(socket.deserializeAttachment());
    if (!parsed.success) return null;
    attachments.set(socket, parsed.data);
    return parsed.data;
  }

  function attach(socket: WebSocket, attachment: Attachment): void {
    attachments.set(socket, attachment);
    socket.serializeAttachment(attachment);
  }

  function applyInbox(): void {
    if (inbox.length === 0) return;
    const taken = inbox;
    inbox = [];
    // No await in here: the events' effects and their numbers reach the disk together.
    const last = new Map<Peer, { socket: WebSocket; attempt: string }>();
    for (const { socket, attempt, peer, seq, event, at } of taken) {
      handlers.event(attempt, event, at);
      peer.lastSeq = seq;
      last.set(peer, { socket, attempt });
    }
    for (const [peer, { socket, attempt }] of last) {
      handlers.applied?.(attempt);
      save(attempt, peer);
      push(socket, { type: "ack", seq: peer.lastSeq });
    }
  }

  /**
   * At once after a quiet while, else with what comes soon after. What is applied is told to every browser: where that takes longer than the
   * rest after it, what has piled up is still applied together.
   */
  function applySoon(): void {
    // A timer that has not fired long after its time will not fire any more.
    if (restEndsAt !== null && Math.abs(now() - restEndsAt) < batchLostMs) return;
    applyInbox();
    rest(false);
  }

  /** @param isCalm nothing was applied in the turn that it begins in, so that it really takes its time */
  function rest(isCalm: boolean): void {
    restEndsAt = now() + deadlines.bridgeBatchMs;
    const over = Promise.withResolvers<void>();
    setTimeout(() => {
      const isQuiet = inbox.length === 0;
      applyInbox();
      if (isQuiet && isCalm) restEndsAt = null;
      else rest(isQuiet);
      over.resolve();
    }, deadlines.bridgeBatchMs);
    // Waited for, it outlives the event that set it.
    ctx.waitUntil(over.promise);
  }

  function currentSocket(attempt: string): WebSocket | null {
    for (const socket of ctx.getWebSockets(bridgeTag)) {
      const attachment = attachmentOf(socket);
      if (attachment?.current && attachment.greeted && attachment.attempt === attempt) return socket;
    }
    return null;
  }

  function refuse(socket: WebSocket, attachment: Attachment, code: number, reason: string): void {
    attach(socket, { ...attachment, current: false });
    shut(socket, code, reason);
  }

  function greet(socket: WebSocket, attachment: Attachment, hello: Extract<BridgeUp, { type: "hello" }>): Fault | null {
    const { attempt } = attachment;
    const known = peerOf(attempt);
    const lastSeq = known?.bootId === hello.bootId ? known.lastSeq : 0;
    const heardAt = now();
    const peer: Peer = { bootId: hello.bootId, lastSeq, heardAt, storedHeardAt: heardAt, takenSeq: lastSeq, skipped: null };
    if (!handlers.hello(attempt, hello)) return fault("protocolError", "another protocol version");
    peers.set(attempt, peer);
    save(attempt, peer);
    attach(socket, { ...attachment, greeted: true });
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
        return takeEvent(socket, attempt, peer, message);
      case "heartbeat":
        applyInbox();
        if (peer.heardAt - peer.storedHeardAt >= heardStepMs) save(attempt, peer);
        push(socket, { type: "ack", seq: peer.lastSeq });
        return null;
      case "credential.request":
        ctx.waitUntil(answerCredential(socket, attempt, message.id, message.pushId));
        return null;
      case "session.request":
        ctx.waitUntil(answerSessions(socket, attempt, message.id, message.request));
        return null;
    }
  }

  function takeEvent(
    socket: WebSocket,
    attempt: string,
    peer: Peer,
    { seq, event, at }: Extract<BridgeUp, { type: "event" }>,
  ): Fault | null {
    if (seq > peer.takenSeq + 1) {
      // Frames were lost on the way or with an earlier life: say where to go on. What is under way meanwhile has the same gap.
      if (peer.skipped === null) push(socket, { type: "welcome", ack: peer.takenSeq });
      peer.skipped = (peer.skipped ?? 0) + 1;
      return peer.skipped > skippedMax ? fault("protocolError", `event ${peer.takenSeq + 1} is missing`) : null;
    }
    if (seq <= peer.takenSeq) {
      if (inbox.length === 0) push(socket, { type: "ack", seq: peer.lastSeq });
      return null;
    }
    peer.skipped = null;
    peer.takenSeq = seq;
    inbox.push({ socket, attempt, peer, seq, event, at });
    if (inbox.length >= batchMax) applyInbox();
    else applySoon();
    return null;
  }

  async function answerCredential(socket: WebSocket, attempt: string, id: string, pushId?: string): Promise<void> {
    const answer = await handlers.credential(attempt, pushId);
    if ("refused" in answer) push(socket, { type: "credential.refused", id, message: answer.refused });
    else push(socket, { type: "credential", id, username: answer.username, password: answer.password });
  }

  async function answerSessions(socket: WebSocket, attempt: string, id: string, request: AgentSessionRequest): Promise<void> {
    const refuseIt = (message: string) => push(currentSocket(attempt) ?? socket, { type: "session.refused", id, message });
    if (!handlers.sessions) return void refuseIt("Only sessions begin sessions.");
    const answer = await handlers.sessions(attempt, id, request);
    // The one that asked may have been replaced meanwhile; the runtime knows the answer by its id.
    if ("refused" in answer) refuseIt(answer.refused);
    else push(currentSocket(attempt) ?? socket, { type: "session.answer", id, ...answer });
  }

  function receive(socket: WebSocket, attachment: Attachment, data: string | ArrayBuffer): Fault | null {
    if (typeof data !== "string") return fault("protocolError", "text frames only");
    if (!fitsFrame(data)) return fault("frameTooLarge", `frames end at ${bridgeFrameMaxBytes} bytes`);
    const parsed = bridgeUpSchema.safeParse(parseJson(data));
    if (!parsed.success) return fault("protocolError", "not a message of this protocol");
    if (parsed.data.type === "hello") applyInbox();
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
        applyInbox();
        shutAttempt(attempt, bridgeCloseCodes.replaced, "replaced");
        ctx.acceptWebSocket(socket, [bridgeTag]);
        attach(socket, { attempt, current: true, greeted: false });
      });
    },
    message(socket, data) {
      const attachment = attachmentOf(socket);
      if (!attachment?.current) return;
      const found = receive(socket, attachment, data);
      if (!found) return;
      applyInbox();
      refuse(socket, attachment, bridgeCloseCodes[found.code], found.reason);
    },
    close(socket) {
      const attachment = attachmentOf(socket);
      if (attachment?.current) {
        applyInbox();
        attach(socket, { ...attachment, current: false });
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

const push = (socket: WebSocket, message: BridgeDown): boolean => {
  const text = JSON.stringify(message);
  return fitsFrame(text) && sendText(socket, text);
};

/** Whether a frame is within what both sides take. */
export function fitsFrame(text: string): boolean {
  if (text.length > bridgeFrameMaxBytes) return false;
  return text.length * 3 <= bridgeFrameMaxBytes || new TextEncoder().encode(text).byteLength <= bridgeFrameMaxBytes;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
