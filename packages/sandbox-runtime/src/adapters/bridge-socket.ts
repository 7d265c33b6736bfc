/** The runtime's end of the bridge: dials, resumes, heartbeats, and gives up by rule. Does not know what the events mean. */
import {
  type AgentSessionRequest,
  type BridgeDown,
  type BridgeUp,
  bridgeCloseCodes,
  bridgeDownSchema,
  bridgeFrameMaxBytes,
  bridgeProtocolVersion,
  heartbeatIntervalMs,
  type RuntimeEvent,
  runtimeRevision,
} from "@open-inspect/protocol";
import { decideDialDelayMs } from "../domain/backoff.ts";
import { fitEvent } from "../domain/event-limits.ts";
import { createOutbox } from "../domain/outbox.ts";

export interface Credential {
  username: string;
  password: string;
}
/** The control plane said no. `message` is what it said. */
export class CredentialRefused extends Error {}
export type AgentSessions = Extract<BridgeDown, { type: "session.answer" }>["sessions"];

/** `ended`: the other side closed for good with `code`. `lost`: no connection for longer than `giveUpMs`. */
export type BridgeEnd = { kind: "ended"; code: number } | { kind: "lost" } | { kind: "closed" };
export type BridgeCommand = Extract<BridgeDown, { type: "prompt" | "abort" | "sync" | "refresh" | "push" | "shutdown" }>;

export interface Bridge {
  send(event: RuntimeEvent): void;
  onCommand(listener: (command: BridgeCommand) => void): void;
  /** Rejects with CredentialRefused, or with an Error when no answer came in time. @param pushId to write, for this push */
  requestCredential(pushId?: string): Promise<Credential>;
  /** What the agent asks about sessions. Rejects with a sentence for the agent. Asked once: a start is not safe to repeat. */
  requestSessions(request: AgentSessionRequest): Promise<AgentSessions>;
  /** The first welcome. Never rejects. */
  readonly connected: Promise<void>;
  /** Settles once, when there will be no connection any more. */
  readonly end: Promise<BridgeEnd>;
  /** true when everything sent is acknowledged, false when `timeoutMs` passed or the bridge ended before. */
  drained(timeoutMs: number): Promise<boolean>;
  close(): void;
}

const connectTimeoutMs = 10_000;
const credentialTimeoutMs = 20_000;
const sessionsTimeoutMs = 60_000;
const bufferedMaxBytes = 1024 * 1024;
const blockedMaxMs = 5_000;
const ackSilenceMaxMs = 30_000;
const pumpRetryMs = 20;
const commandsBacklogMax = 1_000;
const finalCodes: readonly number[] = [
  bridgeCloseCodes.replaced,
  bridgeCloseCodes.unauthorized,
  bridgeCloseCodes.ended,
  bridgeCloseCodes.protocolError,
];

