import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { hasNamespaces, isRoot, newStateDir, ok, openEngine, programEnv, removeStateDir } from "./harness.ts";

const MARK = "oi-recovery-daemon";
const started: ChildProcess[] = [];
afterEach(() => {
  for (const child of started.splice(0)) child.kill("SIGKILL");
});

function startEngine(
  stateDir: string,
  scenario = "hold",
): Promise<{ child: ChildProcess; said: { settled: string; pending: string } }> {
  const child = spawn(process.execPath, [join(import.meta.dirname, "engine-child.ts"), scenario, stateDir, MARK], {
    stdio: ["ignore", "pipe", "inherit"],
    env: programEnv,
  });
  started.push(child);
  return new Promise((resolve, reject) => {
    child.once("exit", (code) => reject(new Error(`the engine's process ended with ${code}`)));
    child.stdout?.once("data", (chunk: Buffer) => resolve({ child, said: JSON.parse(chunk.toString()) }));
  });
}

/** Command lines of processes, in any namespace, that came from the engine on this directory. */
function processesOf(stateDir: string): string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        return [readFileSync(`/proc/${pid}/cmdline`, "latin1").replaceAll("\0", " ")];
      } catch {
        return [];
      }
    })
    .filter((line) => line.includes(stateDir) || line.startsWith(`${MARK} `) || line.startsWith(`sleep ${MARK.length} `));
}

/** Control groups of the guests that the process made: their names carry its pid. */
const cgroupsOf = (pid: number | undefined): string[] => {
  const dirs: string[] = [];
  const look = (dir: string, depth: number) => {
    for (const entry of readdirSync(dir, { withFileTypes: true })) {
      if (!entry.isDirectory()) continue;
      if (entry.name.startsWith("open-inspect-") && entry.name.includes(`-${pid}-`)) dirs.push(join(dir, entry.name));
      else if (depth > 0) look(join(dir, entry.name), depth - 1);
    }
  };
  if (existsSync("/sys/fs/cgroup")) look("/sys/fs/cgroup", 3);
  return dirs;
};

describe.skipIf(!hasNamespaces)("an engine's process that ends without a word", () => {
  it("takes its guests and their control groups along; killed once more, its directory still opens", async () => {
    const stateDir = newStateDir();
    const { child } = await startEngine(stateDir, "crash");
    await new Promise((resolve) => child.once("close", resolve));
    await expect.poll(() => processesOf(stateDir), { timeout: 3000 }).toEqual([]);
    expect(cgroupsOf(child.pid)).toEqual([]);
    const again = await startEngine(stateDir);
    again.child.kill("SIGKILL");
    const next = await openEngine({ stateDir });
    expect(await ok(await next.guest(), "echo up")).toBe("up\n");
    await next.close();
    expect(processesOf(stateDir)).toEqual([]);
    expect(cgroupsOf(again.child.pid)).toEqual([]);
  });
});

describe.skipIf(!hasNamespaces)("after SIGKILL of the engine's process", () => {
  it("no process and no mount is left; the next engine finds every snapshot that was reported and clears the rest", async () => {
    const stateDir = newStateDir();
    const { child, said } = await startEngine(stateDir);
    expect(processesOf(stateDir).some((line) => line.startsWith(MARK))).toBe(true);
    if (isRoot) expect(cgroupsOf(child.pid)).not.toEqual([]);
    child.kill("SIGKILL");
    await expect.poll(() => processesOf(stateDir), { timeout: 3000 }).toEqual([]);
    expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(stateDir);

    const next = await openEngine({ stateDir });
    for (const [id, what] of [
      [said.settled, "copied"],
      [said.pending, "frozen"],
    ] as const) {
      expect(next.engine.filesystemExists(id), what).toBe(true);
      const guest = await next.guest({ filesystem: id });
      expect(await ok(guest, "cat /workspace/what")).toBe(`${what}\n`);
      if (what === "frozen") expect(await ok(guest, "ls /workspace | wc -l; cat /workspace/f300")).toBe("301\n300\n");
      await guest.kill();
    }
    const store = join(stateDir, readdirSync(stateDir).find((name) => /^(trusted|user)-/.test(name)) ?? "");
    await expect.poll(() => [...readdirSync(join(store, "sandboxes")), ...readdirSync(join(store, "trash"))]).toEqual([]);
    await next.close();
    expect(cgroupsOf(child.pid)).toEqual([]);
    removeStateDir(stateDir);
  });

  it("a guest whose launcher is killed from outside has died, and nothing of it is left", async () => {
    const test = await openEngine();
    const guest = await test.guest();
    await ok(guest, `(setsid bash -c 'trap "" TERM HUP; exec -a ${MARK}-orphan sleep 300' > /dev/null 2>&1 &)`);
    const store = join(test.stateDir, readdirSync(test.stateDir).find((name) => /^(trusted|user)-/.test(name)) ?? "");
    const meta: { processes: { pid: number }[] } = JSON.parse(
      readFileSync(join(store, "sandboxes", guest.id, "meta.json"), "utf8"),
    );
    process.kill(meta.processes[0]?.pid ?? Number.NaN, "SIGKILL");
    expect(await guest.ended).toEqual({ reason: "died" });
    expect(processesOf(`${MARK}-orphan`)).toEqual([]);
    expect(existsSync(join(store, "sandboxes", guest.id))).toBe(false);
    await test.close();
  });
});
