import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hasNamespaces, isRoot, ok, openEngine, shell, type TestEngine } from "./harness.ts";

describe.skipIf(!hasNamespaces)("limits", () => {
  let test: TestEngine;
  let inForce: string;
  beforeAll(async () => {
    test = await openEngine();
    inForce = test.engine.describe().detail;
  });
  afterAll(() => test.close());

  it("the description names every limit and how it is enforced", () => {
    for (const name of isRoot ? ["memory", "pids", "cpu", "freezer", "seccomp", "users"] : ["limits", "seccomp", "users"])
      expect(inForce).toContain(name);
  });

  it("a guest that goes over its memory ends with oom, and its neighbour does not notice", async (context) => {
    context.skip(!/memory: cgroup/.test(inForce), "no control group for memory here");
    const hog = await test.guest({ memoryMiB: 64 });
    const neighbour = await test.guest({ memoryMiB: 256 });
    shell(hog, "python3 -c 'x = bytearray(800 << 20)'").catch(() => {});
    expect(await hog.ended).toEqual({ reason: "oom" });
    expect(await ok(neighbour, "echo fine")).toBe("fine\n");
    await neighbour.kill();
    expect(await neighbour.ended).toEqual({ reason: "killed" });
  });

  it("files in memory count too", async (context) => {
    context.skip(!/memory: cgroup/.test(inForce), "no control group for memory here");
    const hog = await test.guest({ memoryMiB: 64 });
    shell(hog, "head -c 800000000 /dev/zero > /dev/shm/x").catch(() => {});
    expect(await hog.ended).toEqual({ reason: "oom" });
  });

  it("a fork bomb is stopped at the limit of processes", async (context) => {
    context.skip(!/pids: cgroup/.test(inForce), "no control group for processes here");
    const guest = await test.guest();
    const { stdout } = await shell(
      guest,
      'perl -e \'$| = 1; while ($n < 6000) { my $pid = fork; if (!defined $pid) { print "stopped ", $n < 4096, "\\n"; last } if (!$pid) { sleep 60; exit } $n++ } kill 9, 0\'',
      {
        timeoutMs: 20_000,
      },
    );
    expect(stdout).toBe("stopped 1\n");
    await guest.kill();
  });

  it("half a core is half a core", async (context) => {
    context.skip(!/cpu: cgroup/.test(inForce), "no control group for cpu here");
    const guest = await test.guest({ cpu: 0.5 });
    const used = await ok(
      guest,
      "python3 -c 'import time\nb = time.monotonic(); c = time.process_time()\nwhile time.monotonic() - b < 1: pass\nprint(time.process_time() - c)'",
    );
    expect(Number(used)).toBeLessThan(0.75);
    await guest.kill();
  });
});
