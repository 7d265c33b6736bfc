/** The engine's end of the wire to the agent inside a guest. Knows frames and sockets, nothing of how guests are made. */
import { closeSync, constants, fstatSync, openSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { EngineError, type GuestProcess } from "./engine.ts";

const FRAME = { start: 1, stdin: 2, stdinEnd: 3, started: 10, stdout: 11, stderr: 12, exit: 13 } as const;
const STDIN_CHUNK_BYTES = 256 * 1024;
/** What is kept for a listener that was not registered yet; beyond it the process is held back. */
const UNHEARD_OUTPUT_BYTES = 8 * 1024 * 1024;
/** Linux's O_PATH, which Node does not name. */
const O_PATH = 0o10000000;
const KILLED_EXIT_CODE = 137;

export interface AgentExec {
  argv: string[];
  env: Record<string, string>;
  workdir: string;
  timeoutMs: number | null;
  pty: boolean;
}

export interface AgentLink {
  /** Resolves when the agent has started the process (or found that it cannot). Rejects with EngineError when the guest is gone. */
  exec(exec: AgentExec): Promise<GuestProcess>;
  close(): void;
}

function frame(type: number, payload: Uint8Array): Buffer {
  const head = Buffer.allocUnsafe(5);
  head[0] = type;
  head.writeUInt32BE(payload.length, 1);
  return Buffer.concat([head, payload]);
}

/**
 * The guest owns the directory of the socket and could put a symlink to a socket of the host in its place, so the inode is
 * opened once, without following links, and every connection goes to that inode.
 */
export function createAgentLink(socketPath: string): AgentLink {
  const fd = process.platform === "linux" ? openSocketInode(socketPath) : null;
  const address = fd === null ? socketPath : `/proc/self/fd/${fd}`;
  let nextId = 1;
  let closed = false;
  const open = new Set<Socket>();

  return {
    exec(exec) {
      const id = nextId++;
      if (closed) return Promise.reject(new EngineError("failed", "The guest has ended."));
      const socket = connect({ path: address, allowHalfOpen: true });
      open.add(socket);
      socket.on("close", () => open.delete(socket));
      return startProcess(socket, id, exec, () => {
        if (closed) return;
        const control = connect({ path: address });
        control.on("error", () => {});
        control.end(frame(FRAME.start, Buffer.from(JSON.stringify({ kill: id }))));
      });
    },
    close() {
      if (closed) return;
      closed = true;
      for (const socket of open) socket.destroy();
      if (fd !== null) closeSync(fd);
    },
  };
}

function openSocketInode(socketPath: string): number {
  const fd = openSync(socketPath, O_PATH | constants.O_NOFOLLOW);
  if (fstatSync(fd).isSocket()) return fd;
  closeSync(fd);
  throw new EngineError("failed", "The guest replaced the socket of its agent.");
}

type Output = { fd: 1 | 2; bytes: Uint8Array };

function startProcess(socket: Socket, id: number, exec: AgentExec, sendKill: () => void): Promise<GuestProcess> {
  const started = Promise.withResolvers<GuestProcess>();
  const exit = Promise.withResolvers<number>();
  let exitCode: number | null = null;
  let ended = false;
  let listener: ((fd: 1 | 2, bytes: Uint8Array) => void | Promise<void>) | null = null;
  const queue: Output[] = [];
  let queuedBytes = 0;
  let delivering = false;

  const settle = () => {
    if (!ended || delivering || (queue.length > 0 && listener !== null)) return;
    exit.resolve(exitCode ?? KILLED_EXIT_CODE);
  };
  const deliver = async () => {
    if (delivering || listener === null) return;
    delivering = true;
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      queuedBytes -= next.bytes.length;
      try {
        const slow = listener(next.fd, next.bytes);
        if (slow instanceof Promise) {
          socket.pause();
          await slow;
        }
      } catch {
        // A listener that fails loses its own output; the process goes on.
      }
    }
    delivering = false;
    socket.resume();
    settle();
  };
  const push = (fd: 1 | 2, bytes: Uint8Array) => {
    queue.push({ fd, bytes });
    queuedBytes += bytes.length;
    if (listener !== null) void deliver();
    else if (queuedBytes > UNHEARD_OUTPUT_BYTES) socket.pause();
  };

  let pending: Buffer = Buffer.alloc(0);
  socket.on("data", (chunk: Buffer) => {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
    while (pending.length >= 5) {
      const length = pending.readUInt32BE(1);
      if (pending.length < 5 + length) break;
      const type = pending[0];
      const payload = pending.subarray(5, 5 + length);
      pending = pending.subarray(5 + length);
      if (type === FRAME.started) started.resolve(guestProcess);
      else if (type === FRAME.stdout) push(1, payload);
      else if (type === FRAME.stderr) push(2, payload);
      else if (type === FRAME.exit) {
        const parsed: unknown = JSON.parse(payload.toString());
        const code = typeof parsed === "object" && parsed !== null && "code" in parsed ? parsed.code : null;
        exitCode = typeof code === "number" ? code : KILLED_EXIT_CODE;
        ended = true;
        socket.end();
        settle();
      }
    }
  });
  socket.on("error", () => {});
  socket.on("close", () => {
    started.reject(new EngineError("failed", "The guest ended before the process was started."));
    ended = true;
    settle();
  });

  const write = (bytes: Uint8Array) =>
    new Promise<void>((resolve, reject) => {
      socket.write(bytes, (error) => (error ? reject(new EngineError("failed", "The process has ended.")) : resolve()));
    });
  let stdinClosed = false;
  const guestProcess: GuestProcess = {
    async write(bytes) {
      if (ended || stdinClosed) throw new EngineError("invalid", "The input of the process is closed.");
      for (let at = 0; at < bytes.length; at += STDIN_CHUNK_BYTES) {
        await write(frame(FRAME.stdin, bytes.subarray(at, at + STDIN_CHUNK_BYTES)));
      }
    },
    async closeStdin() {
      if (ended || stdinClosed) return;
      stdinClosed = true;
      await write(frame(FRAME.stdinEnd, Buffer.alloc(0))).catch(() => {});
    },
    onOutput(next) {
      listener = next;
      void deliver();
    },
    exit: exit.promise,
    async kill() {
      if (ended) return;
      sendKill();
      await exit.promise;
    },
  };
  socket.write(frame(FRAME.start, Buffer.from(JSON.stringify({ id, ...exec }))));
  started.promise.catch(() => {});
  return started.promise;
}
