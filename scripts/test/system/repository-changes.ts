/** What becomes of images when their repository is renamed, moved, archived or deleted at GitHub, or its installation is lost. */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { until, untilImageOf } from "../../api.ts";
import { pushCommit } from "../../person.ts";
import { type TestSystem } from "../support.ts";

/** @param system the one that runs; at the end no image is switched on and no sandbox is left */
export function repositoryChanges(system: () => TestSystem) {
  let running: TestSystem;
  let api: TestSystem["api"];

  const push = (repository: string, content: string) =>
    pushCommit(running.system, join(running.dataDir, "person"), repository, "Change", {
      ".openinspect/setup.sh": { content: "#!/bin/sh\ntrue\n", executable: true },
      "README.md": { content },
    });
  /** A repository with a commit and an image of it. */
  async function withImage(name: string, owner?: string): Promise<{ repository: string; sha: string }> {
    const repository = await running.createRepository(name, owner);
    const sha = await push(repository, "one\n");
    await api.setImage(repository, true);
    await untilImageOf(api, repository, sha, 60_000);
    return { repository, sha };
  }
  const listed = async () => (await api.repositories()).repositories.map(({ owner, name }) => `${owner}/${name}`);
  const untilListed = (repository: string, isListed: boolean) =>
    until(`${repository} ${isListed ? "" : "not "}in the list`, 20_000, async () =>
      (await listed()).includes(repository) === isListed ? true : null,
    );
  /** Tells the Worker of what happens, as GitHub does, or leaves it to find out. */
  const webhooks = (isOn: boolean) =>
    running.changeGithub("PUT", "/webhook", { url: isOn ? `${running.system.url}/api/webhooks/github` : null });
  const untilChecked = (repository: string, outcome: string) =>
    until(`a check of ${repository} that says ${outcome}`, 20_000, async () => {
      const { lastCheck } = await api.image(repository);
      return lastCheck?.outcome === outcome ? lastCheck : null;
    });
  const lengthOf = async (kind: "builds" | "images", repository: string) => (await api[kind](repository)).length;

  /** The new name builds under the settings of the old one, which keeps what it had. */
  async function expectMoved(from: string, to: string, sha: string) {
    await untilListed(to, true);
    await untilListed(from, false);
    const { build } = await untilImageOf(api, to, sha, 60_000);
    expect(build).toMatchObject({ status: "ready", mode: "full", modeReason: "first_image" });
    expect((await api.image(to)).settings).toMatchObject({ keptImages: 2 });
    expect([await lengthOf("images", from), await lengthOf("builds", from)]).toEqual([1, 1]);
    expect((await api.images(from)).map((image) => image.sha)).toEqual([sha]);
  }
  const settings = { limitMinutes: 30, keptImages: 2, rebuildMode: "auto" } as const;

  describe("repositories that change at GitHub", () => {
    beforeAll(() => {
      running = system();
      api = running.api;
    });
    afterAll(async () => {
      await webhooks(false);
      for (const { owner, name, image } of (await api.repositories()).repositories) {
        if (image.enabled) await api.setImage(`${owner}/${name}`, false);
      }
      await running.untilNoSandboxes();
    });

    it("[TK13] renamed, told by the webhook: the new name is built, the old one off, its history kept; named back, it serves", async () => {
      const { repository, sha } = await withImage("first-name");
      await api.setSettings(repository, settings);
      await webhooks(true);
      await running.changeGithub("PATCH", `/repositories/${repository}`, { name: "second-name" });
      await expectMoved(repository, "acme/second-name", sha);
      await running.changeGithub("PATCH", "/repositories/acme/second-name", { name: "first-name" });
      await untilListed(repository, true);
      await untilImageOf(api, repository, sha, 60_000);
      expect(await listed()).not.toContain("acme/second-name");
      expect(await lengthOf("builds", repository)).toBeGreaterThanOrEqual(1);
      await api.setImage(repository, false);
    });

    it("[TK13] moved to another owner, found by the tick: as if it had been renamed", async () => {
      const { repository, sha } = await withImage("handed-over");
      await api.setSettings(repository, settings);
      await webhooks(false);
      await running.changeGithub("PATCH", `/repositories/${repository}`, { owner: "initech" });
      await running.system.tick();
      await expectMoved(repository, "initech/handed-over", sha);
      await api.setImage("initech/handed-over", false);
    });

    // Each leaves it with an image that serves, but for the last.
    describe("one repository", () => {
      let repository: string;
      let sha: string;
      beforeAll(async () => {
        ({ repository, sha } = await withImage("put-away"));
      });

      it("[TK14] taken from the app, and given back: it leaves the list, and comes back with its image", async () => {
        await webhooks(true);
        await running.changeGithub("PATCH", `/repositories/${repository}`, { granted: false });
        await untilListed(repository, false);
        await running.changeGithub("PATCH", `/repositories/${repository}`, { granted: true });
        await untilListed(repository, true);
        expect((await api.image(repository)).active).toMatchObject({ sha });
      });

      it("[TK14] archived: it says so and is not built; taken out again, it is", async () => {
        await webhooks(true);
        await running.changeGithub("PATCH", `/repositories/${repository}`, { archived: true });
        await untilChecked(repository, "archived");
        await webhooks(false);
        const builds = await lengthOf("builds", repository);
        // A commit that came while it could be written to.
        await running.changeGithub("PATCH", `/repositories/${repository}`, { archived: false });
        sha = await push(repository, "two\n");
        await running.changeGithub("PATCH", `/repositories/${repository}`, { archived: true });
        await running.system.tick();
        const seen = await until("the tick's look", 20_000, async () => {
          const { lastCheck } = await api.image(repository);
          return lastCheck?.sha === sha ? lastCheck : null;
        });
        expect(seen.outcome).toBe("archived");
        const all = await api.builds(repository);
        expect(all.filter((build) => build.status !== "skipped")).toHaveLength(builds);
        await running.changeGithub("PATCH", `/repositories/${repository}`, { archived: false });
        await running.system.tick();
        await untilImageOf(api, repository, sha, 60_000);
      });

      it("[TK14] deleted: it leaves the list and the tick, by webhook and found by the tick", async () => {
        const told = await running.createRepository("deleted-told");
        await push(told, "one\n");
        await untilListed(told, true);
        await webhooks(true);
        await running.changeGithub("DELETE", `/repositories/${told}`);
        await untilListed(told, false);
        await webhooks(false);
        const images = await lengthOf("images", repository);
        expect(images).toBeGreaterThanOrEqual(1);
        await running.changeGithub("DELETE", `/repositories/${repository}`);
        await running.system.tick();
        await untilListed(repository, false);
        expect(await lengthOf("images", repository)).toBe(images);
      });
    });

    it("[TK11] a lost installation: its checks are unavailable, what it has goes on serving, and it is taken up again", async () => {
      const { repository, sha } = await withImage("away", "globex");
      await webhooks(true);
      await running.changeGithub("PATCH", "/accounts/globex/installation", { suspended: true });
      await untilChecked(repository, "unavailable");
      expect(await listed()).toContain(repository);
      expect((await api.image(repository)).active).toMatchObject({ sha });
      await running.changeGithub("PATCH", "/accounts/globex/installation", { suspended: false });
      await webhooks(false);
      const next = await push(repository, "two\n");
      await running.system.tick();
      await untilImageOf(api, repository, next, 60_000);

      // Nobody says that it is taken off: the tick finds out, and the next installation is another one.
      await running.changeGithub("DELETE", "/accounts/globex/installation");
      await running.system.tick();
      await untilChecked(repository, "unavailable");
      expect((await api.image(repository)).active).toMatchObject({ sha: next });
      await webhooks(true);
      await running.changeGithub("POST", "/accounts/globex/installation");
      const last = await push(repository, "three\n");
      await until("the repository under its new installation", 20_000, async () => {
        await fetch(`${running.system.url}/api/repositories?sync=force`);
        await running.system.tick();
        return (await api.image(repository)).lastCheck?.outcome === "unavailable" ? null : true;
      });
      await untilImageOf(api, repository, last, 60_000);
    });
  });
}
