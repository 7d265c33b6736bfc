/** A session's pull request through the real Worker and objects: asked for, pushed, opened, followed, and whatever goes wrong on the way. */
import { abortAllDurableObjects } from "cloudflare:test";
import { type BridgeDown, type SessionList } from "@open-inspect/protocol";
import { expect, it } from "vitest";
import { deadlines } from "../../src/domain/deadlines.ts";
import { type FakePull } from "../fakes/github-pulls.ts";
import { call, connectRuntime, eventually, github, json, passTime, ring, sessionObject, someSha } from "./harness.ts";
import { ask, finish, opened, pushed, pushes, pushOf, ready, readySession, startSession, viewSession } from "./pull-world.ts";
import { deliver } from "./webhook.ts";

const event = (action: string, number: number, change: Partial<FakePull>, updatedAt: number) => ({
  action,
  number,
  pull_request: {
    html_url: `http://github.test/Acme/Shop/pull/${number}`,
    ...{ state: "open", draft: false, merged: false, title: "Fix the checkout", ...change },
    updated_at: `${new Date(updatedAt).toISOString().slice(0, 19)}Z`,
    head: { ref: "openinspect/x" },
  },
  repository: { name: "Shop", owner: { login: "Acme" } },
});

it("[PU3] [PU8] asked for, pushed as whoever prompted, opened as the App, shown in the session and its row", async () => {
  const { session, runtime } = await readySession();
  const { push, answer } = await opened(runtime, session.id, { draft: true });
  expect(push).toMatchObject({
    branch: `openinspect/fix-the-checkout-${session.id.slice(-6)}`,
    message: `Fix the checkout\n\nhttp://dashboard.test/sessions/${session.id}`,
    author: { name: "dev" },
  });
  expect(answer.status, JSON.stringify(answer.body)).toBe(202);
  const shown = {
    number: 1,
    url: "http://github.test/Acme/Shop/pull/1",
    state: "draft",
    branch: push.branch,
    title: "Fix the checkout",
  };
  expect(answer.body).toMatchObject({ pullRequest: shown, pullRequestProgress: null });
  const { pulls, tokenBodies } = await github({ do: "state" });
  expect(pulls).toMatchObject([{ head: push.branch, base: "main", draft: true }]);
  expect(pulls[0]?.body).toContain("Requested by `dev`");
  expect(tokenBodies).toContainEqual({ repositories: ["Shop"], permissions: { pull_requests: "write", contents: "read" } });
  const { body: list } = await json<SessionList>("GET", "/api/sessions");
  expect(list.sessions[0]?.pullRequest).toMatchObject(shown);
});

it("[PU4] a token that writes is given for the push in flight alone, and ended with it", async () => {
  // Tokens that read are kept beyond a test; no other one has this repository.
  const repository = { owner: "acme", name: "pushed", defaultBranch: "main", branches: { main: someSha("a") } };
  await github({ do: "repositories", repositories: [repository] });
  const { session, runtime } = await readySession(repository.name);
  const credential = (id: string, pushId?: string) => {
    runtime.send({ type: "credential.request", id, ...(pushId === undefined ? {} : { pushId }) });
    const isIt = (one: BridgeDown) => (one.type === "credential" || one.type === "credential.refused") && one.id === id;
    return eventually(async () => runtime.received.find(isIt), "an answer arrives");
  };
  expect(await credential("c1", "push-of-nobody")).toMatchObject({ type: "credential.refused" });
  const answer = ask(session.id);
  const push = await pushOf(runtime);
  expect(await credential("c2", "push-of-nobody")).toMatchObject({ type: "credential.refused" });
  expect(await credential("c3")).toMatchObject({ type: "credential", username: "x-access-token" });
  expect(await credential("c4", push.pushId)).toMatchObject({ type: "credential", username: "x-access-token" });
  const { tokenBodies, calls } = await github({ do: "state" });
  expect(tokenBodies.slice(-2)).toEqual([
    { repositories: ["pushed"], permissions: { contents: "read" } },
    { repositories: ["pushed"], permissions: { contents: "write" } },
  ]);
  expect(calls).not.toContain("DELETE /installation/token");
  finish(runtime, push, pushed(push));
  await answer;
  expect(await credential("c5", push.pushId), "the push is over").toMatchObject({ type: "credential.refused" });
  await eventually(
    async () => (await github({ do: "state" })).calls.includes("DELETE /installation/token"),
    "the token is ended",
  );
});

