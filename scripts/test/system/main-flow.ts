/** The product's main flow in a real browser on the real parts: switch on, watch the build, start, push, tick, refresh, switch off. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { type Browser, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { untilImageOf } from "../../api.ts";
import { pushCommit } from "../../person.ts";
import { root } from "../../prerequisites.ts";
import { launchBrowser, openPage } from "../browser.ts";
import { type TestSystem } from "../support.ts";

const repository = "acme/notes-api";
const sha40 = /^[0-9a-f]{40}$/;

/** @param system the one that runs; what is switched on here is off again at the end, and no sandbox is left */
export function mainFlow(system: () => TestSystem) {
  let running: TestSystem;
  let browser: Browser;
  let page: Page;
  const errors: string[] = [];

  const row = () => page.locator(`[data-repository="${repository}"]`);
  const badge = () => row().locator("[data-status]").first();
  const untilStatus = (status: string) =>
    page.waitForSelector(`[data-repository="${repository}"] [data-status="${status}"]`, { timeout: 60_000 });

  async function startSessionInBrowser(prompt: string): Promise<string> {
    await page.goto(`${running.system.url}/sessions/new?repository=${encodeURIComponent(repository)}`);
    await page.getByLabel("Prompt").fill(prompt);
    await page.getByRole("button", { name: "Start session" }).click();
    await page.waitForURL(/\/sessions\/ses_/);
    const id = new URL(page.url()).pathname.split("/").at(-1) ?? "";
    await page.waitForSelector("[data-receipt]", { timeout: 90_000 });
    return id;
  }

  describe("main flow", () => {
    beforeAll(async () => {
      running = system();
      browser = await launchBrowser();
      page = await openPage(browser);
      page.setDefaultTimeout(20_000);
      page.on("pageerror", (error) => errors.push(error.message));
      page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
    });
    afterAll(() => browser?.close());

    it("lists every repository of the installation as Disabled, and one without a branch cannot be switched on", async () => {
      await page.goto(`${running.system.url}/settings/images`);
      await row().waitFor();
      expect(await badge().getAttribute("data-status")).toBe("disabled");
      for (const name of ["acme/storefront", "acme/billing-legacy", "acme/empty"]) {
        expect(await page.locator(`[data-repository="${name}"]`).count()).toBe(1);
      }
      await page.getByRole("switch", { name: "Pre-built images for acme/empty" }).click();
      await page
        .getByRole("alert")
        .filter({ hasText: /branch|commit/i })
        .waitFor();
    });

    it("starts cold with one sentence why, runs setup, and is on the branch's head", async () => {
      const id = await startSessionInBrowser("Say hello");
      expect(await page.locator("[data-receipt]").getAttribute("data-receipt")).toBe("base");
      expect(await page.locator("[data-cold]").getAttribute("data-cold")).toBe("images_disabled");
      await page.getByText("Setup ran in this session").waitFor();
      expect(await running.witness.hasFile(id, "dist/manifest.json")).toBe(true);
      expect(await running.witness.setupRuns(id)).toBe(1);
      await page.getByRole("button", { name: "Stop session" }).click();
      await page.getByText("Stopped", { exact: true }).first().waitFor();
    });

    it("builds the first image as soon as the switch is on, shown by push without a reload", async () => {
      await page.goto(`${running.system.url}/settings/images`);
      await page.getByRole("switch", { name: `Pre-built images for ${repository}` }).click();
      await untilStatus("building");
      await untilStatus("ready");
      const image = await running.api.image(repository);
      expect(image.active?.sha).toMatch(sha40);
      await row()
        .getByText(image.active?.sha.slice(0, 7) ?? "?")
        .first()
        .waitFor();
    });

    it("starts from the image: phases in milliseconds, setup not re-run, the receipt beside the cold start, the agent answers", async () => {
      const id = await startSessionInBrowser("What does this repository do?");
      expect(await page.locator("[data-receipt]").getAttribute("data-receipt")).toBe("image");
      await page.getByText(/Setup was not re-run/).waitFor();
      await page
        .getByText(/faster/)
        .first()
        .waitFor();
      for (const phase of ["sandbox", "connect", "sync", "agent"]) {
        expect(await page.locator(`[data-phase="${phase}"]`).first().textContent()).toMatch(/\d\s*ms|\d\s*s/);
      }
      const session = await running.api.session(id);
      expect(await running.witness.head(id)).toBe(session.syncedSha);
      expect(await running.witness.setupRuns(id)).toBe(1);
      expect(await running.witness.hasFile(id, "dist/manifest.json")).toBe(true);
      await expect.poll(async () => (await running.api.session(id)).prompts[0]?.status, { timeout: 30_000 }).toBe("done");
      const answer = (await running.api.session(id)).prompts[0]?.parts.findLast((part) => part.kind === "text");
      expect(answer).toBeDefined();
      // The running session goes on while images come and go; it is stopped at the end of the flow.
      expect((await running.api.session(id)).status).toBe("ready");
    });

    it("keeps code in a sandbox away from the API and from everything else on the host", async () => {
      const [session] = (await running.api.sessions()).sessions.filter((one) => one.status === "ready");
      const { system } = running;
      const status = (url: string) =>
        running.witness.run(session?.id ?? "", `curl --noproxy '*' -s -m 5 -o /dev/null -w '%{http_code}' ${url}`);
      expect((await status(`${system.ingressUrl}/api/sessions`)).text).toBe("403");
      expect((await status(`${system.ingressUrl}/model/v1/messages`)).text).not.toBe("000");
      expect((await status(`${system.githubUrl}/__emulator/requests`)).text).toMatch(/^40[134]$/);
      for (const url of [system.url, system.gatewayUrl, system.modalUrl, system.modelUrl, system.modalAdminUrl]) {
        expect((await status(url)).text, url).toBe("000");
      }
    });

    it("skips what did not move, and rebuilds what did, when the tick compares heads", async () => {
      const { stdout: unchanged } = await tick();
      expect(unchanged).toMatch(/acme\/notes-api .*unchanged/);
      const sha = await pushCommit(running.system, join(running.dataDir, "person"), repository, "Add a changelog", {
        "CHANGELOG.md": { content: "First\n" },
      });
      const { stdout: moved } = await tick();
      expect(moved).toMatch(/acme\/notes-api .*rebuilding/);
      await untilImageOf(running.api, repository, sha, 60_000);
    });

    it("rebuilds at once on the refresh button", async () => {
      await page.goto(`${running.system.url}/settings/images`);
      const before = (await running.api.image(repository)).active?.id;
      await page.getByRole("button", { name: `Rebuild now for ${repository}` }).click();
      await untilStatus("building");
      await untilStatus("ready");
      expect((await running.api.image(repository)).active?.id).not.toBe(before);
    });

    it("shows the real cause of a failed build: the lines that setup printed", async () => {
      await page.getByRole("switch", { name: "Pre-built images for acme/billing-legacy" }).click();
      const failed = page.locator('[data-repository="acme/billing-legacy"]');
      await failed.locator('[data-status="failed"]').waitFor({ timeout: 60_000 });
      expect(await failed.textContent()).toContain("connection to server at");
      await running.api.setImage("acme/billing-legacy", false);
    });

    it("switched off: new sessions start cold, the running one goes on", async () => {
      const [prebuilt] = (await running.api.sessions()).sessions.filter((one) => one.status === "ready");
      await page.getByRole("switch", { name: `Pre-built images for ${repository}` }).click();
      // The page shows the word at once; the switch itself has been taken when the API says so.
      await untilStatus("disabled");
      await expect.poll(async () => (await running.api.image(repository)).enabled, { timeout: 10_000 }).toBe(false);
      const cold = await running.api.startSession({ repository });
      expect(cold.cold?.code).toBe("images_disabled");
      await running.api.stopSession(cold.id);
      expect(prebuilt).toBeDefined();
      expect((await running.api.session(prebuilt?.id ?? "")).status).toBe("ready");
      expect(await running.witness.head(prebuilt?.id ?? "")).toMatch(sha40);
      await running.api.stopSession(prebuilt?.id ?? "");
      await running.untilNoSandboxes();
    });

    it("fits a phone without sideways scroll and logs no error in the browser", async () => {
      await page.setViewportSize({ width: 360, height: 740 });
      for (const path of ["/", "/settings/images", "/sessions/new"]) {
        await page.goto(`${running.system.url}${path}`);
        await page.getByRole("heading").first().waitFor();
        const overflow = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth");
        expect(overflow, path).toBeLessThanOrEqual(0);
      }
      // The one refused request (the repository without a branch) is the only line the browser may print.
      expect(errors.filter((line) => !line.includes("409"))).toEqual([]);
    });
  });

  function tick() {
    return promisify(execFile)(process.execPath, [join(root, "scripts/tick.ts"), "--url", running.system.url], {
      timeout: 60_000,
    });
  }
}
