/** The conversation as two people in two browsers see it: streamed, queued, edited, stopped, reloaded, taken up again the next day. */
import { type Browser, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { textOf, until, untilAnswered, untilReady } from "../../api.ts";
import { pushCommit } from "../../person.ts";
import { openPage } from "../browser.ts";
import { type TestSystem } from "../support.ts";
import { script } from "./verification.ts";

/** The session, once it is ready. */
export interface Shared {
  repository: string;
  sessionId: string;
}

/**
 * @param system the one that runs; at the end no sandbox is left
 * @param besides tests that need nothing but the session, and leave it ready
 */
export function conversation(system: () => TestSystem, browser: () => Browser, besides: (session: () => Shared) => void) {
  const repository = "acme/shared";
  let running: TestSystem;
  let sessionId: string;
  const pages: Page[] = [];

  /** @param pieceMs pause after each two or three words: long where nobody waits for the end */
  const slowText = (words: number, pieceMs = 100) =>
    script({
      text: Array.from({ length: words }, (_, index) => `word${index}`).join(" "),
      chunk: 24,
      delayMs: pieceMs,
    });
  const say = (text: string) => running.api.prompt(sessionId, { text });

  const answerOn = (page: Page, id: string) => page.locator(`[data-prompt="${id}"]`).getByRole("region", { name: "Answer" });

  describe("a session that people share", () => {
    beforeAll(async () => {
      running = system();
      await running.createRepository("shared");
      await pushCommit(running.system, `${running.dataDir}/person`, repository, "First", { "README.md": { content: "First\n" } });
      await fetch(`${running.system.url}/api/repositories?sync=force`);
      sessionId = (await untilReady(running.api, (await running.api.startSession({ repository })).id, 90_000)).id;
    });
    afterAll(async () => {
      await running.api.stopSession(sessionId);
      await running.untilNoSandboxes();
    });

    describe("a conversation", talk);
    besides(() => ({ repository, sessionId }));
  });

  function talk() {
    beforeAll(async () => {
      for (let index = 0; index < 2; index++) {
        const page = await openPage(browser());
        await page.goto(`${running.system.url}/sessions/${sessionId}`);
        pages.push(page);
      }
    });
    afterAll(async () => {
      for (const page of pages) await page.context().close();
    });

    it("streams the same answer to everybody who watches, and a reload shows it whole in the middle of it", async () => {
      const { id } = await say(`Tell me. ${slowText(120)}`);
      for (const page of pages)
        await answerOn(page, id)
          .getByText(/word3\b/)
          .waitFor({ timeout: 30_000 });
      await pages[1]?.reload();
      if (pages[1])
        await answerOn(pages[1], id)
          .getByText(/word3\b/)
          .waitFor();
      const answered = await untilAnswered(running.api, sessionId, id);
      expect(textOf(answered)).toMatch(/^word0 .* word119$/);
      for (const page of pages) {
        await answerOn(page, id)
          .getByText(/word119\b/)
          .waitFor();
        const shown = await answerOn(page, id).textContent();
        for (const word of ["word0 ", "word60 ", "word119"]) expect(shown?.split(word).length, word).toBe(2);
      }
      // From here on one goes on watching.
      await pages.pop()?.context().close();
    });

    it("queues what is asked while the agent works; what waits can be changed and taken back, what runs cannot", async () => {
      const first = await say(`One. ${slowText(80)}`);
      const second = await say(`Two. ${script({ text: "Old words." })}`);
      const third = await say(`Three. ${script({ text: "Never said." })}`);
      await running.api.changePrompt(sessionId, second.id, { text: `Two, changed. ${script({ text: "New words." })}` });
      await running.api.cancelPrompt(sessionId, third.id);
      await expect(running.api.changePrompt(sessionId, first.id, { text: "Too late." })).rejects.toThrow(/409/);
      expect((await untilAnswered(running.api, sessionId, first.id)).status).toBe("done");
      expect(textOf(await untilAnswered(running.api, sessionId, second.id))).toBe("New words.");
      const { prompts } = await running.api.session(sessionId);
      expect(prompts.find((one) => one.id === third.id)).toMatchObject({ status: "cancelled", parts: [] });
    });

    it("stops within a second, keeps what was said, and goes on with the next prompt", async () => {
      const { id } = await say(`Long. ${slowText(200, 400)}`);
      await until("some words", 30_000, async () => {
        const prompt = (await running.api.session(sessionId)).prompts.find((one) => one.id === id);
        return prompt && textOf(prompt).includes("word5") ? prompt : null;
      });
      const askedAt = Date.now();
      await running.api.stopPrompt(sessionId, id);
      const stopped = await untilAnswered(running.api, sessionId, id, 10_000);
      expect(stopped.status).toBe("stopped");
      expect((stopped.finishedAt ?? 0) - askedAt).toBeLessThanOrEqual(1_000);
      expect(textOf(stopped)).toContain("word5");
      const next = await say(`Next. ${script({ text: "Going on." })}`);
      expect(textOf(await untilAnswered(running.api, sessionId, next.id))).toBe("Going on.");
    });

    it("stops a command within a second of being asked to, and nothing that it has started goes on in the sandbox", async () => {
      const command = "sleep 601 & (sleep 602 | cat) & echo started; sleep 603";
      const { id } = await say(`Wait. ${script({ tool: { name: "bash", args: { command, description: "Waits" } } })}`);
      await until("the command runs", 30_000, async () => {
        const prompt = (await running.api.session(sessionId)).prompts.find((one) => one.id === id);
        return prompt?.parts.some((part) => part.kind === "tool" && part.output.includes("started")) ? prompt : null;
      });
      const sleeping = async () => Number((await running.witness.run(sessionId, "pgrep -cf 'sleep 60[123]'")).text);
      expect(await sleeping()).toBeGreaterThanOrEqual(3);
      const askedAt = Date.now();
      await running.api.stopPrompt(sessionId, id);
      const stopped = await untilAnswered(running.api, sessionId, id, 10_000);
      expect(stopped.status).toBe("stopped");
      expect((stopped.finishedAt ?? 0) - askedAt).toBeLessThanOrEqual(1_000);
      await until("the end of what it has started", 5_000, async () => ((await sleeping()) === 0 ? true : null));
    });

    it("goes on after it was stopped and kept in the middle of an answer: what was said is there, and known to the agent", async () => {
      const { id } = await say(`Note that the animal is a quokka. ${slowText(200, 400)}`);
      await until("some words", 30_000, async () => {
        const prompt = (await running.api.session(sessionId)).prompts.find((one) => one.id === id);
        return prompt && textOf(prompt).includes("word5") ? prompt : null;
      });
      await running.api.stopSession(sessionId);
      const stopped = await until("the session is stopped", 60_000, async () => {
        const session = await running.api.session(sessionId);
        return session.status === "stopped" ? session : null;
      });
      expect(stopped).toMatchObject({ failure: null, snapshot: { takenAt: expect.any(Number) } });
      const before = stopped.prompts.find((one) => one.id === id);
      expect(before).toMatchObject({ status: "stopped", error: null });
      expect(before && textOf(before)).toMatch(/^word0 .*word5/);
      const asked = await say(`Which one was it? ${script({ recall: "the animal is a (\\w+)" })}`);
      expect(textOf(await untilAnswered(running.api, sessionId, asked.id, 60_000))).toBe("quokka");
      const session = await running.api.session(sessionId);
      expect(session).toMatchObject({ fallbacks: [], receipt: { startedFrom: "snapshot" } });
      expect(session.prompts.find((one) => one.id === id)).toEqual(before);
      const check =
        "new DatabaseSync(process.argv[1], { readOnly: true }).prepare('PRAGMA integrity_check').get().integrity_check";
      const { text } = await running.witness.run(
        sessionId,
        `node -e "const { DatabaseSync } = require('node:sqlite'); console.log(${check})" /home/agent/.local/share/opencode/opencode.db 2>/dev/null`,
      );
      expect(text, "the agent's database").toBe("ok");
    });

    it("is asked from the page: typed, sent with Enter, answered there", async () => {
      const [page] = pages;
      if (!page) throw new Error("no page");
      await page.getByRole("textbox", { name: /prompt|message/i }).fill(`From here. ${script({ text: "Read on the page." })}`);
      await page.keyboard.press("Enter");
      await page.getByText("Read on the page.", { exact: true }).waitFor({ timeout: 30_000 });
    });

    it("shows what the agent changed, file by file", async () => {
      const write = { tool: { name: "write", args: { filePath: "/workspace/repo/added.txt", content: "one\ntwo\n" } } };
      const { id } = await say(`Add. ${script(write, { text: "Added." })}`);
      await untilAnswered(running.api, sessionId, id);
      const file = await until("the diff", 15_000, async () => {
        const { diff } = await running.api.session(sessionId);
        return diff?.files.find((one) => one.path === "added.txt") ?? null;
      });
      expect(file).toMatchObject({ change: "added", additions: 2, deletions: 0 });
      await pages[0]?.getByText("added.txt").first().waitFor();
    });

    it("takes a picture and a text along", async () => {
      const data = (text: string) => Buffer.from(text).toString("base64");
      const { id } = await running.api.prompt(sessionId, {
        text: `Read it. ${script({ text: "Seen." })}`,
        attachments: [{ name: "notes.txt", mime: "text/plain", data: data("the number is 4711") }],
      });
      expect((await untilAnswered(running.api, sessionId, id)).status).toBe("done");
      const asked = await say(`Which number? ${script({ recall: "the number is (\\d+)" })}`);
      expect(textOf(await untilAnswered(running.api, sessionId, asked.id))).toBe("4711");
    });
  }
}