/** Dials in the next turn of the event loop. @param options.giveUpMs how long to go on without a connection */
export function createBridge(options: {
  url: string;
  token: string;
  runtimeVersion: string;
  bootId: string;
  giveUpMs: number;
  log: (line: string) => void;
}): Bridge {
  const outbox = createOutbox();
  const connected = Promise.withResolvers<void>();
  const end = Promise.withResolvers<BridgeEnd>();
  const credentials = new Map<
    string,
    {
      resolve(credential: Credential): void;
      reject(error: Error): void;
      timer: NodeJS.Timeout | undefined;
      pushId: string | undefined;
    }
  >();
  const questions = new Map<
    string,
    { resolve(sessions: AgentSessions): void; reject(error: Error): void; timer: NodeJS.Timeout }
  >();
  const drainWaiters = new Set<() => void>();
  let listener: ((command: BridgeCommand) => void) | null = null;
  let backlog: BridgeCommand[] = [];
  let socket: WebSocket | null = null;
  let isWelcome = false;
  let isOver = false;
  let failures = 0;
  let requestCount = 0;
  let connectedAt = Date.now();
  let heardAt = Date.now();
  let blockedSince: number | null = null;
  let dialTimer: NodeJS.Timeout | undefined;
  let welcomeTimer: NodeJS.Timeout | undefined;
  let pumpTimer: NodeJS.Timeout | undefined;

  const settle = (how: BridgeEnd) => {
    if (isOver) return;
    isOver = true;
    clearImmediate(firstDial);
    clearTimeout(dialTimer);
    clearTimeout(pumpTimer);
    clearInterval(heartbeat);
    drop();
    for (const request of credentials.values()) {
      clearTimeout(request.timer);
      request.reject(new Error("the bridge ended"));
    }
    credentials.clear();
    for (const question of questions.values()) {
      clearTimeout(question.timer);
      question.reject(new Error("the bridge ended"));
    }
    questions.clear();
    end.resolve(how);
    for (const wake of [...drainWaiters]) wake();
  };

  /** Lets go of the current socket; its late events are ignored by identity. */
  const drop = () => {
    const old = socket;
    socket = null;
    isWelcome = false;
    clearTimeout(welcomeTimer);
    blockedSince = null;
    if (old && old.readyState < WebSocket.CLOSING) old.close();
  };

  const redial = (why: string) => {
    if (isOver) return;
    if (isWelcome) connectedAt = Date.now();
    drop();
    if (Date.now() - connectedAt > options.giveUpMs) return settle({ kind: "lost" });
    const delayMs = decideDialDelayMs(failures++, Math.random());
    if (failures <= 3 || failures % 10 === 0) options.log(`bridge: ${why}; dialling again in ${Math.round(delayMs)} ms`);
    clearTimeout(dialTimer);
    dialTimer = setTimeout(dial, delayMs);
  };

  const sendFrame = (frame: unknown) => {
    if (socket && isWelcome) socket.send(JSON.stringify(frame));
  };

  const pump = () => {
    clearTimeout(pumpTimer);
    pumpTimer = undefined;
    while (socket && isWelcome) {
      if (socket.bufferedAmount > bufferedMaxBytes) {
        blockedSince ??= Date.now();
        if (Date.now() - blockedSince > blockedMaxMs) return redial("the connection takes nothing more");
        pumpTimer = setTimeout(pump, pumpRetryMs);
        return;
      }
      blockedSince = null;
      const frame = outbox.next();
      if (frame === null) return;
      socket.send(frame);
    }
  };

  const askCredential = (id: string) => {
    const request = credentials.get(id);
    if (!request || !isWelcome) return;
    const { pushId } = request;
    sendFrame({ type: "credential.request", id, ...(pushId === undefined ? {} : { pushId }) });
    // The clock runs only while somebody could answer; git's own limit bounds the rest.
    request.timer ??= setTimeout(() => {
      credentials.delete(id);
      request.reject(new Error(`the control plane gave no credential within ${credentialTimeoutMs / 1000} s`));
    }, credentialTimeoutMs);
  };

  const receive = (frame: BridgeDown) => {
    switch (frame.type) {
      case "welcome":
        clearTimeout(welcomeTimer);
        isWelcome = true;
        failures = 0;
        connectedAt = Date.now();
        outbox.acknowledge(frame.ack);
        outbox.rewind();
        connected.resolve();
        for (const id of credentials.keys()) askCredential(id);
        pump();
        break;
      case "ack":
        outbox.acknowledge(frame.seq);
        pump();
        break;
      case "credential":
      case "credential.refused": {
        const request = credentials.get(frame.id);
        if (!request) return;
        credentials.delete(frame.id);
        clearTimeout(request.timer);
        if (frame.type === "credential") request.resolve({ username: frame.username, password: frame.password });
        else request.reject(new CredentialRefused(frame.message));
        break;
      }
      case "session.answer":
      case "session.refused": {
        const question = questions.get(frame.id);
        if (!question) return;
        questions.delete(frame.id);
        clearTimeout(question.timer);
        if (frame.type === "session.answer") question.resolve(frame.sessions);
        else question.reject(new Error(frame.message));
        break;
      }
      case "prompt":
      case "abort":
      case "sync":
      case "refresh":
      case "push":
      case "shutdown":
        if (listener) listener(frame);
        else if (backlog.length < commandsBacklogMax) backlog.push(frame);
        break;
    }
    if (outbox.isDrained()) for (const wake of [...drainWaiters]) wake();
  };

  const dial = () => {
    if (isOver) return;
    const mine = new WebSocket(options.url, { headers: { Authorization: `Bearer ${options.token}` } });
    socket = mine;
    welcomeTimer = setTimeout(() => {
      if (socket === mine) redial("no welcome in time");
    }, connectTimeoutMs);
    mine.addEventListener("open", () => {
      if (socket !== mine) return mine.close();
      heardAt = Date.now();
      const { runtimeVersion, bootId } = options;
      const hello = {
        type: "hello",
        protocol: bridgeProtocolVersion,
        runtimeVersion,
        revision: runtimeRevision,
        bootId,
      } as const;
      mine.send(JSON.stringify(hello satisfies BridgeUp));
    });
    mine.addEventListener("message", ({ data }) => {
      if (socket !== mine) return;
      heardAt = Date.now();
      const frame = parseFrame(data);
      if (frame) receive(frame);
      else options.log("bridge: ignored a frame that this version does not know");
    });
    mine.addEventListener("close", ({ code }) => {
      if (socket !== mine) return;
      if (finalCodes.includes(code)) settle({ kind: "ended", code });
      else redial(`closed with code ${code}`);
    });
    // A close event follows every error; without a listener the error would be reported as uncaught.
    mine.addEventListener("error", () => undefined);
  };

  const heartbeat = setInterval(() => {
    if (!isWelcome) return;
    if (outbox.isAwaitingAck() && Date.now() - heardAt > ackSilenceMaxMs) return redial("nothing was acknowledged");
    sendFrame({ type: "heartbeat", at: Date.now() });
  }, heartbeatIntervalMs);

  // Loading the WebSocket client takes a while; what whoever called this does at once, such as starting the agent, is done before.
  const firstDial = setImmediate(dial);
  return {
    send(event) {
      if (isOver) return;
      outbox.push(fitEvent(event), Date.now());
      pump();
    },
    onCommand(next) {
      listener = next;
      const held = backlog;
      backlog = [];
      for (const command of held) next(command);
    },
    requestCredential(pushId) {
      if (isOver) return Promise.reject(new Error("the bridge ended"));
      const id = `${options.bootId}-${++requestCount}`;
      const answer = Promise.withResolvers<Credential>();
      credentials.set(id, { ...answer, timer: undefined, pushId });
      askCredential(id);
      return answer.promise;
    },
    requestSessions(request) {
      if (isOver || !isWelcome) return Promise.reject(new Error("The control plane cannot be reached now; try again later."));
      const id = `${options.bootId}-${++requestCount}`;
      const answer = Promise.withResolvers<AgentSessions>();
      const timer = setTimeout(() => {
        questions.delete(id);
        answer.reject(
          new Error(`The control plane did not answer within ${sessionsTimeoutMs / 1000} s; list the sessions first.`),
        );
      }, sessionsTimeoutMs);
      questions.set(id, { ...answer, timer });
      sendFrame({ type: "session.request", id, request });
      return answer.promise;
    },
    connected: connected.promise,
    end: end.promise,
    drained(timeoutMs) {
      if (outbox.isDrained()) return Promise.resolve(true);
      if (isOver) return Promise.resolve(false);
      return new Promise((resolve) => {
        const wake = () => {
          if (!outbox.isDrained() && !isOver && Date.now() < deadline) return;
          clearTimeout(timer);
          drainWaiters.delete(wake);
          resolve(outbox.isDrained());
        };
        const deadline = Date.now() + timeoutMs;
        const timer = setTimeout(wake, timeoutMs + 1);
        drainWaiters.add(wake);
      });
    },
    close: () => settle({ kind: "closed" }),
  };
}

/** Frames above the limit are none that a control plane of this protocol sends. */
function parseFrame(data: unknown): BridgeDown | null {
  if (typeof data !== "string" || data.length > bridgeFrameMaxBytes) return null;
  try {
    return bridgeDownSchema.parse(JSON.parse(data));
  } catch {
    return null;
  }
}
