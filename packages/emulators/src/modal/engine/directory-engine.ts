/**
 * The engine for machines without namespaces: a guest is a directory and processes that carry its mark. It confines
 * NOTHING: processes see the host, its files and its network. Absolute paths of a sandbox are rewritten, where they stand
 * in arguments and environment, to the guest's directory.
 */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, realpathSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createAgentLink } from "./agent-link.ts";
import { EngineError, type EngineOptions, type FilesystemId, type Guest, type GuestEnd, type SandboxEngine } from "./engine.ts";
import { lockStateDir } from "./engine-lock.ts";
import { waitForLine } from "./host-process.ts";
import { killMarked, markedProcesses } from "./marked-processes.ts";

const MARK = "OPEN_INSPECT_GUEST";
const DIRS = ["workspace", "home/agent", "root", "opt/openinspect", "run", "tmp"];
/** Paths of a sandbox, where they begin a word. */
const INSIDE = /(?<![\w/.-])\/(workspace|home\/agent|root|opt\/openinspect|run\/openinspect)(?![\w-])/g;
const GUEST_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
const BASE_ID = "base_host-toolchain";
const READY_TIMEOUT_MS = 30_000;
const GONE_TIMEOUT_MS = 10_000;
const COPY_TIMEOUT_MS = 600_000;

function clone(from: string, to: string): Promise<void> {
  const flags = process.platform === "darwin" ? ["-ac"] : ["-a", "--reflink=auto"];
  return new Promise((resolve, reject) => {
    const child = spawn("cp", [...flags, from, to], {
      stdio: ["ignore", "ignore", "pipe"],
      timeout: COPY_TIMEOUT_MS,
      killSignal: "SIGKILL",
    });
    let said = "";
    child.stderr.on("data", (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(-800);
    });
    child.on("error", reject);
    child.on("close", (code) =>
      code === 0 ? resolve() : reject(new EngineError("failed", `Copying the workspace failed: ${said}`)),
    );
  });
}

