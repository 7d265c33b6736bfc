/** Sandboxes that are there before they are asked for: from the first keystroke in the browser, and from a repository's pool. */
import { join } from "node:path";
import { type Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type PoolView, poolViewSchema, type SessionSettings } from "../../../packages/protocol/src/index.ts";
import { textOf, until, untilAnswered, untilImageOf, untilReady } from "../../api.ts";
import { pushCommit } from "../../person.ts";
import { openPage } from "../browser.ts";
import { type TestSystem } from "../support.ts";
import { script } from "./verification.ts";

/** @param system the one that runs; at the end no image is switched on and no sandbox is left */
export function warmSandboxes(system: () => TestSystem, browser: () => Browser) {
  const repository = "acme/warm";
  let running: TestSystem;

  const push = (text: string) =>
    pushCommit(running.system, join(running.dataDir, "person"), repository, text, { "README.md": { content: `${text}\n` } });
  const sandboxOf = (id: string) => `session-${id}`;
  const runningNames = async () => (await running.runningSandboxes()).map((one) => one.name);

  async function pool(change?: Partial<SessionSettings>): Promise<PoolView> {
    const settings = { idleStopMinutes: 10, poolSize: 0, poolHours: [], poolTimeZone: "UTC", ...change };
    const answer = await fetch(`${running.system.url}/api/repositories/${repository}/session-settings`, {
      ...(change === undefined
        ? {}
        : { method: "PUT", headers: { "content-type": "application/json" }, body: JSON.stringify(settings) }),
      signal: AbortSignal.timeout(20_000),
    });
    return poolViewSchema.parse(await answer.json());
  }

  async function stop(id: string): Promise<void> {
    await running.api.stopSession(id);
    await running.untilNoSandboxes();
  }

  describe("warm sandboxes", () => {
    beforeAll(async () => {
      running = system();
      await running.createRepository("warm");
      const sha = await push("First");
      await running.api.setImage(repository, true);
      await untilImageOf(running.api, repository, sha, 60_000);
      // It had no branch when the list was read.
      await fetch(`${running.system.url}/api/repositories?sync=force`);
    });
    afterAll(async () => {
      await pool({ poolSize: 0 });
      await running.api.setImage(repository, false);
      await running.untilNoSandboxes();
    });

    it("typing in the New session box reserves a sandbox, and the session that follows answers from it, on the newest commit", async () => {
      const page = await openPage(browser());
      await page.goto(`${running.system.url}/sessions/new?repository=${encodeURIComponent(repository)}`);
      // Until the page knows the repository there is nothing to reserve a sandbox of.
      await page.getByLabel("Branch").locator("option", { hasText: "main" }).waitFor({ state: "attached" });
      await page.getByLabel("Prompt").pressSequentially("Hi. ");
      const [reserved] = await until("a reserved sandbox", 30_000, async () => {
        const names = await runningNames();
        return names.length > 0 ? names : null;
      });
      expect((await running.api.sessions()).sessions.filter((one) => one.repository.name === "warm")).toEqual([]);
      const head = await push("Second");
      await page.getByLabel("Prompt").pressSequentially(script({ text: "Here I am." }));
      await page.getByRole("button", { name: "Start session" }).click();
      await page.waitForURL(/\/sessions\/ses_/);
      const id = new URL(page.url()).pathname.split("/").at(-1) ?? "";
      expect(sandboxOf(id)).toBe(reserved);
      const session = await untilReady(running.api, id, 60_000);
      expect(session.receipt).toMatchObject({ warm: "typing", startedFrom: "image", syncedSha: head });
      expect(await running.witness.head(id)).toBe(head);
      const [prompt] = session.prompts;
      expect(textOf(await untilAnswered(running.api, id, prompt?.id ?? ""))).toBe("Here I am.");
      await page.context().close();
      await stop(id);
    });

    it("a session takes a member of the pool, on the newest commit, and the pool is filled again", async () => {
      await pool({ poolSize: 1 });
      await until("a member that is ready", 60_000, async () => ((await pool()).ready === 1 ? true : null));
      const [member] = await runningNames();
      const head = await push("Third");
      const prompt = script({ text: "From the pool." });
      const { id } = await running.api.startSession({ repository, prompt });
      expect(sandboxOf(id)).toBe(member);
      const session = await untilReady(running.api, id, 60_000);
      expect(session.receipt).toMatchObject({ warm: "pool", syncedSha: head });
      expect(await running.witness.head(id)).toBe(head);
      await untilAnswered(running.api, id, session.prompts[0]?.id ?? "");
      await until("another member", 60_000, async () => ((await pool()).ready === 1 ? true : null));
      await pool({ poolSize: 0 });
      await stop(id);
    });
  });
}
