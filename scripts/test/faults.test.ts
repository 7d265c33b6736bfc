/** Bad input and faults: each ends in a state with a clear cause and the lines that matter, the last good image goes on serving, no sandbox is left, and the next tick tries again. */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Failure } from "../../packages/protocol/src/index.ts";
import { until, untilImageOf, untilReady } from "../api.ts";
import { type FileChange, pushCommit } from "../person.ts";
import { startTestSystem, type TestSystem } from "./support.ts";

/** Long enough for a build of a tiny repository on a busy machine, short enough to wait for. */
const buildLimitMs = 12_000;
let running: TestSystem;

beforeAll(async () => {
  running = await startTestSystem({ BUILD_LIMIT_MS: `${buildLimitMs}` });
});
afterAll(() => running?.close());

const script = (body: string): FileChange => ({ content: `#!/bin/sh\n${body}\n`, executable: true });
const push = (repository: string, setup: FileChange, message = "Change setup") =>
  pushCommit(running.system, join(running.dataDir, "person"), repository, message, {
    ".openinspect/setup.sh": setup,
    "README.md": { content: `${message} ${Date.now()}\n` },
  });

/** A repository with a good first image. */
async function repositoryWithImage(name: string): Promise<{ repository: string; goodSha: string }> {
  const repository = await running.createRepository(name);
  const goodSha = await push(repository, script("echo good > marker.txt"), "Begin");
  await running.api.setImage(repository, true);
  await untilImageOf(running.api, repository, goodSha, 60_000);
  return { repository, goodSha };
}

async function untilFailed(repository: string): Promise<Failure> {
  return await until(`a failed build of ${repository}`, 90_000, async () => {
    const { latestBuild } = await running.api.image(repository);
    return latestBuild?.status === "failed" ? latestBuild.failure : null;
  });
}

/** After a failure: the good image serves, nothing is left at the provider, and a good commit heals it at the next tick. */
async function expectRecovery(repository: string, goodSha: string) {
  const state = await running.api.image(repository);
  expect(state.status).toBe("failed");
  expect(state.active?.sha).toBe(goodSha);
  await running.untilNoSandboxes();
  await running.clearFaults();
  const healed = await push(repository, script("echo healed > marker.txt"), "Heal");
  await running.system.tick();
  await untilImageOf(running.api, repository, healed, 60_000);
  await running.api.setImage(repository, false);
  await running.untilNoSandboxes();
}

describe("requests that cannot be served", () => {
  it.each([
    ["PUT", "/repositories/acme/nowhere/image", { enabled: true }, 404, "repository_not_found"],
    ["PUT", "/repositories/acme/empty/image", { enabled: true }, 409, "repository_empty"],
    ["PUT", "/repositories/acme/notes-api/image", { enabled: "yes" }, 400, "invalid_request"],
    ["POST", "/repositories/acme/notes-api/image/builds", undefined, 409, "image_disabled"],
    ["POST", "/sessions", { repository: "acme/nowhere" }, 404, "repository_not_found"],
    ["POST", "/sessions", { repository: "acme/empty" }, 409, "repository_empty"],
    ["POST", "/sessions", { repository: "acme/notes-api", branch: "no-such-branch" }, 404, "branch_not_found"],
    ["POST", "/sessions", { repository: "../etc" }, 400, "invalid_request"],
    ["GET", "/builds/bld_00000000000000000000000000", undefined, 404, "build_not_found"],
    ["GET", "/sessions/ses_00000000000000000000000000", undefined, 404, "session_not_found"],
    ["GET", "/nothing-here", undefined, 404, "not_found"],
    ["DELETE", "/repositories", undefined, 405, "method_not_allowed"],
    ["POST", "/webhooks/github", { ref: "refs/heads/main" }, 401, "signature_invalid"],
  ])("%s %s answers %j with %i %s, a sentence and what to do", async (method, path, body, status, code) => {
    const answer = await fetch(`${running.system.url}/api${path}`, {
      method,
      ...(body === undefined ? {} : { headers: { "content-type": "application/json" }, body: JSON.stringify(body) }),
    });
    const { error } = (await answer.json()) as { error: { code: string; message: string; hint: string } };
    expect([answer.status, error.code]).toEqual([status, code]);
    expect(error.message).toMatch(/\w+ \w+/);
    expect(error.hint).toMatch(/\w+ \w+/);
  });
});

it("a repository that has just got its first commit can be used at once", async () => {
  const repository = await running.createRepository("first-commit");
  await push(repository, script("true"));
  const session = await running.api.startSession({ repository });
  expect(session.cold?.code).toBe("images_disabled");
  await running.api.stopSession(session.id);
  await running.untilNoSandboxes();
});

