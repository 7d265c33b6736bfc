/** The launcher starts the runtime once, hands it the config through memory alone, and survives what a snapshot brought along. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { aliveScript, beforeSnapshotScript, launchScript, logScript, snapshotBegunCode } from "../src/gateway/launcher.ts";

const token = "a-token-that-nobody-else-may-see";
const config = JSON.stringify({ bridgeToken: token, text: "a\\n'\"$(touch x) ü %s" });
/** Stands for the runtime: says what it got, then stays. */
const runtimeSource = `
import { readFileSync } from "node:fs";
const config = readFileSync(0, "utf8");
console.log("got " + config.trim());
setInterval(() => {}, 1000);
`;

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "launcher-"));
  mkdirSync(join(root, "opt"));
  writeFileSync(join(root, "opt/runtime.mjs"), runtimeSource);
});
afterEach(() => {
  try {
    for (const pid of startedPids()) end(pid);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
});

const stateDir = () => join(root, "run");
/** Each launch leaves its pid, which is the leader of its own process group. */
function runtimePids(): number[] {
  if (!existsSync(stateDir())) return [];
  const files = readdirSync(stateDir()).map((name) => join(stateDir(), name, "pid"));
  return files
    .filter((file) => existsSync(file))
    .map((file) => Number(readFileSync(file, "utf8")))
    .filter(isAlive);
}
/** Everything that runs this test's runtime: tini's child has a process group of its own and outlives a killed tini. */
function startedPids(): number[] {
  const pids = readdirSync("/proc").map(Number).filter(Number.isInteger);
  return pids.filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").includes(join(root, "opt/runtime.mjs"));
    } catch {
      return false; // it ended meanwhile
    }
  });
}
/** A process, or with a negative number its group; it may have ended since it was found. */
function end(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // gone already
  }
}
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

interface Ended {
  code: number | null;
  stdout: Buffer;
}
function run(script: string, args: string[], input: string | null): { child: ChildProcess; ended: Promise<Ended> } {
  const moved = script.replaceAll("/run/openinspect", stateDir()).replaceAll("/opt/openinspect", join(root, "opt"));
  const child = spawn("/bin/sh", ["-c", moved, "openinspect", ...args], { stdio: ["pipe", "pipe", "inherit"] });
  const chunks: Buffer[] = [];
  child.stdout?.on("data", (chunk: Buffer) => chunks.push(chunk));
  // The input is not closed: the real caller does not close it either.
  if (input !== null) child.stdin?.write(input);
  const ended = new Promise<Ended>((resolve) =>
    child.on("close", (code) => {
      child.stdin?.destroy();
      resolve({ code, stdout: Buffer.concat(chunks) });
    }),
  );
  return { child, ended };
}
const launch = (sandboxId = "sb-1", line = `${config}\n`) => run(launchScript, [sandboxId], line).ended;
async function logOf(): Promise<string> {
  for (let tries = 0; tries < 100; tries++) {
    const text = existsSync(join(stateDir(), "runtime.log")) ? readFileSync(join(stateDir(), "runtime.log"), "utf8") : "";
    if (text.endsWith("\n")) return text;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error("the runtime printed nothing");
}

test("the runtime gets the config byte for byte, detached from the launcher", async () => {
  expect((await launch()).code).toBe(0);
  expect(await logOf()).toBe(`got ${config}\n`);
  expect(runtimePids()).toHaveLength(1);
});

test("the config is in no argument list, no environment and no file", async () => {
  await launch();
  await logOf();
  writeFileSync(join(root, "run/runtime.log"), "");
  const everywhere = readdirSync("/proc").filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid);
  for (const pid of everywhere) {
    for (const file of ["cmdline", "environ"]) {
      let content = "";
      try {
        content = readFileSync(`/proc/${pid}/${file}`, "utf8");
      } catch {
        continue; // it ended meanwhile
      }
      expect(content).not.toContain(token);
    }
  }
  for (const entry of readdirSync(root, { recursive: true, withFileTypes: true }).filter((each) => each.isFile()))
    expect(readFileSync(join(entry.parentPath, entry.name), "utf8")).not.toContain(token);
});