export async function createDirectoryEngine(options: EngineOptions & { log: (line: string) => void }): Promise<SandboxEngine> {
  const { log } = options;
  const root = join(options.stateDir, "directory");
  const [filesystems, guestsDir, trash, tools] = ["filesystems", "sandboxes", "trash", "tools"].map((name) =>
    join(root, name),
  ) as [string, string, string, string];
  for (const dir of [filesystems, guestsDir, trash]) mkdirSync(dir, { recursive: true });
  const unlock = await lockStateDir(options.stateDir);
  const markPrefix = `${realpathSync(root)}#`;
  const guests = new Map<string, { guest: Guest; mark: string; dir: string }>();
  let trashCount = 0;
  const discard = (path: string) => {
    if (existsSync(path)) renameSync(path, join(trash, `${process.pid}-${Date.now()}-${trashCount++}`));
    for (const name of readdirSync(trash)) rmSync(join(trash, name), { recursive: true, force: true });
  };

  await killMarked(MARK, markPrefix, GONE_TIMEOUT_MS);
  for (const name of readdirSync(guestsDir)) discard(join(guestsDir, name));
  for (const name of readdirSync(filesystems)) if (name.endsWith(".tmp")) discard(join(filesystems, name));
  const inherited = readdirSync(filesystems).filter((name) => name.startsWith("snap_"));
  rmSync(tools, { recursive: true, force: true });
  mkdirSync(tools);
  for (const [name, file] of Object.entries(options.tools)) symlinkSync(file, join(tools, name));

  const exists = (id: FilesystemId) => /^[\w-]+$/.test(id) && existsSync(join(filesystems, id));

  const startGuest: SandboxEngine["createGuest"] = async (spec) => {
    const dir = join(guestsDir, spec.id);
    await clone(join(filesystems, spec.filesystem), dir);
    const mark = `${markPrefix}${spec.id}`;
    const home = join(dir, "root");
    // Socket addresses are short and the state directory may not be.
    const socketDir = mkdtempSync(join(tmpdir(), "oi-"));
    const config = { socket: join(socketDir, "a.sock"), fifoDir: join(socketDir, "f"), forwards: [] };
    const baseEnv = {
      PATH: `${tools}:${process.env.PATH ?? ""}`,
      HOME: home,
      LANG: "C.UTF-8",
      OPEN_INSPECT_GUEST_ROOT: dir,
      [MARK]: mark,
    };
    const inside = (text: string) => text.replace(INSIDE, (path) => dir + path);
    const agent = spawn(
      process.execPath,
      [fileURLToPath(new URL("./guest-agent.cjs", import.meta.url)), JSON.stringify(config)],
      {
        env: baseEnv,
        cwd: dir,
        detached: true,
      },
    );
    agent.stdin.on("error", () => {});
    const ended = Promise.withResolvers<GuestEnd>();
    let reason: GuestEnd["reason"] | null = null;
    const closed = new Promise<void>((resolve) => agent.once("close", () => resolve()));
    const cleanUp = async () => {
      await killMarked(MARK, mark, GONE_TIMEOUT_MS);
      rmSync(socketDir, { recursive: true, force: true });
      discard(dir);
      guests.delete(spec.id);
    };
    try {
      await waitForLine(agent, "READY", READY_TIMEOUT_MS);
    } catch (error) {
      await cleanUp();
      throw error;
    }
    const link = createAgentLink(config.socket);
    void closed.then(async () => {
      link.close();
      await cleanUp().catch((error: unknown) => log(`guest ${spec.id}: cleaning up failed: ${String(error)}`));
      ended.resolve({ reason: reason ?? "died" });
    });
    const guest: Guest = {
      id: spec.id,
      async exec(exec) {
        if (reason !== null) throw new EngineError("failed", "The guest has ended.");
        const env = Object.fromEntries(
          Object.entries({ ...spec.env, ...exec.env }).map(([name, value]) => [name, inside(value)]),
        );
        const workdir = inside(exec.workdir ?? spec.workdir ?? "/root");
        return link.exec({ ...exec, argv: exec.argv.map(inside), env: { ...baseEnv, ...env, [MARK]: mark }, workdir });
      },
      async kill() {
        reason ??= "killed";
        await killMarked(MARK, mark, GONE_TIMEOUT_MS);
        await ended.promise;
      },
      ended: ended.promise,
    };
    guests.set(spec.id, { guest, mark, dir });
    return guest;
  };

  return {
    describe: () => ({
      isolation: "none",
      detail: "directories of the host: guests are NOT confined and see its files and network; no limits; snapshots are copies",
    }),
    async filesystemFromTag(tag) {
      if (tag !== "local/host-toolchain")
        throw new EngineError("not_found", `There is no image ${tag} without namespaces; local/host-toolchain is known.`);
      if (exists(BASE_ID)) return BASE_ID;
      for (const dir of DIRS) mkdirSync(join(filesystems, BASE_ID, dir), { recursive: true });
      return BASE_ID;
    },
    filesystemExists: exists,
    async createGuest(spec) {
      if (!GUEST_ID.test(spec.id)) throw new EngineError("invalid", `${spec.id} cannot name a guest.`);
      if (guests.has(spec.id) || existsSync(join(guestsDir, spec.id)))
        throw new EngineError("invalid", `There is a guest ${spec.id} already.`);
      if (spec.diskBytes !== undefined) throw new EngineError("invalid", "Without namespaces no guest's disk can be limited.");
      if (!exists(spec.filesystem)) throw new EngineError("not_found", `There is no filesystem ${spec.filesystem}.`);
      return startGuest(spec);
    },
    async snapshot(guestId) {
      const resident = guests.get(guestId);
      if (resident === undefined) throw new EngineError("not_found", `There is no guest ${guestId}.`);
      const id = `snap_${randomBytes(12).toString("hex")}`;
      const scratch = join(filesystems, `${id}.tmp`);
      const stopped = markedProcesses(MARK, resident.mark);
      const signal = (name: NodeJS.Signals) => {
        for (const pid of stopped) {
          try {
            process.kill(pid, name);
          } catch {}
        }
      };
      signal("SIGSTOP");
      try {
        await clone(resident.dir, scratch);
        renameSync(scratch, join(filesystems, id));
      } finally {
        signal("SIGCONT");
        discard(scratch);
      }
      return id;
    },
    async deleteFilesystem(id) {
      if (exists(id)) discard(join(filesystems, id));
    },
    async retainOnly(ids) {
      const known = new Set(ids);
      for (const id of inherited) if (!known.has(id)) discard(join(filesystems, id));
    },
    async close() {
      await Promise.all([...guests.values()].map(({ guest }) => guest.kill()));
      unlock();
    },
  };
}
