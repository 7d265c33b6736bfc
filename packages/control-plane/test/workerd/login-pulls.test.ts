/** Pull requests in the name of whoever is logged in, and what is done where GitHub does not allow it. */
import { runInDurableObject } from "cloudflare:test";
import { type ErrorBody, type SessionView } from "@open-inspect/protocol";
import { expect, it, vi } from "vitest";
import { deadlines } from "../../src/domain/deadlines.ts";
import { type FakePerson } from "../fakes/github-login.ts";
import { eventually, type FakeRuntime, github, passTime, sessionObject } from "./harness.ts";
import { type Browser, openBrowser } from "./login-browser.ts";
import { ask, finish, opened, pushed, pushes, pushOf, readySession, viewSession } from "./pull-world.ts";

async function askAs(browser: Browser, id: string, body: object = {}) {
  const answer = await browser.go("POST", `/api/sessions/${id}/pull-request`, { body });
  return { status: answer.status, body: (await answer.json()) as SessionView & ErrorBody };
}
/** Asks as a person, and plays the push. @param between what happens at GitHub meanwhile */
async function openedAs(browser: Browser, runtime: FakeRuntime, id: string, body: object = {}, between = async () => {}) {
  const count = pushes(runtime).length + 1;
  const answer = askAs(browser, id, body);
  const push = await pushOf(runtime, count);
  await between();
  finish(runtime, push, pushed(push));
  return { push, ...(await answer) };
}
async function loggedIn(person = "mona"): Promise<Browser> {
  const browser = openBrowser();
  expect(await browser.logIn(person)).toBe("/");
  return browser;
}
const change = (one: Partial<FakePerson>) => github({ do: "person", login: "mona", change: one });
const pulls = async () => (await github({ do: "state" })).pulls;

it("[PU11] whoever is logged in opens it at GitHub themselves; the developer identity has the App do it", async () => {
  const mona = await loggedIn();
  const { session, runtime } = await readySession();
  const mine = await openedAs(mona, runtime, session.id);
  expect(mine.status, JSON.stringify(mine.body)).toBe(202);
  expect(mine.body.pullRequestBy).toEqual({ login: "mona", reason: null });
  expect(await pulls()).toMatchObject([{ author: "mona", body: expect.stringContaining("Requested by @mona") }]);
  const { answer } = await opened(runtime, session.id, { title: "Another title" });
  expect(answer.body.pullRequestBy, "who opened it stays so").toEqual({ login: "mona", reason: null });

  const other = await readySession();
  const theirs = await opened(other.runtime, other.session.id);
  expect(theirs.answer.body.pullRequestBy).toEqual({ login: null, reason: null });
  expect((await pulls())[1]).toMatchObject({ author: null });
});

it("[PU11] a prompt of whoever is logged in is committed under their name and address", async () => {
  const mona = await loggedIn("octo-dev");
  const { session, runtime } = await readySession();
  await mona.go("POST", `/api/sessions/${session.id}/prompts`, { body: { text: "More" } });
  const { push } = await openedAs(mona, runtime, session.id);
  expect(push.author).toEqual({ name: "octo-dev", login: "octo-dev", email: "7000001+octo-dev@users.noreply.github.com" });
});

it.each([401, 403, 404])("[PU12] what GitHub refuses to the person with %i is done as the App, and said", async (status) => {
  const mona = await loggedIn();
  const { session, runtime } = await readySession();
  const { body } = await openedAs(mona, runtime, session.id, {}, async () => void (await change({ refusedWith: status })));
  expect(body.pullRequest?.number).toBe(1);
  expect(body.pullRequestBy).toEqual({
    login: null,
    reason: expect.stringMatching(/^GitHub did not let mona do it: Not for you/),
  });
  expect(await pulls()).toMatchObject([{ author: null }]);
  await change({ refusedWith: null });
  const again = await openedAs(mona, runtime, session.id);
  expect(again.body.pullRequestBy, "the App's it stays").toEqual({ login: null, reason: null });
});

it("[PU12] who logs out meanwhile, or takes it back, leaves it to the App", async () => {
  const mona = await loggedIn();
  const { session, runtime } = await readySession();
  const out = await openedAs(mona, runtime, session.id, {}, async () => void (await mona.go("POST", "/api/auth/logout")));
  expect(out.body.pullRequestBy).toEqual({ login: null, reason: "mona is not logged in any more." });
  const back = await loggedIn();
  const other = await readySession();
  const revoked = await openedAs(back, other.runtime, other.session.id, {}, async () => {
    await github({ do: "revoke", login: "mona" });
  });
  expect(revoked.body.pullRequestBy?.reason).toContain("Bad credentials");
  expect((await pulls()).map(({ author }) => author)).toEqual([null, null]);
});

