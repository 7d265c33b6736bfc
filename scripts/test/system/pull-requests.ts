/** From a prompt to a merged pull request, on the real parts: git in the sandbox, octokit in the Worker, GitHub's webhooks; and sessions that an agent begins. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import {
  errorBodySchema,
  type PromptView,
  type PullRequestRequest,
  promptViewSchema,
  type SessionView,
  sessionViewSchema,
} from "../../../packages/protocol/src/index.ts";
import { until, untilReady } from "../../api.ts";
import { pushCommit } from "../../person.ts";
import { type TestSystem } from "../support.ts";

const pullSchema = z.object({ number: z.number(), state: z.string(), head: z.string(), headSha: z.string(), draft: z.boolean() });
const commitSchema = z.object({
  commit: z.object({ author: z.object({ name: z.string() }), message: z.string() }),
  files: z.array(z.object({ filename: z.string() })),
});

/** @param system the one that runs; at the end no sandbox is left */
export function pullRequests(system: () => TestSystem) {
  const repository = "acme/proposed";
  let running: TestSystem;
  let sessionId: string;

  const asPerson = async <T extends z.ZodType>(schema: T, path: string): Promise<z.output<T>> => {
    const headers = { authorization: `Bearer ${running.system.credentials.person.token}`, "user-agent": "test" };
    return schema.parse(await (await fetch(`${running.system.githubUrl}${path}`, { headers })).json());
  };
  const pulls = async () => {
    const headers = { "x-emulator-token": running.system.credentials.emulatorAdminToken };
    const answer = await fetch(`${running.system.githubUrl}/__emulator/repositories/${repository}/pulls`, { headers });
    return z.object({ pulls: z.array(pullSchema) }).parse(await answer.json()).pulls;
  };
  const post = async (path: string, body: object): Promise<{ status: number; body: unknown }> => {
    const answer = await fetch(`${running.system.url}/api/sessions${path}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    return { status: answer.status, body: await answer.json() };
  };
  const ask = (id: string, request: PullRequestRequest = {}) => post(`/${id}/pull-request`, request);
  const opened = async (id: string, request: PullRequestRequest = {}): Promise<SessionView> => {
    const { status, body } = await ask(id, request);
    expect([status, body]).toMatchObject([202, { pullRequestProgress: null }]);
    return sessionViewSchema.parse(body);
  };
  const refused = async (id: string) => {
    const { status, body } = await ask(id);
    return { status, ...errorBodySchema.parse(body).error };
  };
  const say = async (id: string, text: string, ...steps: unknown[]) => {
    const { body } = await post(`/${id}/prompts`, { text: `${text} SCRIPT=${JSON.stringify(steps)}` });
    return untilDone(id, promptViewSchema.parse(body).id);
  };
  const untilDone = (id: string, promptId: string) =>
    until(`the end of prompt ${promptId}`, 60_000, async () => {
      const prompt = (await running.api.session(id)).prompts.find((one) => one.id === promptId);
      return prompt && prompt.finishedAt !== null ? prompt : null;
    });
  const outputsOf = ({ parts }: PromptView) => parts.flatMap((part) => (part.kind === "tool" ? [part.output] : [])).join("\n");
  const write = (path: string, content: string) => ({
    tool: { name: "write", args: { filePath: `/workspace/repo/${path}`, content } },
  });
  const bash = (command: string) => ({ tool: { name: "bash", args: { command, description: "Runs a command" } } });
  const untilState = (state: string) =>
    until(`the pull request is ${state}`, 20_000, async () => {
      const { pullRequest } = await running.api.session(sessionId);
      return pullRequest?.state === state ? pullRequest : null;
    });
  const onGithub = (number: number, change: object) =>
    running.changeGithub("PATCH", `/repositories/${repository}/pulls/${number}`, change);

  describe("pull requests", () => {
    beforeAll(async () => {
      running = system();
      await running.createRepository("proposed");
      await pushCommit(running.system, `${running.dataDir}/person`, repository, "First", { "README.md": { content: "First\n" } });
      await fetch(`${running.system.url}/api/repositories?sync=force`);
      await running.changeGithub("PUT", "/webhook", { url: `${running.system.url}/api/webhooks/github` });
      const prompt = `Add a page SCRIPT=${JSON.stringify([{ text: "Which one?" }])}`;
      const started = await running.api.startSession({ repository, prompt });
      sessionId = started.id;
      await untilReady(running.api, sessionId, 90_000);
      await untilDone(sessionId, started.prompts[0]?.id ?? "");
    });
    afterAll(async () => {
      await running.clearFaults();
      await running.changeGithub("PUT", "/webhook", { url: null });
      for (const one of (await running.api.sessions()).sessions) await running.api.stopSession(one.id);
      await running.untilNoSandboxes();
    });

    it("[PU8] a session that has changed nothing has nothing to push", async () => {
      expect(await refused(sessionId)).toMatchObject({ status: 409, code: "nothing_to_push" });
    });

    it("[PU4] the sandbox itself may not push: what it has reads", async () => {
      const answer = await say(
        sessionId,
        "Push it.",
        bash("git push origin HEAD:refs/heads/sneaky 2>&1 | tail -3; git push origin HEAD:main 2>&1 | tail -3"),
        { text: "Tried." },
      );
      expect(outputsOf(answer)).toMatch(/403|not granted|denied/);
      const { branches } = await running.api.branches(repository);
      expect(branches.map((one) => one.name)).toEqual(["main"]);
    });

    it("[PU3] what the agent wrote is committed as the person, pushed to a branch of its own and proposed as the App", async () => {
      await say(sessionId, "A page of one line.", write("page.txt", "one\n"), { text: "Added." });
      const { pullRequest } = await opened(sessionId, { draft: true });
      expect(pullRequest).toMatchObject({ number: 1, state: "draft", branch: expect.stringMatching(/^openinspect\/add-a-page/) });
      const [pull] = await pulls();
      expect(pull).toMatchObject({ number: 1, draft: true, head: pullRequest?.branch });
      const { commit, files } = await asPerson(commitSchema, `/repos/${repository}/commits/${pull?.headSha}`);
      const { author } = await running.api.session(sessionId);
      expect(commit.author.name).toBe(author?.name);
      expect(commit.message).toContain(`/sessions/${sessionId}`);
      expect(files.map((file) => file.filename)).toEqual(["page.txt"]);
      const shown = z.object({ user: z.object({ type: z.string() }), body: z.string() });
      const { user, body } = await asPerson(shown, `/repos/${repository}/pulls/1`);
      expect(user.type).toBe("Bot");
      expect(body).toContain("Requested by");
    });

    it("[PU7] what is done later goes to the same branch, and nothing else is opened", async () => {
      const [before] = await pulls();
      await say(sessionId, "Go on.", write("page.txt", "two\n"), { text: "Done." });
      await opened(sessionId);
      const after = await pulls();
      expect(after).toHaveLength(1);
      expect(after[0]?.headSha).not.toBe(before?.headSha);
    });

    it("[PU5] a git server that is out of order is named, and the next request works", async () => {
      await say(sessionId, "Go on.", write("page.txt", "three\n"), { text: "Done." });
      const before = (await pulls())[0]?.headSha;
      await running.faultGithub({ match: "git-receive-pack", kind: "status", code: 500, times: 20 });
      expect(await refused(sessionId)).toMatchObject({ status: 502, code: "pull_request_failed" });
      expect((await running.api.session(sessionId)).pullRequestProgress).toMatchObject({ at: "failed" });
      await running.clearFaults();
      await running.faultGithub({ match: `rest:/repos/${repository}/pulls`, kind: "status", code: 503, times: 1 });
      await opened(sessionId);
      expect((await pulls())[0]?.headSha).not.toBe(before);
    });

    it("[PU6] what people do at GitHub is shown: ready for review, then merged", async () => {
      await onGithub(1, { draft: false });
      await untilState("open");
      await onGithub(1, { merged: true });
      await untilState("merged");
      const { sessions } = await running.api.sessions();
      expect(sessions.find((one) => one.id === sessionId)?.pullRequest?.state).toBe("merged");
      const content = z.object({ sha: z.string(), parents: z.array(z.unknown()) });
      expect((await asPerson(content, `/repos/${repository}/commits/main`)).parents).toHaveLength(2);
    });

    it("[PU7] work after the merge is proposed anew, from another branch", async () => {
      await say(sessionId, "One more.", write("other.txt", "more\n"), { text: "Done." });
      const { pullRequest } = await opened(sessionId);
      expect(pullRequest).toMatchObject({ number: 2, state: "open", branch: expect.stringMatching(/-2$/) });
    });

    it("[SU1] [SU3] an agent begins a session with its tool, and reads the answer", async () => {
      const prompt = `Say it. SCRIPT=${JSON.stringify([{ text: "It is said." }])}`;
      const answer = await say(sessionId, "Delegate.", { tool: { name: "session_start", args: { prompt } } }, { text: "Begun." });
      expect(outputsOf(answer)).toContain("/sessions/ses_");
      const child = await until("the child's answer", 90_000, async () => {
        const list = await fetch(`${running.system.url}/api/sessions?parent=${sessionId}`);
        const { sessions } = z
          .object({ sessions: z.array(z.object({ id: z.string(), isWorking: z.boolean(), status: z.string() })) })
          .parse(await list.json());
        return sessions.find((one) => one.status === "ready" && !one.isWorking) ?? null;
      });
      expect((await running.api.session(child.id)).parentId).toBe(sessionId);
      const read = await say(
        sessionId,
        "Look.",
        { tool: { name: "session_read", args: { sessionId: child.id } } },
        { text: "Read." },
      );
      expect(outputsOf(read)).toContain("It is said.");
    });
  });
}
