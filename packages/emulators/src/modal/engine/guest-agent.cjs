/**
 * Runs inside a guest: starts the processes that the engine asks for and carries their bytes; forwards loopback ports to
 * the engine's sockets. Knows nothing of images, snapshots or policy. No dependencies: this one file is all that is shown
 * to the guest. Zombies are reaped by PID 1 (the launcher), not here. CommonJS: Node starts it 5 ms sooner than a module.
 *
 * One connection per process on the unix socket. Frames: type (1 byte), length (4 bytes, big endian), payload.
 */
const fs = require("node:fs");
const net = require("node:net");

// Loaded when first used, after the guest was reported ready: each costs the start a millisecond.
const spawn = (...args) => require("node:child_process").spawn(...args);
const spawnSync = (...args) => require("node:child_process").spawnSync(...args);

const FRAME = { start: 1, stdin: 2, stdinEnd: 3, started: 10, stdout: 11, stderr: 12, exit: 13 };
/** After a process ended, how long a daemon that kept its pipes may go on talking into its output. */
const DRAIN_IDLE_MS = 60;
const DRAIN_LIMIT_MS = 400;
const FIFO_STOCK = 24;
const MAX_FRAME_BYTES = 1 << 20;

const config = JSON.parse(process.argv[2]);
const live = new Map();

// Node's own "pipe" stdio is a socket, and a socket cannot be opened through /dev/stdout, which scripts do all the time.
// So processes get FIFOs, which can.
// The first of them are made while the guest is.
const fifos = config.fifoStock ? fs.readdirSync(config.fifoStock).map((name) => `${config.fifoStock}/${name}`) : [];
let fifoCount = 0;
let refilling = false;
fs.mkdirSync(config.fifoDir, { recursive: true, mode: 0o700 });

function newFifoNames(count) {
  return Array.from({ length: count }, () => `${config.fifoDir}/${++fifoCount}`);
}
function takeFifo() {
  if (fifos.length === 0) {
    const names = newFifoNames(3);
    const made = spawnSync("mkfifo", names, { stdio: "ignore", timeout: 5000 });
    if (made.status !== 0) throw new Error("mkfifo failed in the guest");
    fifos.push(...names);
  }
  const name = fifos.pop();
  refillFifos();
  return name;
}
function refillFifos() {
  if (refilling || fifos.length >= FIFO_STOCK / 2) return;
  refilling = true;
  const names = newFifoNames(FIFO_STOCK);
  const child = spawn("mkfifo", names, { stdio: "ignore" });
  child.on("error", () => {
    refilling = false;
  });
  child.on("exit", (code) => {
    refilling = false;
    if (code === 0) fifos.push(...names);
  });
}

// A FIFO whose writer has gone blocks whoever opens it again, so `cat /dev/stdin` after the end of input would hang. Input
// therefore gets anonymous pipes. Node cannot make one, but it can open those that a shell makes for its here-documents.
const inputs = [];
const PIPE_FDS = [4, 5, 6, 7, 8, 9];
const PIPE_MAKER = `exec ${PIPE_FDS.map((fd) => `${fd}<<"E"`).join(" ")}\n${"\nE\n".repeat(PIPE_FDS.length)}echo; read -r _`;
let makingInputs = false;
function refillInputs() {
  if (makingInputs || inputs.length > 2) return;
  makingInputs = true;
  const maker = spawn("sh", ["-c", PIPE_MAKER], { stdio: ["pipe", "pipe", "ignore"] });
  const done = () => {
    makingInputs = false;
  };
  maker.on("error", done);
  maker.on("exit", done);
  maker.stdin.on("error", () => {});
  maker.stdout.once("data", () => {
    for (const fd of PIPE_FDS) {
      try {
        const end = `/proc/${maker.pid}/fd/${fd}`;
        // Some shells keep a here-document in a file.
        if (!fs.statSync(end).isFIFO()) continue;
        const inner = fs.openSync(end, fs.constants.O_RDONLY);
        const outer = fs.openSync(end, fs.constants.O_WRONLY | fs.constants.O_NONBLOCK);
        // The empty line of the document: for an empty document some shells make no pipe.
        fs.readSync(inner, Buffer.alloc(1));
        inputs.push({ inner, outer });
      } catch {}
    }
    maker.stdin.end();
  });
}