it("[PU3] a push that a cut socket or a new instance of the object swallowed is said again under its id", async () => {
  const { session, runtime } = await readySession();
  const answer = ask(session.id).catch(() => null);
  const push = await pushOf(runtime);
  await abortAllDurableObjects();
  await answer;
  const again = await connectRuntime(runtime.config, { seq: runtime.seq });
  expect(await pushOf(again)).toEqual(push);
  expect((await viewSession(session.id)).pullRequestProgress).toEqual({ at: "pushing", branch: push.branch });
  finish(again, push, pushed(push));
  await eventually(async () => (await viewSession(session.id)).pullRequest, "the pull request is shown");
  expect((await github({ do: "state" })).pulls).toHaveLength(1);
});

it("[PU3] a pull request that is open already is taken up, and who asks twice at once gets one", async () => {
  const { session, runtime } = await readySession();
  const both = [ask(session.id), ask(session.id)];
  const push = await pushOf(runtime);
  finish(runtime, push, pushed(push));
  for (const { status, body } of await Promise.all(both)) expect([status, body.pullRequest?.number]).toEqual([202, 1]);
  expect(pushes(runtime)).toHaveLength(1);
  expect((await github({ do: "state" })).pulls).toHaveLength(1);
});

it("[PU7] a second request pushes to the same branch; a person's words replace the title, nothing else does", async () => {
  const { session, runtime } = await readySession();
  const first = await opened(runtime, session.id, { body: "Mine." });
  const second = await opened(runtime, session.id);
  expect(second.push.branch).toBe(first.push.branch);
  expect(second.push.pushId).not.toBe(first.push.pushId);
  expect((await github({ do: "state" })).pulls).toMatchObject([
    { title: "Fix the checkout", body: expect.stringMatching(/^Mine\./) },
  ]);
  const third = await opened(runtime, session.id, { title: "Better words" });
  expect(third.answer.body.pullRequest).toMatchObject({ number: 1, title: "Better words" });
  expect(await ask(session.id, { branch: "other" })).toMatchObject({ status: 409, body: { error: { code: "conflict" } } });
});

it("[PU8] what cannot be is refused with what to do: not ready, nothing to push, the wrong branch, no session", async () => {
  const unknown = await ask(`ses_${"0".repeat(26)}`);
  expect(unknown).toMatchObject({ status: 404, body: { error: { code: "session_not_found" } } });
  const { session, runtime } = await startSession();
  const early = await ask(session.id);
  expect(early).toMatchObject({
    status: 409,
    body: { error: { code: "session_not_ready", hint: expect.stringMatching(/ready/) } },
  });
  runtime.event(ready);
  await eventually(async () => (await viewSession(session.id)).status === "ready", "the session is ready");
  expect(await ask(session.id, { branch: "main" })).toMatchObject({ status: 400, body: { error: { code: "invalid_request" } } });
  const answer = ask(session.id);
  finish(runtime, await pushOf(runtime), { kind: "nothing" });
  expect(await answer).toMatchObject({ status: 409, body: { error: { code: "nothing_to_push" } } });
  await json("POST", `/api/sessions/${session.id}/stop`);
  expect(await ask(session.id)).toMatchObject({ status: 409, body: { error: { code: "session_not_ready" } } });
});

it("[PU5] a failed push and a refused pull request are told to whoever asks and shown in the session", async () => {
  const { session, runtime } = await readySession();
  const answer = ask(session.id);
  finish(runtime, await pushOf(runtime), { kind: "failed", message: "remote: protected branch" });
  expect(await answer).toMatchObject({
    status: 502,
    body: { error: { code: "pull_request_failed", message: expect.stringContaining("remote: protected branch") } },
  });
  const failed = { at: "failed", message: expect.stringContaining("remote: protected branch"), hint: expect.any(String) };
  expect((await viewSession(session.id)).pullRequestProgress).toMatchObject(failed);

  await github({ do: "refuse_pulls", message: "Draft pull requests are not supported in this repository" });
  expect((await opened(runtime, session.id)).answer).toMatchObject({
    status: 502,
    body: { error: { message: expect.stringContaining("Draft pull requests"), hint: expect.stringContaining("openinspect/") } },
  });
  await github({ do: "refuse_pulls", message: "No commits between main and x" });
  expect((await opened(runtime, session.id)).answer).toMatchObject({ status: 409, body: { error: { code: "nothing_to_push" } } });
  await github({ do: "refuse_pulls", message: null });
  await github({ do: "down", status: 403 });
  expect((await opened(runtime, session.id)).answer, "permissions of the App").toMatchObject({
    body: { error: { code: "pull_request_failed", hint: expect.stringContaining("Pull requests: read and write") } },
  });
  await github({ do: "down", status: null });
  expect((await opened(runtime, session.id)).answer.body).toMatchObject({
    pullRequest: { number: 1 },
    pullRequestProgress: null,
  });
});