describe("setup scripts that go wrong", () => {
  it("exits 1: setup_failed with its last lines and exit code", async () => {
    const { repository, goodSha } = await repositoryWithImage("exits");
    await push(repository, script('echo "step one"; echo "error: no such table: users" >&2; exit 1'));
    await running.system.tick();
    const failure = await untilFailed(repository);
    expect(failure).toMatchObject({ code: "setup_failed", phase: "setup", exitCode: 1 });
    expect(failure.lines.join("\n")).toContain("error: no such table: users");
    const session = await untilReady(running.api, (await running.api.startSession({ repository })).id, 60_000);
    expect(session.receipt?.startedFrom).toBe("image");
    expect(session.bakedSha).toBe(goodSha);
    await running.api.stopSession(session.id);
    await expectRecovery(repository, goodSha);
  });

  it("hangs: build_timeout that names the step and keeps its output", async () => {
    const { repository, goodSha } = await repositoryWithImage("hangs");
    await push(repository, script('echo "waiting for the database"; sleep 600'));
    await running.system.tick();
    const failure = await untilFailed(repository);
    expect(failure).toMatchObject({ code: "build_timeout", phase: "setup" });
    expect(failure.lines.join("\n")).toContain("waiting for the database");
    await expectRecovery(repository, goodSha);
  });

  it("is not executable: says so and how to mend it", async () => {
    const { repository, goodSha } = await repositoryWithImage("not-executable");
    await push(repository, { content: "#!/bin/sh\necho never\n", executable: false });
    await running.system.tick();
    const failure = await untilFailed(repository);
    expect(failure.code).toBe("setup_not_executable");
    expect(failure.hint).toContain("chmod=+x");
    await expectRecovery(repository, goodSha);
  });

  it("prints 100 MB: the build succeeds, its log is bounded, with the beginning, a gap and the end", async () => {
    const { repository } = await repositoryWithImage("loud");
    const sha = await push(
      repository,
      script('echo first line; head -c 100000000 /dev/zero | tr "\\0" "x" | fold -w 99; echo; echo last line'),
    );
    await running.system.tick();
    const { build } = await untilImageOf(running.api, repository, sha, 60_000);
    const text: string[] = [];
    let gaps = 0;
    for (let after = 0; ; ) {
      const logs = await running.api.buildLogs(build.id, after);
      gaps += logs.entries.filter((entry) => entry.stream === "gap").length;
      text.push(...logs.entries.map((entry) => entry.text));
      if (logs.complete && (logs.entries.length === 0 || logs.next === after)) break;
      after = logs.next;
    }
    const all = text.join("");
    expect(all).toContain("first line");
    expect(all).toContain("last line");
    expect(gaps).toBeGreaterThanOrEqual(1);
    expect(all.length).toBeLessThan(8_000_000);
    await running.api.setImage(repository, false);
  });

  it("forks a daemon: the build ends when setup ends, and the daemon is not in the image", async () => {
    const { repository } = await repositoryWithImage("daemon");
    const sha = await push(repository, script("(sleep 300 & ) ; setsid sleep 301 & echo started"));
    await running.system.tick();
    const { build } = await untilImageOf(running.api, repository, sha, 60_000);
    expect(build.durationMs).toBeLessThan(buildLimitMs);
    await running.api.setImage(repository, false);
    await running.untilNoSandboxes();
  });
});

describe("parts that fail", () => {
  it("a clone that fails: clone_failed with git's own words", async () => {
    const { repository, goodSha } = await repositoryWithImage("unclonable");
    await running.faultGithub({ match: "git-upload-pack", kind: "status", code: 500, times: 50 });
    await running.commitAtGithub(repository, { "web.md": "edited\n" });
    await running.system.tick();
    const failure = await untilFailed(repository);
    expect(failure.code).toBe("clone_failed");
    expect(failure.lines.join("\n")).toMatch(/500|error/i);
    await running.clearFaults();
    await expectRecovery(repository, goodSha);
  });

  it("a gateway that is down: gateway_unavailable, and the next tick builds", async () => {
    const { repository, goodSha } = await repositoryWithImage("gateway-down");
    await push(repository, script("echo new > marker.txt"));
    await running.system.part("gateway").stop(5_000);
    try {
      await running.system.tick();
      const failure = await untilFailed(repository);
      expect(failure.code).toBe("gateway_unavailable");
    } finally {
      await running.system.restart("gateway");
    }
    await expectRecovery(repository, goodSha);
  });

  it("a sandbox that dies in the middle: sandbox_lost within seconds, with the step it was in", async () => {
    const { repository, goodSha } = await repositoryWithImage("dies");
    await push(repository, script('echo "half way"; sleep 600'));
    await running.system.tick();
    const build = await untilInSetup(repository);
    await until("its first line of output", 10_000, async () => {
      const { entries } = await running.api.buildLogs(build);
      return entries.some((entry) => entry.text.includes("half way")) ? true : null;
    });
    const sandbox = (await running.runningSandboxes()).find((one) => one.name.includes(build));
    await running.killSandbox(sandbox?.id ?? "");
    const failure = await untilFailed(repository);
    expect(failure).toMatchObject({ code: "sandbox_lost", phase: "setup" });
    expect(failure.lines.join("\n")).toContain("half way");
    await expectRecovery(repository, goodSha);
  });

  it("a control plane killed in the middle: the build goes on and becomes the image", async () => {
    const { repository } = await repositoryWithImage("restarted");
    const sha = await push(repository, script("echo begin; sleep 4; echo end > marker.txt"));
    await running.system.tick();
    const build = await untilInSetup(repository);
    await running.system.restart("worker");
    const { build: finished } = await untilImageOf(running.api, repository, sha, 60_000);
    expect(finished.id).toBe(build);
    await running.api.setImage(repository, false);
    await running.untilNoSandboxes();
  });
});

async function untilInSetup(repository: string): Promise<string> {
  return await until("setup to run", 30_000, async () => {
    const { latestBuild } = await running.api.image(repository);
    return latestBuild?.phase === "setup" ? latestBuild.id : null;
  });
}
