/** The seven things that a data plane for coding agents is judged by, each once, from outside: through the vendor's SDK, git and HTTP. */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { textOf, until, untilAnswered, untilImageOf, untilReady } from "../../api.ts";
import { pushCommit } from "../../person.ts";
import { bundleWorker } from "../../worker-bundle.ts";
import { type TestSystem } from "../support.ts";

/** What the scripted model is to do, as a prompt carries it. */
export const script = (...steps: unknown[]) => `SCRIPT=${JSON.stringify(steps)}`;

/**
 * @param system the one that runs; at the end no image is switched on and no sandbox is left
 * @param besides tests that need nothing but the session, ready, and leave it ready
 */
export function verification(system: () => TestSystem, besides: (sessionId: () => string) => void) {
  const repository = "acme/verified";
  let running: TestSystem;
  let sessionId: string;
  let head: string;
  const agentPid = async () => (await running.witness.run(sessionId, "pgrep -f 'opencode serve' | head -1")).text;

  describe("a session from an image", () => {
    beforeAll(async () => {
      running = system();
      await running.createRepository("verified");
      const sha = await push({ "README.md": { content: "First\n" } });
      await running.api.setImage(repository, true);
      await untilImageOf(running.api, repository, sha, 60_000);
      head = await push({ "README.md": { content: "Second\n" } });
      sessionId = (await untilReady(running.api, (await running.api.startSession({ repository })).id, 30_000)).id;
    });
    afterAll(async () => {
      await running.api.setImage(repository, false);
      await running.api.stopSession(sessionId);
      await running.untilNoSandboxes();
    });
    const push = (files: Record<string, { content: string; executable?: boolean }>) =>
      pushCommit(running.system, join(running.dataDir, "person"), repository, "Change", {
        ".openinspect/setup.sh": { content: "#!/bin/sh\necho made > made.txt\n", executable: true },
        ".gitignore": { content: "made.txt\n" },
        ...files,
      });

    describe("verification criteria", criteria);
    besides(() => sessionId);
  });

  function criteria() {
    it("app deploys: what `wrangler deploy` would upload builds, and is what runs here", async () => {
      expect((await stat(join(await bundleWorker(), "worker.js"))).size).toBeGreaterThan(0);
    });

    it("sandbox starts from snapshot: the start is from the image, and each of its phases is timed", async () => {
      const { receipt } = await running.api.session(sessionId);
      expect(receipt).toMatchObject({ startedFrom: "image", setupRanInSession: false });
      for (const phase of ["sandbox", "connect", "sync", "agent"] as const)
        expect(receipt?.phases[phase], phase).toBeGreaterThan(0);
      expect(await running.witness.hasFile(sessionId, "made.txt")).toBe(true);
    });

    it("git sync completes: HEAD is what origin has", async () => {
      expect(await running.witness.head(sessionId)).toBe(head);
      const { branches } = await running.api.branches(repository);
      expect(branches[0]?.sha).toBe(head);
    });

    it("OpenCode server responds: healthy on 127.0.0.1:4096, and only to its own password", async () => {
      const probe = `
        health() { curl --noproxy '*' -s -m 5 "$@" http://127.0.0.1:4096/global/health; }
        health -o /dev/null -w '%{http_code} '
        password=$(tr '\\0' '\\n' < /proc/$(pgrep -f 'opencode serve' | head -1)/environ | sed -n 's/^OPENCODE_SERVER_PASSWORD=//p')
        health -u "opencode:$password"`;
      const { text } = await running.witness.run(sessionId, probe);
      expect(text).toMatch(/^401 .*"healthy":true/);
    });

    it("crash recovery works: OpenCode is killed in the middle of a prompt, comes back, and the prompt is answered", async () => {
      const before = await agentPid();
      const slow = { tool: { name: "bash", args: { command: "sleep 3; echo slept", description: "Sleeps" } } };
      const prompt = await running.api.prompt(sessionId, { text: `Take your time. ${script(slow, { text: "Still here." })}` });
      await until("the tool runs", 30_000, async () => {
        const found = (await running.api.session(sessionId)).prompts.find((one) => one.id === prompt.id);
        return found?.parts.some((part) => part.kind === "tool" && part.status === "running") ? found : null;
      });
      await running.witness.run(sessionId, `kill -9 ${before}`);
      const answered = await untilAnswered(running.api, sessionId, prompt.id);
      expect(answered).toMatchObject({ status: "done", error: null });
      expect(textOf(answered)).toBe("Still here.");
      expect(await agentPid()).not.toBe(before);
      const { prompts } = await running.api.session(sessionId);
      expect(prompts.filter((one) => one.finishedAt === null)).toEqual([]);
    });

    it("session persists: the second prompt knows the first", async () => {
      const told = await running.api.prompt(sessionId, { text: `Note that the colour is teal. ${script({ text: "Noted." })}` });
      await untilAnswered(running.api, sessionId, told.id);
      expect(await recalled("colour")).toBe("teal");
    });

    it("snapshot preserves state: what the agent wrote is there after a stop and a start, uncommitted as it was, and what it was told", async () => {
      const write = { tool: { name: "write", args: { filePath: "/workspace/repo/kept.txt", content: "kept\n" } } };
      const first = await running.api.prompt(sessionId, {
        text: `Write a file. Note that the size is large. ${script(write, { text: "Written." })}`,
      });
      expect((await untilAnswered(running.api, sessionId, first.id)).status).toBe("done");
      await running.api.stopSession(sessionId);
      const stopped = await until("the session is stopped", 30_000, async () => {
        const session = await running.api.session(sessionId);
        return session.status === "stopped" ? session : null;
      });
      expect(stopped.snapshot).not.toBeNull();
      await running.untilNoSandboxes();
      expect(await recalled("size")).toBe("large");
      const session = await running.api.session(sessionId);
      expect(session.receipt?.startedFrom).toBe("snapshot");
      const { text } = await running.witness.run(
        sessionId,
        "cd /workspace/repo && cat kept.txt && git -c safe.directory='*' status --short",
      );
      expect(text).toBe("kept\n?? kept.txt");
    });
  }

  /** What the agent remembers to have been told of something. */
  async function recalled(what: string): Promise<string> {
    const text = `Which one was it? ${script({ recall: `the ${what} is (\\w+)` })}`;
    const { id } = await running.api.prompt(sessionId, { text });
    return textOf(await untilAnswered(running.api, sessionId, id));
  }
}
