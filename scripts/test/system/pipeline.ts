/** How images follow their repository: on top of the previous one or in full, proved before they serve, pinned, cancelled, and taken up again. */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BuildView } from "../../../packages/protocol/src/index.ts";
import { until, untilImageOf, untilSynced } from "../../api.ts";
import { type FileChange, pushCommit } from "../../person.ts";
import { type TestSystem } from "../support.ts";

const script = (body: string): FileChange => ({ content: `#!/bin/sh\n${body}\n`, executable: true });

const isSlow = process.env.OPEN_INSPECT_SLOW_TESTS === "1";

/** @param system the one that runs; at the end no image is switched on and no sandbox is left */
export function pipeline(system: () => TestSystem) {
  const repository = "acme/followed";
  let running: TestSystem;
  let api: TestSystem["api"];

  const push = (files: Record<string, FileChange | null>) =>
    pushCommit(running.system, join(running.dataDir, "person"), repository, "Change", files);
  const active = async () => {
    const image = (await api.image(repository)).active;
    if (!image) throw new Error("no image serves");
    return image;
  };
  const untilEnd = (id: string): Promise<BuildView> =>
    until(`the end of build ${id}`, 60_000, async () => {
      const build = await api.build(id);
      return build.finishedAt === null ? null : build;
    });
  const sessionOf = async () => await untilSynced(api, (await api.startSession({ repository })).id);

  describe("images that follow their repository", () => {
    beforeAll(async () => {
      running = system();
      api = running.api;
      await running.createRepository("followed");
      const sha = await push({
        ".openinspect/setup.sh": script("echo made >> made.txt"),
        ".gitignore": { content: "made.txt\n" },
      });
      await api.setImage(repository, true);
      await untilImageOf(api, repository, sha, 60_000);
    });
    afterAll(async () => {
      await api.setImage(repository, false);
      await running.untilNoSandboxes();
    });

    it("a push: the next tick builds on the previous image, and what setup made there is still there", async () => {
      expect(await active()).toMatchObject({ mode: "full", modeReason: "first_image", chainDepth: 0 });
      const sha = await push({ "README.md": { content: "one\n" } });
      await running.system.tick();
      const { build } = await untilImageOf(api, repository, sha, 60_000);
      expect(build).toMatchObject({ mode: "incremental", modeReason: "same_inputs", trigger: "schedule" });
      expect(build.phases.map((phase) => phase.phase)).toContain("sync");
      const session = await sessionOf();
      expect((await running.witness.run(session.id, "cat /workspace/repo/made.txt")).text).toBe("made\nmade");
      await api.stopSession(session.id);
    });

    it("an announced push: its build asks for a sandbox within two seconds, by the Worker's own clock", async () => {
      await running.changeGithub("PUT", "/webhook", { url: `${running.system.url}/api/webhooks/github` });
      try {
        const sha = await push({ "README.md": { content: "announced\n" } });
        const { build } = await untilImageOf(api, repository, sha, 60_000);
        expect(build.trigger).toBe("push");
        const seen = (await api.sightings(repository)).find((one) => one.sha === sha);
        expect(seen).toMatchObject({ firstBy: "push", later: [] });
        const askedAt = build.phases.find((phase) => phase.phase === "sandbox")?.startedAt ?? Number.NaN;
        const waitedMs = askedAt - (seen?.firstAt ?? Number.NaN);
        expect(waitedMs).toBeGreaterThanOrEqual(0);
        expect(waitedMs).toBeLessThanOrEqual(2_000);
      } finally {
        await running.changeGithub("PUT", "/webhook", { url: null });
      }
    });

    it("another setup.sh: the same trigger builds in full", async () => {
      const sha = await push({ ".openinspect/setup.sh": script("echo again >> made.txt") });
      await running.system.tick();
      const { build } = await untilImageOf(api, repository, sha, 60_000);
      expect(build).toMatchObject({ mode: "full", modeReason: "setup_changed" });
    });

    it("switched off and on again: the kept image of the same commit serves at once", async () => {
      const before = await active();
      await api.setImage(repository, false);
      expect((await api.image(repository)).active).toBeNull();
      await api.setImage(repository, true);
      const again = await until("an image", 20_000, async () => (await api.image(repository)).active);
      expect(again.id).toBe(before.id);
      expect(await running.runningSandboxes()).toEqual([]);
    });

    it("a verify.sh that fails: the candidate never serves, and the image before does", async () => {
      const before = await active();
      await push({ ".openinspect/verify.sh": script('echo "no database" >&2; exit 3') });
      const failed = await untilEnd((await api.rebuild(repository)).build.id);
      expect(failed).toMatchObject({ status: "failed", failure: { code: "verify_failed", phase: "verify" } });
      expect(failed.failure?.lines.join("\n")).toContain("no database");
      expect((await active()).id).toBe(before.id);
      await running.untilNoSandboxes();
      await push({ ".openinspect/verify.sh": null });
    });

    it("a rollback: sessions start from the pinned image, and the tick leaves it alone until the pin is gone", async () => {
      const newest = await active();
      const older = (await api.images(repository)).find((image) => image.id !== newest.id);
      const pinned = await api.activateImage(older?.id ?? "", { reason: "the newest one is slow" });
      expect(pinned.pin).toMatchObject({ imageId: older?.id, reason: "the newest one is slow" });
      const head = await push({ "README.md": { content: "three\n" } });
      await running.system.tick();
      const checked = await until("the tick's look", 20_000, async () => {
        const { lastCheck } = await api.image(repository);
        return lastCheck?.outcome === "pinned" ? lastCheck : null;
      });
      expect(checked.sha).toBe(head);
      const session = await sessionOf();
      expect(session).toMatchObject({ cold: null, bakedSha: older?.sha, syncedSha: head });
      expect((await active()).id).toBe(older?.id);
      await api.stopSession(session.id);
      await api.unpinImage(repository);
      await running.system.tick();
      await untilImageOf(api, repository, head, 60_000);
    });

    it("a session that runs keeps its image at the provider, whatever is built meanwhile", async () => {
      await api.setSettings(repository, { limitMinutes: 30, keptImages: 1, rebuildMode: "auto" });
      const session = await sessionOf();
      const { imageId } = (await running.allSandboxes()).find((one) => one.name === `session-${session.id}`) ?? {};
      expect(await running.snapshots()).toContain(imageId);
      const before = await active();
      const { build } = await api.rebuild(repository);
      await untilEnd(build.id);
      expect((await active()).id).not.toBe(before.id);
      expect(await running.snapshots()).toContain(imageId);
      await api.stopSession(session.id);
    });

    // It takes a build's whole 4 GiB of this machine.
    it.skipIf(!isSlow)("setup that uses up the memory: the build says so, and the image before goes on serving", async () => {
      const before = await active();
      const hog = "const all = []; for (;;) all.push(Buffer.alloc(64 << 20, 1))";
      await push({ ".openinspect/setup.sh": script(`echo begun; node -e '${hog}'`) });
      const failed = await untilEnd((await api.rebuild(repository)).build.id);
      expect(failed).toMatchObject({ status: "failed", failure: { code: "out_of_memory", phase: "setup" } });
      expect(failed.failure?.message).toContain("memory ran out");
      expect(failed.failure?.lines.join("\n")).toContain("begun");
      expect((await active()).id).toBe(before.id);
      await running.untilNoSandboxes();
    });

    it("cancelled in the middle of setup: no sandbox is left, and the image before goes on serving", async () => {
      const before = await active();
      await push({ ".openinspect/setup.sh": script("echo begun; sleep 300") });
      const { build } = await api.rebuild(repository);
      await until("setup to run", 30_000, async () => ((await api.build(build.id)).phase === "setup" ? true : null));
      await api.cancelBuild(build.id);
      expect((await untilEnd(build.id)).status).toBe("cancelled");
      expect((await active()).id).toBe(before.id);
      await running.untilNoSandboxes();
    });
  });
}
