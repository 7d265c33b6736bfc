/** Bad input and faults: each ends in a state with a clear cause and the lines that matter, the last good image goes on serving, no sandbox is left, and the next tick tries again. */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Failure } from "../../../packages/protocol/src/index.ts";
import { until, untilImageOf, untilSynced } from "../../api.ts";
import { type FileChange, pushCommit } from "../../person.ts";
import { type TestSystem } from "../support.ts";

const script = (body: string): FileChange => ({ content: `#!/bin/sh\n${body}\n`, executable: true });

/**
 * @param system the one that runs; at the end no image is switched on and no sandbox is left
 * @param buildLimitMs its limit of a build
 */
export function faults(system: () => TestSystem, buildLimitMs: number) {
  let running: TestSystem;
  beforeAll(() => {
    running = system();
  });
  afterAll(() => running.untilNoSandboxes());

  const push = (repository: string, setup: FileChange) =>
    pushCommit(running.system, join(running.dataDir, "person"), repository, "Change setup", {
      ".openinspect/setup.sh": setup,
      "README.md": { content: `${Date.now()}\n` },
    });

  async function repositoryWith(name: string, body: string): Promise<{ repository: string; sha: string }> {
    const repository = await running.createRepository(name);
    const sha = await push(repository, script(body));
    return { repository, sha };
  }

  const latestBuild = async (repository: string) => (await running.api.image(repository)).latestBuild;

  async function untilInSetup(repository: string): Promise<string> {
    return await until("setup to run", 30_000, async () => {
      const build = await latestBuild(repository);
      return build?.phase === "setup" ? build.id : null;
    });
  }

  requests(() => running);

  it("a repository that has just got its first commit can be used at once", async () => {
    const { repository } = await repositoryWith("first-commit", "true");
    const session = await running.api.startSession({ repository });
    expect(session.cold?.code).toBe("images_disabled");
    await running.api.stopSession(session.id);
    await running.untilNoSandboxes();
  });

  describe("setup that goes wrong in a way that is no failure", () => {
    it("prints 100 MB: the build succeeds, its log is bounded, with the beginning, a gap and the end", async () => {
      const { repository, sha } = await repositoryWith(
        "loud",
        'echo first line; head -c 100000000 /dev/zero | tr "\\0" "x" | fold -w 99; echo; echo last line',
      );
      await running.api.setImage(repository, true);
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
      const { repository, sha } = await repositoryWith("daemon", "(sleep 300 & ) ; setsid sleep 301 & echo started");
      await running.api.setImage(repository, true);
      const { build } = await untilImageOf(running.api, repository, sha, 60_000);
      expect(build.durationMs).toBeLessThan(buildLimitMs);
      await running.api.setImage(repository, false);
      await running.untilNoSandboxes();
    });
  });

  it("a control plane killed in the middle: the build goes on and becomes the image", async () => {
    const { repository, sha } = await repositoryWith("restarted", "echo begin; sleep 4; echo end > marker.txt");
    await running.api.setImage(repository, true);
    const build = await untilInSetup(repository);
    await running.system.restart("worker");
    const { build: finished } = await untilImageOf(running.api, repository, sha, 60_000);
    expect(finished.id).toBe(build);
    await running.api.setImage(repository, false);
    await running.untilNoSandboxes();
  });

  // One repository with one good image goes through all of it: each tick tries again what failed before it.
  describe("builds that fail one after the other", () => {
    const repository = "acme/faulty";
    let goodSha: string;
    let hanging: string;

    beforeAll(async () => {
      const good = await repositoryWith("faulty", "echo good > marker.txt");
      goodSha = good.sha;
      await running.api.setImage(repository, true);
      await untilImageOf(running.api, repository, goodSha, 60_000);
      // A build on the previous image is begun anew from the base when it fails; here each failure is to be seen at once.
      await running.api.setSettings(repository, { limitMinutes: 30, keptImages: 3, rebuildMode: "clean" });
      // Reaches its limit while the others fail.
      const { repository: other } = await repositoryWith("hanging", 'echo "waiting for the database"; sleep 600');
      await running.api.setImage(other, true);
      hanging = await untilInSetup(other);
    });

    /** Ticks, lets something happen to the build that begins, and waits for its failure. */
    async function failAtTick(meanwhile?: (build: string) => Promise<void>): Promise<Failure> {
      const before = await latestBuild(repository);
      await running.system.tick();
      const begun = await until(`the next build of ${repository}`, 30_000, async () => {
        const build = await latestBuild(repository);
        return build !== null && build.id !== before?.id ? build : null;
      });
      await meanwhile?.(begun.id);
      return await untilFailed(begun.id);
    }

    async function untilFailed(id: string): Promise<Failure> {
      const failure = await until(`the failure of build ${id}`, 90_000, async () => {
        const build = await running.api.build(id);
        return build.status === "failed" ? build.failure : null;
      });
      await until(`the end of the sandbox of build ${id}`, 30_000, async () =>
        (await running.runningSandboxes()).some((one) => one.name.includes(id)) ? null : true,
      );
      return failure;
    }

    async function expectGoodImage() {
      const state = await running.api.image(repository);
      expect(state.status).toBe("failed");
      expect(state.active?.sha).toBe(goodSha);
    }

    it("setup exits 1: setup_failed with its last lines and exit code; sessions start from the good image", async () => {
      await push(repository, script('echo "step one"; echo "error: no such table: users" >&2; exit 1'));
      const failure = await failAtTick();
      expect(failure).toMatchObject({ code: "setup_failed", phase: "setup", exitCode: 1 });
      expect(failure.lines.join("\n")).toContain("error: no such table: users");
      await expectGoodImage();
      const session = await untilSynced(running.api, (await running.api.startSession({ repository })).id);
      expect(session).toMatchObject({ cold: null, bakedSha: goodSha });
      await running.api.stopSession(session.id);
    });

    it("setup is not executable: says so and how to mend it", async () => {
      await push(repository, { content: "#!/bin/sh\necho never\n", executable: false });
      const failure = await failAtTick();
      expect(failure.code).toBe("setup_not_executable");
      expect(failure.hint).toContain("chmod=+x");
      await expectGoodImage();
    });

    it("a clone that fails: clone_failed with git's own words", async () => {
      await running.faultGithub({ match: "git-upload-pack", kind: "status", code: 500, times: 50 });
      await running.commitAtGithub(repository, { "web.md": "edited\n" });
      const failure = await failAtTick();
      expect(failure.code).toBe("clone_failed");
      expect(failure.lines.join("\n")).toMatch(/500|error/i);
      await expectGoodImage();
      await running.clearFaults();
    });

    it("a sandbox that dies in the middle: sandbox_lost within seconds, with the step it was in", async () => {
      await push(repository, script('echo "half way"; sleep 600'));
      const failure = await failAtTick(async (build) => {
        await until("its first line of output", 20_000, async () => {
          const { entries } = await running.api.buildLogs(build);
          return entries.some((entry) => entry.text.includes("half way")) ? true : null;
        });
        const sandbox = (await running.runningSandboxes()).find((one) => one.name.includes(build));
        await running.killSandbox(sandbox?.id ?? "");
      });
      expect(failure).toMatchObject({ code: "sandbox_lost", phase: "setup" });
      expect(failure.lines.join("\n")).toContain("half way");
      await expectGoodImage();
    });

    it("setup hangs: build_timeout that names the step and keeps its output", async () => {
      const failure = await untilFailed(hanging);
      expect(failure).toMatchObject({ code: "build_timeout", phase: "setup" });
      expect(failure.lines.join("\n")).toContain("waiting for the database");
      await running.api.setImage("acme/hanging", false);
    });

    it("a gateway that is down: gateway_unavailable, and the next tick builds", async () => {
      const healed = await push(repository, script("echo healed > marker.txt"));
      await running.system.part("gateway").stop(5_000);
      try {
        const failure = await failAtTick();
        expect(failure.code).toBe("gateway_unavailable");
        await expectGoodImage();
      } finally {
        await running.system.restart("gateway");
      }
      await running.system.tick();
      await untilImageOf(running.api, repository, healed, 60_000);
      await running.api.setImage(repository, false);
      await running.untilNoSandboxes();
    });
  });
}

function requests(system: () => TestSystem) {
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
      const answer = await fetch(`${system().system.url}/api${path}`, {
        method,
        ...(body === undefined ? {} : { headers: { "content-type": "application/json" }, body: JSON.stringify(body) }),
      });
      const { error } = (await answer.json()) as { error: { code: string; message: string; hint: string } };
      expect([answer.status, error.code]).toEqual([status, code]);
      expect(error.message).toMatch(/\w+ \w+/);
      expect(error.hint).toMatch(/\w+ \w+/);
    });
  });
}