/** `inner` blocks and goes to the process, `outer` is ours. */
function openInput() {
  const ready = inputs.shift();
  refillInputs();
  if (ready !== undefined) return ready;
  const path = takeFifo();
  const { O_RDONLY, O_WRONLY, O_NONBLOCK } = fs.constants;
  const reader = fs.openSync(path, O_RDONLY | O_NONBLOCK);
  const outer = fs.openSync(path, O_WRONLY | O_NONBLOCK);
  const inner = fs.openSync(path, O_RDONLY);
  fs.closeSync(reader);
  fs.unlinkSync(path);
  return { inner, outer };
}
function openOutput() {
  const path = takeFifo();
  const outer = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
  const inner = fs.openSync(path, fs.constants.O_WRONLY);
  fs.unlinkSync(path);
  return { inner, outer };
}

function frame(type, payload) {
  const head = Buffer.allocUnsafe(5);
  head[0] = type;
  head.writeUInt32BE(payload.length, 1);
  return [head, payload];
}

function serve(connection) {
  let pending = Buffer.alloc(0);
  let run = null;
  connection.on("error", () => {});
  connection.on("close", () => run?.abandon());
  connection.on("data", (chunk) => {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
    while (pending.length >= 5) {
      const length = pending.readUInt32BE(1);
      if (length > MAX_FRAME_BYTES) return connection.destroy();
      if (pending.length < 5 + length) break;
      const type = pending[0];
      const payload = pending.subarray(5, 5 + length);
      pending = pending.subarray(5 + length);
      if (type === FRAME.start && run === null) {
        const request = JSON.parse(payload.toString());
        if (request.kill !== undefined) {
          live.get(request.kill)?.kill();
          connection.end();
          return;
        }
        run = start(connection, request);
      } else if (type === FRAME.stdin) run?.stdin(payload);
      else if (type === FRAME.stdinEnd) run?.stdinEnd();
    }
  });
}

function send(connection, type, payload) {
  if (connection.destroyed) return true;
  const [head, body] = frame(type, payload);
  connection.cork();
  connection.write(head);
  const room = connection.write(body);
  connection.uncork();
  return room;
}

function refuse(connection, code, message) {
  send(connection, FRAME.started, Buffer.alloc(0));
  send(connection, FRAME.stderr, Buffer.from(`${message}\n`));
  send(connection, FRAME.exit, Buffer.from(JSON.stringify({ code })));
  connection.end();
  return { stdin() {}, stdinEnd() {}, abandon() {} };
}

const quote = (word) => `'${word.replaceAll("'", "'\\''")}'`;