it("[PU12] GitHub that is away for a moment is waited for in the person's name", async () => {
  const mona = await loggedIn();
  const { session, runtime } = await readySession();
  const answer = askAs(mona, session.id);
  const push = await pushOf(runtime);
  await change({ refusedWith: 503 });
  finish(runtime, push, pushed(push));
  const asked = async () => (await github({ do: "state" })).calls.some((one) => /^GET \/repos\/[^/]+\/shop\/pulls$/i.test(one));
  await eventually(asked, "GitHub is asked");
  expect((await viewSession(session.id)).pullRequestProgress?.at).toBe("opening");
  await change({ refusedWith: null });
  expect((await answer).body.pullRequestBy).toEqual({ login: "mona", reason: null });
});

it("[LI7] [PU11] a token that ends is renewed once for two requests of one person at a time", async () => {
  const mona = await loggedIn();
  const both = [await readySession(), await readySession()];
  const answers = both.map(({ session }) => askAs(mona, session.id));
  const asked = await Promise.all(both.map(({ runtime }) => pushOf(runtime)));
  passTime(8 * 3_600_000 - deadlines.tokenRenewMs + 60_000);
  await github({ do: "tokens", are: "slow" });
  for (const [index, { runtime }] of both.entries()) {
    const push = asked[index];
    runtime.send({ type: "heartbeat", at: Date.now() });
    if (push) finish(runtime, push, pushed(push));
  }
  for (const { body } of await Promise.all(answers))
    expect(body.pullRequestBy, JSON.stringify(body)).toEqual({ login: "mona", reason: null });
  expect((await github({ do: "state" })).login.refreshes).toBe(1);
});

it.each([
  { what: "is used for its last minutes", leftMs: 120_000, by: { login: "mona", reason: null } },
  {
    what: "that has ended leaves it to the App",
    leftMs: -1,
    by: { login: null, reason: "GitHub did not renew the login of mona." },
  },
])("[PU11] [PU12] a token that cannot be renewed $what", async ({ leftMs, by }) => {
  const mona = await loggedIn();
  const { session, runtime } = await readySession();
  const { body } = await openedAs(mona, runtime, session.id, {}, async () => {
    passTime(8 * 3_600_000 - leftMs);
    await github({ do: "tokens", are: "down" });
    runtime.send({ type: "heartbeat", at: Date.now() });
  });
  expect(body.pullRequestBy).toEqual(by);
});

it("[LI8] [PU11] the person's token is not in the object, the sandbox or a log line", async () => {
  const lines: string[] = [];
  const spies = (["log", "warn", "error"] as const).map((level) =>
    vi.spyOn(console, level).mockImplementation((...words) => void lines.push(words.join(" "))),
  );
  const mona = await loggedIn();
  const { session, runtime } = await readySession();
  await openedAs(mona, runtime, session.id, {}, async () => void (await change({ refusedWith: 403 })));
  const stored = await runInDurableObject(sessionObject(session.id), (_, { storage }) => {
    const tables = storage.sql.exec<{ name: string }>("SELECT name FROM sqlite_master WHERE type = 'table'").toArray();
    const readable = tables.filter(({ name }) => !name.startsWith("_cf"));
    const all = readable.map(({ name }) => storage.sql.exec(`SELECT * FROM "${name}"`).toArray());
    return JSON.stringify([all, [...storage.kv.list()]]);
  });
  for (const spy of spies) spy.mockRestore();
  expect(stored, "what is looked at is the state").toContain("GitHub did not let mona do it");
  const seen = [stored, JSON.stringify(runtime.received), JSON.stringify(runtime.config), ...lines].join("\n");
  expect(seen).not.toMatch(/gh[ur]_/);
  for (const token of (await github({ do: "state" })).login.tokens) expect(seen).not.toContain(token);
});

it("[PU8] [LI1] without a login nothing is asked for", async () => {
  const { session } = await readySession();
  expect(await askAs(openBrowser(), session.id)).toMatchObject({ status: 401 });
  expect((await ask(session.id, { branch: "main" })).status).toBe(400);
});
