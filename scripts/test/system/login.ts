/** The login in a real browser: somebody logs in at GitHub, works under their own name up to the pull request, and logs out. */
import { type Browser, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { meSchema, type PullRequestRequest, promptViewSchema, sessionViewSchema } from "../../../packages/protocol/src/index.ts";
import { untilAnswered } from "../../api.ts";
import { openPage } from "../browser.ts";
import { type TestSystem } from "../support.ts";
import { type Shared } from "./conversation.ts";
import { script } from "./verification.ts";

const pullSchema = z.object({
  title: z.string(),
  user: z.object({ login: z.string(), type: z.string() }),
  head: z.object({ sha: z.string() }),
});
const commitSchema = z.object({ commit: z.object({ author: z.object({ name: z.string(), email: z.string() }) }) });

/**
 * @param system the one that runs
 * @param session one that is ready, and is so again at the end
 */
export function login(system: () => TestSystem, browser: () => Browser, session: () => Shared) {
  let running: TestSystem;
  let page: Page;
  let repository: string;
  let sessionId: string;

  const me = async () => meSchema.parse(await (await page.request.get("/api/me")).json());
  const atGithub = async <T extends z.ZodType>(schema: T, path: string): Promise<z.output<T>> => {
    const headers = { authorization: `Bearer ${running.system.credentials.person.token}`, "user-agent": "test" };
    return schema.parse(await (await fetch(`${running.system.githubUrl}/repos/${repository}${path}`, { headers })).json());
  };
  const write = (path: string) => ({ tool: { name: "write", args: { filePath: `/workspace/repo/${path}`, content: "one\n" } } });
  /** With the cookies of the page's browser. */
  const openPull = async (data: PullRequestRequest) => {
    const answer = await page.request.post(`/api/sessions/${sessionId}/pull-request`, { data });
    expect(answer.status(), await answer.text()).toBe(202);
    return sessionViewSchema.parse(await answer.json());
  };
  const logIn = async (person: string) => {
    const back = encodeURIComponent(`/sessions/${sessionId}`);
    await page.goto(`/api/auth/github?return=${back}`);
    await page.getByRole("button", { name: `Continue as ${person}` }).click();
  };

  describe("the login with GitHub", () => {
    beforeAll(async () => {
      running = system();
      ({ repository, sessionId } = session());
      page = await openPage(browser(), { baseURL: running.system.url });
    });
    afterAll(() => page?.context().close());

    it("[LI1] [LI3] who has no access, or says no, is told so and is nobody new; who has is back where they came from", async () => {
      await logIn("stranger");
      await page.waitForURL(/\/login\?error=not_allowed/);
      await page.goto("/api/auth/github");
      await page.getByRole("button", { name: "Cancel" }).click();
      await page.waitForURL(/\/login\?error=denied/);
      expect((await me()).via).toBe("developer");
      await logIn("mona");
      await page.waitForURL(`**/sessions/${sessionId}`);
      expect(await me()).toMatchObject({ via: "github", person: { login: "mona", name: "Mona Lisa" } });
    });

    it("[PU11] what is asked for by who is logged in is committed and proposed by them, not by the App", async () => {
      const text = `Add another ${script(write("other.txt"), { text: "Added." })}`;
      const asked = await page.request.post(`/api/sessions/${sessionId}/prompts`, { data: { text } });
      const prompt = promptViewSchema.parse(await asked.json());
      expect(prompt.author?.login).toBe("mona");
      await untilAnswered(running.api, sessionId, prompt.id);
      const { pullRequest, pullRequestBy } = await openPull({});
      expect(pullRequestBy).toEqual({ login: "mona", reason: null });
      const pull = await atGithub(pullSchema, `/pulls/${pullRequest?.number}`);
      expect(pull.user).toEqual({ login: "mona", type: "User" });
      const { commit } = await atGithub(commitSchema, `/commits/${pull.head.sha}`);
      const email = expect.stringMatching(/^\d+\+mona@users\.noreply\.github\.com$/);
      expect(commit.author).toMatchObject({ name: "Mona Lisa", email });
    });

    it("[PU12] what GitHub does not let them do is done as the App, and the session says so", async () => {
      const mayPush = (push: boolean) =>
        running.changeGithub("PUT", "/people/mona/access", { access: [{ owner: "acme", name: null, push }] });
      await mayPush(false);
      const { pullRequest, pullRequestBy } = await openPull({ title: "Better words" });
      expect(pullRequestBy).toEqual({ login: "mona", reason: expect.stringContaining("did not let mona do it") });
      expect(await atGithub(pullSchema, `/pulls/${pullRequest?.number}`)).toMatchObject({ title: "Better words" });
      await mayPush(true);
    });

    it("[LI4] [LI5] a logout ends it in the browser; on this machine the developer identity goes on", async () => {
      const kept = await page.context().cookies();
      await page.goto("/");
      await page
        .getByRole("button", { name: /Account: Mona Lisa|Mona Lisa/ })
        .first()
        .click();
      await page.getByRole("button", { name: "Log out" }).click();
      await page.waitForURL(/\/login/);
      expect((await me()).via).toBe("developer");
      await page.context().addCookies(kept);
      expect((await me()).via, "a kept cookie is worth nothing").toBe("developer");
    });
  });
}
