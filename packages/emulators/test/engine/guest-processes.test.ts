import { createHash, randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Guest } from "../../src/modal/engine/engine.ts";
import { execSpec, hasNamespaces, ok, openEngine, run, shell, type TestEngine } from "./harness.ts";

describe.skipIf(!hasNamespaces)("processes in a guest", () => {
  let test: TestEngine;
  let guest: Guest;
  beforeAll(async () => {
    test = await openEngine();
    guest = await test.guest({ env: { FROM_SPEC: "spec", BOTH: "spec" }, workdir: "/workspace" });
  });
  afterAll(() => test.close());

  it("an exit code is passed on", async () => {
    expect((await shell(guest, "exit 42")).code).toBe(42);
  });

  it("a death by signal is 128 + signal", async () => {
    expect((await shell(guest, "kill -TERM $$")).code).toBe(128 + 15);
  });

  it("a program that does not exist is 127, and says so", async () => {
    const { code, stderr } = await run(guest, ["no-such-program"]);
    expect(code).toBe(127);
    expect(stderr).toContain("no-such-program");
  });

  it("a file that is not executable is 126", async () => {
    expect((await run(guest, ["/etc/passwd"])).code).toBe(126);
  });

  it("a missing working directory is 126, and says which", async () => {
    const { code, stderr } = await run(guest, ["true"], { workdir: "/nowhere" });
    expect(code).toBe(126);
    expect(stderr).toContain("/nowhere");
  });

  it("the environment of an exec lies on that of the guest, which lies on the base; nothing of the host's is there", async () => {
    const printed = await ok(guest, "env", { env: { BOTH: "exec", OWN: "1" } });
    expect(printed).toContain("FROM_SPEC=spec\n");
    expect(printed).toContain("BOTH=exec\n");
    expect(printed).toContain("OWN=1\n");
    expect(printed).toMatch(/^PATH=\/opt\/tools\/bin:/m);
    expect(printed).not.toContain("VITEST");
  });

  it("the guest's working directory counts unless the exec names one", async () => {
    expect(await ok(guest, "pwd")).toBe("/workspace\n");
    expect(await ok(guest, "pwd", { workdir: "/tmp" })).toBe("/tmp\n");
  });

  it("standard input arrives intact and its end is seen", async () => {
    const bytes = randomBytes(5_000_000);
    const process = await guest.exec(execSpec(["sha256sum"]));
    let printed = "";
    process.onOutput((_fd, chunk) => {
      printed += Buffer.from(chunk).toString();
    });
    await process.write(bytes);
    await process.closeStdin();
    expect(await process.exit).toBe(0);
    expect(printed).toContain(createHash("sha256").update(bytes).digest("hex"));
  });

  it("20 MB of output arrive intact, and all of it before the exit", async () => {
    const process = await guest.exec(execSpec(["bash", "-c", "head -c 20000000 /dev/zero | tr '\\0' x; echo end >&2"]));
    let bytes = 0;
    let other = 0;
    let errors = "";
    process.onOutput((fd, chunk) => {
      if (fd === 2) errors += Buffer.from(chunk).toString();
      else {
        bytes += chunk.length;
        for (const byte of chunk) if (byte !== 0x78) other += 1;
      }
    });
    expect(await process.exit).toBe(0);
    expect({ bytes, other, errors }).toEqual({ bytes: 20_000_000, other: 0, errors: "end\n" });
  });

  it("a listener that is slow holds the process back instead of filling memory", async () => {
    const process = await guest.exec(
      execSpec(["node", "-e", "const b=Buffer.alloc(1<<20);for(let i=0;i<32;i++)require('fs').writeSync(1,b)"]),
    );
    let bytes = 0;
    let release: () => void = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    let ended = false;
    process.onOutput(async (_fd, chunk) => {
      bytes += chunk.length;
      await held;
    });
    void process.exit.then(() => {
      ended = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(ended).toBe(false);
    expect(bytes).toBeLessThan(4 << 20);
    release();
    expect(await process.exit).toBe(0);
    expect(bytes).toBe(32 << 20);
  });

  it("output of before the listener came is kept for it", async () => {
    const process = await guest.exec(execSpec(["echo", "early"]));
    expect(await process.exit).toBe(0);
    let printed = "";
    process.onOutput((_fd, chunk) => {
      printed += Buffer.from(chunk).toString();
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect(printed).toBe("early\n");
  });

  it("a daemon that keeps the pipes does not hold up the exit, and lives on", async () => {
    const begun = performance.now();
    const { code, stdout } = await shell(guest, "(sleep 0.8; echo late; touch /tmp/daemon-done; sleep 30) & echo now");
    expect({ code, stdout }).toEqual({ code: 0, stdout: "now\n" });
    expect(performance.now() - begun).toBeLessThan(700);
    await expect.poll(() => shell(guest, "test -e /tmp/daemon-done").then(({ code: found }) => found), { timeout: 5000 }).toBe(0);
  });

  it("at the time limit the whole process group gets SIGKILL and the code is 137", async () => {
    const begun = performance.now();
    const { code } = await shell(guest, "trap '' TERM; sleep 41.5 & wait", { timeoutMs: 300 });
    expect(code).toBe(137);
    expect(performance.now() - begun).toBeLessThan(3000);
    expect((await shell(guest, "pgrep -f '^sleep 41.5'")).code).toBe(1);
  });

  it("kill ends the process group", async () => {
    const process = await guest.exec(execSpec(["bash", "-c", "sleep 42.5 & wait"]));
    await process.kill();
    expect(await process.exit).toBe(137);
    await expect.poll(() => shell(guest, "pgrep -f '^sleep 42.5'").then(({ code }) => code)).toBe(1);
  });

  it("scripts can open /dev/stdout, /dev/stderr and /dev/stdin", async () => {
    const process = await guest.exec(
      execSpec(["bash", "-c", "echo out > /dev/stdout; echo err > /dev/stderr; cat /dev/stdin"], { timeoutMs: 5000 }),
    );
    const seen = { 1: "", 2: "" };
    process.onOutput((fd, chunk) => {
      seen[fd] += Buffer.from(chunk).toString();
    });
    await process.write(Buffer.from("in\n"));
    await process.closeStdin();
    expect(await process.exit).toBe(0);
    expect(seen).toEqual({ 1: "out\nin\n", 2: "err\n" });
  });

  it("a pty is a terminal, and its exit code is the program's", async () => {
    const { code, stdout } = await run(guest, ["bash", "-c", "test -t 0 && test -t 1 && echo it\\'s a tty; exit 7"], {
      pty: true,
    });
    expect(stdout).toContain("it's a tty");
    expect(code).toBe(7);
  });

  it("orphans are reaped", async () => {
    await ok(guest, "for i in $(seq 50); do (setsid true &) ; done");
    await expect.poll(() => ok(guest, "ps -eo stat= | grep -c ^Z || :")).toBe("0\n");
  });

  it("many processes at once keep their outputs apart", async () => {
    const all = await Promise.all(Array.from({ length: 30 }, (_, index) => ok(guest, `echo ${index}; echo ${index}`)));
    expect(all).toEqual(Array.from({ length: 30 }, (_, index) => `${index}\n${index}\n`));
  });

  it("after kill every process is gone, exec is refused and what ran gets 137", async () => {
    const other = await test.guest();
    const process = await other.exec(execSpec(["sleep", "100"]));
    await other.kill();
    expect(await process.exit).toBe(137);
    expect(await other.ended).toEqual({ reason: "killed" });
    await expect(other.exec(execSpec(["true"]))).rejects.toThrow("ended");
    await other.kill();
  });

  it("killing a guest leaves no zombie on the host", async () => {
    const other = await test.guest();
    const pids = () => readdirSync("/proc").filter((name) => /^\d+$/.test(name));
    const own = pids().filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, "latin1").includes(other.id);
      } catch {
        return false;
      }
    });
    expect(own.length).toBeGreaterThan(0);
    await ok(other, "sleep 100 > /dev/null 2>&1 & sleep 100 > /dev/null 2>&1 &");
    await other.kill();
    expect(pids().filter((pid) => own.includes(pid))).toEqual([]);
  });

  it("a guest whose agent dies has died", async () => {
    const other = await test.guest();
    shell(other, "kill -9 -1").catch(() => {});
    expect(await other.ended).toEqual({ reason: "died" });
  });

  it("twenty guests can be created at once", async () => {
    const guests = await Promise.all(Array.from({ length: 20 }, () => test.guest()));
    const names = await Promise.all(guests.map((each) => ok(each, "hostname")));
    expect(names).toEqual(guests.map(({ id }) => `${id}\n`));
    await Promise.all(guests.map((each) => each.kill()));
  });

  it("two guests with one id are refused", async () => {
    await expect(test.guest({ id: guest.id })).rejects.toThrow("already");
  });
});