test("a second start is a no-op, also when the runtime has ended", async () => {
  expect((await launch()).code).toBe(0);
  expect((await launch()).code).toBe(10);
  for (const pid of runtimePids()) end(-pid);
  expect((await launch()).code).toBe(10);
});

test("a look finds the runtime while it runs, and says that it is gone afterwards", async () => {
  const look = async () => (await run(aliveScript, ["sb-1"], null).ended).code;
  expect(await look(), "nothing was started").toBe(12);
  await launch();
  expect(await look()).toBe(10);
  expect(runtimePids()).toHaveLength(1);
  for (const pid of runtimePids()) end(-pid);
  for (let tries = 0; tries < 100 && (await look()) === 10; tries++) await new Promise((resolve) => setTimeout(resolve, 20));
  expect(await look()).toBe(11);
  const file = join(stateDir(), "started.sb-1/pid");
  writeFileSync(file, `${process.pid}\n`);
  expect(await look(), "another process has its number now").toBe(11);
  rmSync(file);
  expect(await look(), "the launcher did not get so far").toBe(12);
});

test("of many starts at once one starts the runtime", async () => {
  const codes = (await Promise.all(Array.from({ length: 6 }, () => launch()))).map(({ code }) => code);
  expect(codes.sort()).toEqual([0, 10, 10, 10, 10, 10]);
  expect(await logOf()).toBe(`got ${config}\n`);
});

test("lock, log and leftovers of the sandbox that the image was taken from do not stop the start", async () => {
  mkdirSync(join(stateDir(), "started.sb-old"), { recursive: true });
  writeFileSync(join(stateDir(), "started.sb-old/pid"), "1\n");
  writeFileSync(join(stateDir(), "runtime.log"), "from the build\n");
  writeFileSync(join(stateDir(), ".hidden"), "");
  expect((await launch()).code).toBe(0);
  expect(await logOf()).toBe(`got ${config}\n`);
  expect(readdirSync(stateDir()).sort()).toEqual(["runtime.log", "started.sb-1"]);
});

test("a launcher that died after taking the lock is taken over", async () => {
  mkdirSync(join(stateDir(), "started.sb-1"), { recursive: true });
  expect((await launch()).code).toBe(0);
});

test.each([
  ["half a line", '{"bridgeToken":'],
  ["a line that is no object", "hello\n"],
])("%s starts nothing and leaves the lock free", async (_, line) => {
  const { child, ended } = run(launchScript, ["sb-1"], line);
  child.stdin?.end();
  expect((await ended).code).toBe(20);
  expect((await launch()).code).toBe(0);
});

test("a missing runtime is told, and the lock stays free", async () => {
  rmSync(join(root, "opt/runtime.mjs"));
  expect((await launch()).code).toBe(22);
  writeFileSync(join(root, "opt/runtime.mjs"), runtimeSource);
  expect((await launch()).code).toBe(0);
});

test("the log is read from a byte offset, and no more than asked for", async () => {
  expect((await run(logScript, ["0", "10"], null).ended).stdout.toString()).toBe("");
  mkdirSync(stateDir());
  writeFileSync(join(stateDir(), "runtime.log"), "0123456789");
  expect((await run(logScript, ["0", "4"], null).ended).stdout.toString()).toBe("0123");
  expect((await run(logScript, ["4", "100"], null).ended).stdout.toString()).toBe("456789");
  expect((await run(logScript, ["50", "100"], null).ended).stdout.toString()).toBe("");
});

test("before a snapshot the sandbox is marked, and another gateway's mark stops it", async () => {
  const before = (sandboxId: string, gateway: string) => run(beforeSnapshotScript, [sandboxId, gateway], null).ended;
  expect((await before("sb-1", "g1")).code).toBe(0);
  expect((await before("sb-1", "g1")).code).toBe(0);
  expect((await before("sb-1", "g2")).code).toBe(snapshotBegunCode);
  // the mark that an image brought along belongs to another sandbox
  expect((await before("sb-2", "g2")).code).toBe(0);
});