it("[PU5] GitHub that is away for a moment is waited for; a sandbox that is silent or gone ends the request", async () => {
  const { session, runtime } = await readySession();
  const answer = ask(session.id);
  const push = await pushOf(runtime);
  await github({ do: "down", status: 503 });
  finish(runtime, push, pushed(push));
  await eventually(async () => (await viewSession(session.id)).pullRequestProgress?.at === "opening", "it is being opened");
  await github({ do: "down", status: null });
  await eventually(async () => {
    await ring(sessionObject(session.id));
    return (await viewSession(session.id)).pullRequest;
  }, "the pull request is shown");
  expect((await answer).status).toBe(202);

  const silent = ask(session.id);
  await pushOf(runtime, 2);
  passTime(deadlines.pushMs + 1);
  runtime.send({ type: "heartbeat", at: Date.now() });
  await ring(sessionObject(session.id));
  expect(await silent).toMatchObject({
    status: 502,
    body: { error: { message: expect.stringContaining("did not end within") } },
  });

  const gone = ask(session.id);
  await pushOf(runtime, 3);
  await json("POST", `/api/sessions/${session.id}/stop`);
  expect(await gone).toMatchObject({ status: 502, body: { error: { message: expect.stringContaining("sandbox was gone") } } });
});

it("[PU6] webhooks keep the state, by GitHub's own order of time; what nobody opened is ignored", async () => {
  const { session, runtime } = await readySession();
  const { answer } = await opened(runtime, session.id);
  const number = answer.body.pullRequest?.number ?? 0;
  const state = async () => (await viewSession(session.id)).pullRequest?.state;
  const at = Date.now();
  expect(await deliver("pull_request", event("converted_to_draft", number, { draft: true }, at + 5_000))).toMatchObject({
    accepted: true,
  });
  expect(await state()).toBe("draft");
  await deliver("pull_request", event("closed", number, { state: "closed", merged: true }, at + 9_000));
  expect(await state()).toBe("merged");
  await deliver("pull_request", event("ready_for_review", number, {}, at + 8_000));
  expect(await state(), "older than what is known").toBe("merged");
  expect(await deliver("pull_request", event("closed", 99, { state: "closed" }, at))).toMatchObject({ accepted: false });

  // Two in one second: only GitHub knows which came last.
  await github({ do: "pull", number, change: { state: "closed", merged: false, updatedAt: at + 9_000 } });
  await deliver("pull_request", event("reopened", number, {}, at + 9_000));
  await eventually(async () => (await state()) === "closed", "GitHub was asked");
});

it("[PU10] a webhook that was lost is made up for when somebody opens the session's page", async () => {
  const { session, runtime } = await readySession();
  await opened(runtime, session.id);
  await github({ do: "pull", number: 1, change: { state: "closed", merged: true, updatedAt: Date.now() + 5_000 } });
  expect((await viewSession(session.id)).pullRequest?.state).toBe("open");
  const { webSocket } = await call("GET", `/api/sessions/${session.id}/events`, undefined, { upgrade: "websocket" });
  webSocket?.accept();
  await eventually(async () => (await viewSession(session.id)).pullRequest?.state === "merged", "GitHub was asked");
  webSocket?.close();
});

it("[PU7] after a merge the next request opens another one from another branch", async () => {
  const { session, runtime } = await readySession();
  const first = await opened(runtime, session.id);
  await github({ do: "pull", number: 1, change: { state: "closed", merged: true } });
  await deliver("pull_request", event("closed", 1, { state: "closed", merged: true }, Date.now() + 5_000));
  const second = await opened(runtime, session.id);
  expect(second.push.branch).toBe(`${first.push.branch}-2`);
  expect(second.answer.body.pullRequest).toMatchObject({ number: 2, state: "open" });
});
