/** Build mode as the control plane sees it: the real program, a real git server, a bridge that can misbehave. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { bridgeCloseCodes, failureLinesMax, type RuntimeEvent } from "@open-inspect/protocol";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { startBridge, type TestBridge } from "./support/bridge-server.ts";
import { startGitServer, type TestGitServer } from "./support/git-server.ts";
import { buildConfig, createSandbox, type TestSandbox } from "./support/sandbox.ts";

let server: TestGitServer;
let bridge: TestBridge;
let sandbox: TestSandbox;
let repositories = 0;

beforeAll(async () => {
  server = await startGitServer();
});
afterAll(() => server.stop());
beforeEach(async () => {
  bridge = await startBridge();
  sandbox = createSandbox();
});
afterEach(async () => {
  sandbox.remove();
  await bridge.stop();
});

const script = (text: string) => ({ text: `#!/bin/sh\n${text}`, mode: 0o755 });
const withSetup = (setup: { text: string; mode: number } | null) => {
  const repository = server.create(`app${repositories++}`);
  const sha = repository.commit({
    "README.md": "hello",
    ".gitignore": "made/\n",
    ...(setup ? { ".openinspect/setup.sh": setup } : {}),
  });
  return { ...repository, sha };
};
const output = (streams: readonly string[] = ["stdout"]) =>
  bridge
    .all("log")
    .filter(({ phase, stream }) => phase === "setup" && streams.includes(stream))
    .map(({ text }) => text)
    .join("");
const finished = (phase: string) => bridge.all("phase.finished").find((event) => event.phase === phase);
const isAlive = (pid: number) => {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
};

describe("a build", () => {
  test("clones, runs setup in the workspace, streams its output, finishes, and ends when told to", async () => {
    const repository = withSetup(script("echo out; echo err >&2; mkdir made; pwd > made/where; echo $HOME > made/home"));
    const run = sandbox.run(buildConfig(bridge, repository.url));
    expect(await bridge.waitFor("build.finished")).toEqual({
      type: "build.finished",
      sha: repository.sha,
      setupRan: true,
      sizeBytes: expect.any(Number),
    });
    expect(bridge.all("workspace.synced")).toEqual([{ type: "workspace.synced", sha: repository.sha, bakedSha: null }]);
    expect(output()).toBe("out\n");
    expect(output(["stderr"])).toBe("err\n");
    expect(readFileSync(join(sandbox.workspace, "made/where"), "utf8").trim()).toBe(sandbox.workspace);
    expect(readFileSync(join(sandbox.workspace, "made/home"), "utf8").trim()).toBe(sandbox.home);
    const phases = bridge.all("phase.finished").map(({ phase, outcome }) => [phase, outcome]);
    expect(phases.sort()).toEqual([
      ["clone", "done"],
      ["setup", "done"],
    ]);
    bridge.send({ type: "shutdown", reason: "snapshot taken" });
    expect(await run.exit).toBe(0);
  });

  test("without a setup script skips it and says so; a second build updates instead of cloning", async () => {
    const repository = withSetup(null);
    const first = sandbox.run(buildConfig(bridge, repository.url));
    expect(await bridge.waitFor("build.finished")).toMatchObject({ setupRan: false });
    expect(finished("setup")).toMatchObject({ outcome: "skipped" });
    bridge.close(bridgeCloseCodes.ended);
    expect(await first.exit).toBe(0);
    const sha = repository.commit({ "README.md": "changed" });
    const next = await startBridge();
    try {
      sandbox.run(buildConfig(next, repository.url));
      expect(await next.waitFor("build.finished")).toMatchObject({ sha });
      expect(next.all("workspace.synced")).toEqual([{ type: "workspace.synced", sha, bakedSha: repository.sha }]);
    } finally {
      await next.stop();
    }
  });
});

describe("a build that fails says why, and the program ends with 1 after the control plane knows", () => {
  test("setup exits with a code: the code and the last lines without colours", async () => {
    const repository = withSetup(
      script("for i in $(seq 100); do echo line $i; done; printf '\\033[31mboom\\033[0m\\n' >&2; exit 7"),
    );
    const run = sandbox.run(buildConfig(bridge, repository.url));
    const { failure } = await bridge.waitFor("failed");
    expect(failure).toMatchObject({ code: "setup_failed", phase: "setup", exitCode: 7 });
    expect(failure.lines).toHaveLength(failureLinesMax);
    expect(failure.lines).toContain("line 100");
    expect(failure.lines).toContain("boom");
    expect(finished("setup")).toMatchObject({ outcome: "failed" });
    expect(await run.exit).toBe(1);
    expect(bridge.all("build.finished")).toEqual([]);
  });

  test("setup removes the repository: no image is made of what is left", async () => {
    const run = sandbox.run(buildConfig(bridge, withSetup(script('cd / && rm -rf "$OLDPWD"')).url));
    const { failure } = await bridge.waitFor("failed");
    expect(failure).toMatchObject({ code: "setup_failed", phase: "setup" });
    expect(failure.message).toMatch(/removed the repository/);
    expect(bridge.all("build.finished")).toEqual([]);
    expect(await run.exit).toBe(1);
  });

  test("setup is not executable: the command that makes it so", async () => {
    const run = sandbox.run(buildConfig(bridge, withSetup({ text: "#!/bin/sh\n", mode: 0o644 }).url));
    const { failure } = await bridge.waitFor("failed");
    expect(failure).toMatchObject({ code: "setup_not_executable", phase: "setup" });
    expect(failure.hint).toContain("git update-index --chmod=+x .openinspect/setup.sh");
    expect(await run.exit).toBe(1);
  });

  test("setup names an interpreter that is not there", async () => {
    sandbox.run(buildConfig(bridge, withSetup({ text: "#!/no/such/shell\n", mode: 0o755 }).url));
    expect((await bridge.waitFor("failed")).failure).toMatchObject({ code: "setup_failed", phase: "setup" });
  });

  test("the kernel kills what setup runs for want of memory: out_of_memory, also when the script ends in its own way", async () => {
    const file = join(sandbox.cgroupDir, "memory.events");
    writeFileSync(file, "low 0\noom 2\noom_kill 2\n");
    const kill = `printf 'oom_kill 3\\n' > ${file}; sh -c 'echo compiling; kill -9 $$' || exit 2`;
    const run = sandbox.run(buildConfig(bridge, withSetup(script(kill)).url));
    const { failure } = await bridge.waitFor("failed");
    expect(failure).toMatchObject({ code: "out_of_memory", phase: "setup", exitCode: 2 });
    expect(failure.message).toBe(
      ".openinspect/setup.sh exited with code 2: the sandbox's memory ran out and the kernel killed a process.",
    );
    expect(failure.lines).toContain("compiling");
    expect(finished("setup")).toMatchObject({ outcome: "failed", detail: failure.message });
    expect(await run.exit).toBe(1);
  });

  test("no space is left for what setup writes: disk_full with what it printed", async () => {
    const run = sandbox.run(buildConfig(bridge, withSetup(script("cat /proc/version > /dev/full && exit 0; exit 5")).url));
    const { failure } = await bridge.waitFor("failed");
    expect(failure).toMatchObject({ code: "disk_full", phase: "setup", exitCode: 5 });
    expect(failure.message).toMatch(
      /^\.openinspect\/setup\.sh exited with code 5: no space was left on the disk \(\d+ of \d+ MiB/,
    );
    expect(failure.lines.join("\n")).toContain("No space left on device");
    expect(await run.exit).toBe(1);
  });

  test("the repository is empty", async () => {
    const run = sandbox.run(buildConfig(bridge, server.create(`empty${repositories++}`).url));
    expect((await bridge.waitFor("failed")).failure).toMatchObject({ code: "repository_empty", phase: "clone" });
    expect(await run.exit).toBe(1);
  });

  test("the control plane refuses the credential", async () => {
    const repository = withSetup(null);
    server.credential = "x-access-token:right";
    bridge.credential = { refused: "The App is not installed on this repository." };
    try {
      sandbox.run(buildConfig(bridge, repository.url));
      const { failure } = await bridge.waitFor("failed");
      expect(failure).toMatchObject({ code: "credentials_refused", phase: "clone" });
      expect(failure.message).toContain("The App is not installed on this repository.");
    } finally {
      server.credential = null;
    }
  });
});

describe("what setup leaves behind", () => {
  test("a daemon does not delay the build, and is gone before build.finished; nothing else is touched", async () => {
    const repository = withSetup(
      script(
        [
          "mkdir made",
          // in the script's session, holding its pipes open
          "sleep 300 & echo $! >> made/pids",
          // in a session of its own, without the pipes, ignoring SIGTERM
          "setsid sh -c 'trap \"\" TERM; echo $$ >> made/pids; while :; do sleep 1; done' </dev/null >/dev/null 2>&1 &",
          "while [ $(wc -l < made/pids) -lt 2 ]; do sleep 0.05; done",
          "echo done",
        ].join("\n"),
      ),
    );
    const bystander = createSandbox();
    const other = await startBridge();
    const running = bystander.run(buildConfig(other, withSetup(script("mkdir made; echo $$ > made/pid; sleep 60")).url));
    const itsSetup = () => Number(readIfThere(join(bystander.workspace, "made/pid")));
    try {
      await expect.poll(itsSetup, { timeout: 20_000 }).toBeGreaterThan(0);
      sandbox.run(buildConfig(bridge, repository.url));
      await bridge.waitFor("build.finished");
      const pids = readFileSync(join(sandbox.workspace, "made/pids"), "utf8").trim().split("\n").map(Number);
      expect(pids).toHaveLength(2);
      expect(pids.filter(isAlive)).toEqual([]);
      expect(running.child.exitCode).toBeNull();
      expect(isAlive(itsSetup())).toBe(true);
      expect(output(["system"])).toMatch(/Ended \d processes that setup left running/);
    } finally {
      other.close(bridgeCloseCodes.ended);
      await running.exit;
      bystander.remove();
      await other.stop();
    }
  });
});

describe("a flood of output", () => {
  test("100 MB stay bounded in memory and on the wire; each line is in its place or in a gap that accounts for it, and the end is kept", async () => {
    const last = 12_345_678;
    const printed = 99_999_999;
    const run = sandbox.run(buildConfig(bridge, withSetup(script(`seq 1 ${last}`)).url));
    await bridge.waitFor("phase.started", ({ phase }) => phase === "setup");
    const before = memoryOf(run.child.pid);
    let peak = before;
    const watch = setInterval(() => {
      peak = Math.max(peak, memoryOf(run.child.pid));
    }, 20);
    await bridge.waitFor("build.finished", undefined, 50_000);
    clearInterval(watch);
    expect(peak - before).toBeLessThan(48 * 1024 * 1024);

    const sent = Buffer.byteLength(output());
    expect(sent).toBeGreaterThan(1.9 * 1024 * 1024);
    const gaps = bridge.all("log").filter(({ stream }) => stream === "gap");
    // One at the end, and one for each time that a slow machine caught up in between.
    expect(gaps.length).toBeGreaterThan(0);
    expect(sent).toBeLessThan(2.25 * 1024 * 1024 + gaps.length * 16 * 1024);
    expect(gaps.reduce((sum, { text }) => sum + Number.parseInt(text, 10), 0)).toBe(printed - sent);
    let [next, begun, isAfterGap] = [1, "", false];
    for (const { stream, text } of bridge.all("log")) {
      if (stream === "gap") {
        expect(begun).toBe("");
        isAfterGap = true;
      }
      if (stream !== "stdout") continue;
      const pieces = (begun + text).split("\n");
      begun = pieces.pop() ?? "";
      for (const piece of pieces) {
        if (isAfterGap ? Number(piece) <= next : Number(piece) !== next) throw new Error(`${piece} instead of ${next}`);
        next = Number(piece) + 1;
        isAfterGap = false;
      }
    }
    expect([next, begun]).toEqual([last + 1, ""]);
  });

  test("what follows a flood slowly is told while the script still runs", async () => {
    const text = "head -c 2000000 /dev/zero | tr '\\0' 'x' | fold -w 100; echo; echo still here; sleep 300";
    sandbox.run(buildConfig(bridge, withSetup(script(text)).url));
    await bridge.waitFor("log", (event) => event.stream === "stdout" && event.text.endsWith("still here\n"));
    expect(finished("setup")).toBeUndefined();
    bridge.close(bridgeCloseCodes.ended);
  });
});

const memoryOf = (pid: number | undefined): number => {
  try {
    return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
};

describe("the bridge", () => {
  test("drops and withheld acknowledgements cost no event, repeat none, and keep the order", async () => {
    const repository = withSetup(script("for i in $(seq 30); do echo $i; sleep 0.05; done"));
    const run = sandbox.run(buildConfig(bridge, repository.url));
    await bridge.waitFor("phase.started", ({ phase }) => phase === "setup");
    for (const acknowledge of [false, true, false]) {
      bridge.acknowledge = acknowledge;
      const seen = bridge.all("log").length;
      await bridge.waitFor("log", () => bridge.all("log").length > seen + 1);
      bridge.cut();
    }
    bridge.acknowledge = true;
    await bridge.waitFor("build.finished");
    expect(bridge.hellos.length).toBeGreaterThan(1);
    expect(new Set(bridge.hellos.map(({ bootId }) => bootId)).size).toBe(1);
    expect(bridge.received.length).toBeGreaterThan(bridge.events.length);
    expect(output().trim().split("\n")).toEqual(Array.from({ length: 30 }, (_, index) => String(index + 1)));
    bridge.send({ type: "shutdown", reason: "done" });
    expect(await run.exit).toBe(0);
  });

  test("git may begin before the bridge is there, and waits for its credential", async () => {
    const repository = withSetup(null);
    server.credential = "x-access-token:right";
    bridge.credential = { username: "x-access-token", password: "right" };
    bridge.accept = false;
    try {
      sandbox.run(buildConfig(bridge, repository.url));
      await expect.poll(() => server.requests, { timeout: 20_000 }).toBeGreaterThan(0);
      bridge.accept = true;
      await bridge.waitFor("build.finished");
      expect(bridge.credentialRequests).toBe(1);
    } finally {
      server.credential = null;
    }
  });

  test("a failure waits for its acknowledgement through a drop", async () => {
    const repository = withSetup(script("exit 1"));
    bridge.acknowledge = false;
    const run = sandbox.run(buildConfig(bridge, repository.url));
    await bridge.waitFor("failed");
    expect(run.child.exitCode).toBeNull();
    bridge.acknowledge = true;
    bridge.cut();
    expect(await run.exit).toBe(1);
  });

  test.each([
    ["ended", 0],
    ["unauthorized", 4],
    ["replaced", 4],
  ] as const)(
    "a final close (%s) ends the program and what it runs, with %i, and it does not dial again",
    async (code, exitCode) => {
      const repository = withSetup(script("mkdir made; echo $$ > made/pid; sleep 300"));
      const run = sandbox.run(buildConfig(bridge, repository.url));
      await bridge.waitFor("phase.started", ({ phase }) => phase === "setup");
      await expect.poll(() => readIfThere(join(sandbox.workspace, "made/pid"))).toMatch(/\d\n/);
      bridge.close(bridgeCloseCodes[code]);
      expect(await run.exit).toBe(exitCode);
      expect(isAlive(Number(readIfThere(join(sandbox.workspace, "made/pid"))))).toBe(false);
      expect(bridge.hellos).toHaveLength(1);
    },
  );
});

const readIfThere = (file: string): string => {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
};

test("every event that a build sends is known to the protocol and fits its frames", async () => {
  const repository = withSetup(script("printf '\\001%.0s' $(seq 60000)"));
  sandbox.run(buildConfig(bridge, repository.url));
  await bridge.waitFor("build.finished");
  const types: RuntimeEvent["type"][] = bridge.events.map(({ event }) => event.type);
  expect(new Set(types)).toEqual(
    new Set(["build.inputs", "phase.started", "phase.finished", "log", "workspace.synced", "build.finished"]),
  );
  expect(output()).toBe("\u0001".repeat(60_000));
});
