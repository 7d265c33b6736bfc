/** A sandbox engine for the contract tests: each guest is a copied directory seen as `/` through bubblewrap. Confines nothing. */
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { cp, mkdir, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import { EngineError, type Guest, type GuestEnd, type GuestProcess, type SandboxEngine } from "../../src/modal/engine/engine.ts";

export const plainTag = "local/host-toolchain";

export function createPlainEngine(stateDir: string): SandboxEngine {
  const folder = (id: string) => join(stateDir, "filesystems", id);
  const guests = new Map<string, { guest: Guest; root: string }>();

  const copy = (from: string, to: string) => cp(from, to, { recursive: true, verbatimSymlinks: true });
  async function baseFilesystem(): Promise<string> {
    const root = folder("base");
    if (existsSync(root)) return "base";
    for (const each of ["root", "tmp", "usr", "proc", "dev", "etc", "run"]) await mkdir(join(root, each), { recursive: true });
    for (const each of ["bin", "lib", "lib64", "sbin"]) await symlink(`usr/${each}`, join(root, each));
    return "base";
  }

  return {
    describe: () => ({ isolation: "none", detail: "directories for tests" }),
    filesystemFromTag: async (tag) => {
      if (tag !== plainTag) throw new EngineError("not_found", `There is no image ${tag}.`);
      return await baseFilesystem();
    },
    filesystemExists: (id) => existsSync(folder(id)),
    createGuest: async (spec) => {
      const root = join(stateDir, "guests", spec.id);
      await mkdir(join(stateDir, "guests"), { recursive: true });
      await copy(folder(spec.filesystem), root);
      const running = new Set<GuestProcess>();
      const { promise: ended, resolve: resolveEnded } = Promise.withResolvers<GuestEnd>();
      const guest: Guest = {
        id: spec.id,
        ended,
        exec: async (exec) => {
          const cwd = exec.workdir ?? spec.workdir ?? "/root";
          await mkdir(join(root, cwd), { recursive: true });
          const mounts = ["--bind", root, "/", "--ro-bind", "/usr", "/usr", "--proc", "/proc", "--dev", "/dev", "--chdir", cwd];
          const child = spawn("bwrap", ["--die-with-parent", "--unshare-pid", ...mounts, "--", ...exec.argv], {
            env: { PATH: `/usr/local/bin:/usr/bin:/bin`, HOME: "/root", ...spec.env, ...exec.env },
          });
          let listener: (fd: 1 | 2, bytes: Uint8Array) => void = () => {};
          child.stdout.on("data", (bytes: Buffer) => listener(1, bytes));
          child.stderr.on("data", (bytes: Buffer) => listener(2, bytes));
          child.stdin.on("error", () => {});
          const timer = exec.timeoutMs === null ? null : setTimeout(() => child.kill("SIGKILL"), exec.timeoutMs);
          const process: GuestProcess = {
            write: (bytes) =>
              new Promise((resolve, reject) => child.stdin.write(bytes, (cause) => (cause ? reject(cause) : resolve()))),
            closeStdin: () => new Promise((resolve) => child.stdin.end(resolve)),
            onOutput: (each) => {
              listener = each;
            },
            exit: new Promise((resolve) => {
              child.on("close", (code, signal) => {
                if (timer) clearTimeout(timer);
                running.delete(process);
                resolve(code === 1 && !existsSync(join(root, "bin")) ? 127 : (code ?? (signal === "SIGKILL" ? 137 : 143)));
              });
            }),
            kill: async () => {
              child.kill("SIGKILL");
              await process.exit;
            },
          };
          running.add(process);
          return process;
        },
        kill: async () => {
          await Promise.all([...running].map((process) => process.kill()));
          guests.delete(spec.id);
          await rm(root, { recursive: true, force: true });
          resolveEnded({ reason: "killed" });
        },
      };
      guests.set(spec.id, { guest, root });
      return guest;
    },
    snapshot: async (guestId) => {
      const found = guests.get(guestId);
      if (!found) throw new EngineError("not_found", `There is no guest ${guestId}.`);
      const id = randomUUID();
      await copy(found.root, folder(id));
      return id;
    },
    deleteFilesystem: (id) => rm(folder(id), { recursive: true, force: true }),
    close: async () => {
      await Promise.all([...guests.values()].map(({ guest }) => guest.kill()));
    },
  };
}