function start(connection, request) {
  if (!fs.existsSync(request.workdir)) return refuse(connection, 126, `working directory ${request.workdir} does not exist`);
  const argv = request.pty ? ["script", "-qefc", `exec ${request.argv.map(quote).join(" ")}`, "/dev/null"] : request.argv;
  const env = request.pty ? { TERM: "xterm-256color", ...request.env, SHELL: "/bin/sh" } : request.env;
  const pipes = [openInput(), openOutput(), openOutput()];
  const child = spawn(argv[0], argv.slice(1), {
    cwd: request.workdir,
    env,
    detached: true,
    stdio: pipes.map((pipe) => pipe.inner),
  });
  for (const pipe of pipes) fs.closeSync(pipe.inner);

  const stdin = new net.Socket({ fd: pipes[0].outer, readable: false, writable: true });
  const outputs = [pipes[1], pipes[2]].map((pipe) => new net.Socket({ fd: pipe.outer, readable: true, writable: false }));
  stdin.on("error", () => stdin.destroy());
  stdin.on("drain", () => connection.resume());
  stdin.on("close", () => connection.resume());

  let open = 2;
  let ended = null;
  let finished = false;
  let blocked = false;
  let idle = null;
  let limit = null;
  const killGroup = () => {
    if (child.pid === undefined || finished) return;
    try {
      process.kill(-child.pid, "SIGKILL");
    } catch {}
  };
  const finish = () => {
    if (finished || ended === null) return;
    finished = true;
    clearTimeout(idle);
    clearTimeout(limit);
    clearTimeout(timer);
    live.delete(request.id);
    send(connection, FRAME.exit, Buffer.from(JSON.stringify({ code: ended })));
    connection.end();
    stdin.destroy();
    // A daemon may still hold these pipes: go on reading, or its next line would kill it.
    for (const output of outputs) output.resume();
  };
  const rearm = () => {
    clearTimeout(idle);
    if (ended !== null && !blocked) idle = setTimeout(finish, DRAIN_IDLE_MS);
  };
  const armLimit = () => {
    clearTimeout(limit);
    if (ended !== null && !blocked) limit = setTimeout(finish, DRAIN_LIMIT_MS);
  };
  outputs.forEach((output, index) => {
    output.on("data", (chunk) => {
      if (finished) return;
      if (!send(connection, FRAME.stdout + index, chunk)) {
        blocked = true;
        clearTimeout(idle);
        clearTimeout(limit);
        for (const each of outputs) each.pause();
      } else rearm();
    });
    output.on("error", () => output.destroy());
    output.on("close", () => {
      open -= 1;
      if (open === 0) finish();
    });
  });
  connection.on("drain", () => {
    if (!blocked) return;
    blocked = false;
    for (const output of outputs) output.resume();
    rearm();
    armLimit();
  });

  const endWith = (code) => {
    if (ended !== null) return;
    ended = code;
    stdin.destroy();
    if (open === 0) return finish();
    rearm();
    armLimit();
  };
  child.on("error", (error) => {
    if (child.pid !== undefined) return;
    const code = error.code === "ENOENT" ? 127 : 126;
    send(connection, FRAME.stderr, Buffer.from(`${argv[0]}: ${code === 127 ? "not found" : error.message}\n`));
    endWith(code);
  });
  child.on("exit", (code, signal) => endWith(code ?? 128 + (require("node:os").constants.signals[signal] ?? 0)));
  const timer =
    request.timeoutMs === null
      ? undefined
      : setTimeout(() => {
          if (ended !== null) return;
          killGroup();
          endWith(137);
        }, request.timeoutMs);

  const handle = {
    kill: killGroup,
    stdin(payload) {
      if (!stdin.destroyed && stdin.writable && !stdin.write(payload)) connection.pause();
    },
    stdinEnd() {
      stdin.end();
    },
    abandon() {
      if (finished) return;
      killGroup();
      ended ??= 137;
      finish();
    },
  };
  live.set(request.id, handle);
  send(connection, FRAME.started, Buffer.alloc(0));
  return handle;
}

function forward({ port, path }) {
  return new Promise((resolve, reject) => {
    const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (inner) => {
      const outer = net.connect({ path, allowHalfOpen: true });
      const drop = () => {
        inner.destroy();
        outer.destroy();
      };
      inner.on("error", drop).on("close", () => outer.destroySoon());
      outer.on("error", drop).on("close", () => inner.destroySoon());
      inner.pipe(outer);
      outer.pipe(inner);
    });
    server.on("error", reject);
    // Without an address, for which Node would load its resolver and need 5 ms: this network has a loopback and nothing else.
    server.listen(port, 511, resolve);
  });
}

process.umask(0o022);
process.on("SIGTERM", () => {});
process.on("SIGHUP", () => {});
// The engine holds the other end. When it is gone, so is this guest.
const leave = () => {
  for (const run of live.values()) run.kill();
  process.exit(0);
};

void Promise.all([
  ...config.forwards.map(forward),
  new Promise((resolve, reject) => {
    const server = net.createServer({ allowHalfOpen: true }, serve);
    server.on("error", reject);
    server.listen(config.socket, 128, resolve);
  }),
]).then(() => {
  // process.stdout and process.stdin are made when first touched, and that takes its time.
  fs.writeSync(1, "READY\n");
  process.stdin.on("end", leave).on("error", leave);
  process.stdin.resume();
  refillFifos();
  refillInputs();
});
