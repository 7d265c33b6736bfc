/** Hostile and clumsy use: whatever people, setup scripts and the provider do, nothing is stuck, nothing is left, and the next attempt works. */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { until, untilImageOf, untilReady } from "../../api.ts";
import { pushCommit } from "../../person.ts";
import { modalClientFor } from "../../witness.ts";
import { type TestSystem } from "../support.ts";

/** @param system the one that runs; at the end no image is switched on and no sandbox is left */
export function resilience(system: () => TestSystem) {
  let running: TestSystem;
  beforeAll(() => {
    running = system();
  });

  const push = (repository: string, setup: string) =>
    pushCommit(running.system, join(running.dataDir, "person"), repository, "Change", {
      ".openinspect/setup.sh": { content: `#!/bin/sh\n${setup}\n`, executable: true },
      ".gitignore": { content: "made.txt\n" },
      "README.md": { content: `${Date.now()}\n` },
    });

  async function repositoryWith(name: string, setup: string): Promise<{ repository: string; sha: string }> {
    const repository = await running.createRepository(name);
    const sha = await push(repository, setup);
    await fetch(`${running.system.url}/api/repositories?sync=force`);
    return { repository, sha };
  }

  describe("hostile and clumsy use", () => {
    afterAll(async () => {
      for (const repository of ["acme/toggled", "acme/misled"]) await running.api.setImage(repository, false);
      await running.untilNoSandboxes();
    });

    it("a switch that is toggled twenty times ends as it was last set, and no build is left behind", async () => {
      const { repository, sha } = await repositoryWith("toggled", "sleep 1; echo made > made.txt");
      for (let count = 0; count < 20; count++) await running.api.setImage(repository, count % 2 === 0);
      expect((await running.api.image(repository)).status).toBe("disabled");
      await running.untilNoSandboxes();
      await running.api.setImage(repository, true);
      await untilImageOf(running.api, repository, sha, 60_000);
    });

    it("a session stopped at any moment of its start, and twice, is stopped and leaves no sandbox", async () => {
      for (const delayMs of [0, 60, 400, 900]) {
        const { id } = await running.api.startSession({ repository: "acme/toggled" });
        await new Promise((resolve) => setTimeout(resolve, delayMs));
        await Promise.all([running.api.stopSession(id), running.api.stopSession(id)]);
        const stopped = await until(`the end of ${id}`, 20_000, async () => {
          const session = await running.api.session(id);
          return session.endedAt === null ? null : session;
        });
        expect(stopped).toMatchObject({ status: "stopped", failure: null });
        expect(stopped.phases.filter((phase) => phase.outcome === "running")).toEqual([]);
      }
      await running.untilNoSandboxes();
    });

    it("an image that is gone at the provider: the session starts from the base by itself, and a new image is built", async () => {
      const repository = "acme/toggled";
      const { active: before } = await running.api.image(repository);
      const listed = await fetch(`${running.system.modalAdminUrl}/images`);
      const { images } = z
        .object({ images: z.array(z.object({ id: z.string(), createdAt: z.number() })) })
        .parse(await listed.json());
      const newest = images.sort((one, other) => other.createdAt - one.createdAt)[0];
      await modalClientFor(running.system).images.delete(newest?.id ?? "");
      const session = await untilReady(running.api, (await running.api.startSession({ repository })).id, 60_000);
      expect(session).toMatchObject({ startedFrom: "base", cold: { code: "restore_failed" }, setupRanInSession: true });
      await running.api.stopSession(session.id);
      await until("another image", 60_000, async () => {
        const { active } = await running.api.image(repository);
        return active !== null && active.id !== before?.id ? true : null;
      });
    });

    it("setup that removes the repository: the build fails with that cause, and the image before goes on serving", async () => {
      const repository = "acme/toggled";
      const { active } = await running.api.image(repository);
      await push(repository, 'cd / && rm -rf "$OLDPWD"');
      const { build } = await running.api.rebuild(repository);
      const failed = await until("the failed build", 60_000, async () => {
        const { latestBuild } = await running.api.image(repository);
        return latestBuild?.id === build.id && latestBuild.status === "failed" ? latestBuild : null;
      });
      expect(failed.failure).toMatchObject({ code: "setup_failed", phase: "setup" });
      expect(failed.failure?.message).toContain("removed the repository");
      expect((await running.api.image(repository)).active?.id).toBe(active?.id);
      await running.untilNoSandboxes();
    });

    describe("a session from an image whose setup turns git's settings against us, with a gateway that is killed while it starts", () => {
      let head: string;
      let sessionId: string;
      beforeAll(async () => {
        const { repository, sha } = await repositoryWith(
          "misled",
          [
            "echo made > made.txt",
            'git config --global url."ssh://git@elsewhere/".insteadOf "http://"',
            "git config core.bare true",
            "git config core.worktree /tmp",
            "git remote remove origin",
            "touch .git/index.lock",
          ].join("\n"),
        );
        await running.api.setImage(repository, true);
        await untilImageOf(running.api, repository, sha, 60_000);
        head = await pushCommit(running.system, join(running.dataDir, "person"), repository, "Next", {
          "next.txt": { content: "x" },
        });
        const prompt = 'Go SCRIPT=[{"text":"answered"}]';
        sessionId = (await running.api.startSession({ repository, prompt })).id;
        process.kill(-running.system.part("gateway").pid, "SIGKILL");
        await running.system.restart("gateway");
      });
      afterAll(() => running.api.stopSession(sessionId));

      it("is ready, and its prompt, which waited, is answered", async () => {
        await untilReady(running.api, sessionId, 60_000);
        const prompt = await until("the answer", 30_000, async () => {
          const [only] = (await running.api.session(sessionId)).prompts;
          return only && only.finishedAt !== null ? only : null;
        });
        expect(prompt).toMatchObject({ status: "done", parts: [{ text: "answered" }] });
      });

      it("is on the server's head all the same", async () => {
        const session = await untilReady(running.api, sessionId, 60_000);
        expect(session).toMatchObject({ startedFrom: "image", syncedSha: head });
        expect(await running.witness.head(sessionId)).toBe(head);
        expect(await running.witness.hasFile(sessionId, "next.txt")).toBe(true);
        expect(await running.witness.hasFile(sessionId, "made.txt")).toBe(true);
      });
    });
  });
}
