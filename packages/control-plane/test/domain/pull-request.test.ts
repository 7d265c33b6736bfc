/** A session's way to its pull request: what it is called and says, and what becomes of each step. */
import { type Person, type PullRequest } from "@open-inspect/protocol";
import { expect, it } from "vitest";
import { deadlines } from "../../src/domain/deadlines.ts";
import {
  isPullEffectWanted,
  noPull,
  type PullOrder,
  type PullPart,
  pushInFlight,
  resendPush,
  stepPull,
  takePushed,
  tendPull,
} from "../../src/domain/pull-request.ts";
import { defaultBranchName, orderPull, type PullSubject } from "../../src/domain/pull-request-text.ts";
import { createSessionDriver } from "../fakes/session-driver.ts";

const now = 1_000_000_000;
const ada: Person = { name: "Ada", email: "ada@example.com", login: "ada" };
const subject: PullSubject = {
  sessionId: "ses_01k9zzzzzz0000000000abcdef",
  title: "Fix the café's checkout",
  url: "http://dashboard.test/sessions/ses_1",
  base: "main",
  defaultBranch: "main",
  prompts: [{ text: "Fix the café's checkout\nand more", author: ada }],
  current: null,
  opened: 0,
};
const open: PullRequest = {
  number: 7,
  url: "http://github.test/acme/shop/pull/7",
  state: "open",
  branch: "openinspect/x",
  title: "X",
};

const ordered = (other: Partial<PullSubject> = {}, request: Parameters<typeof orderPull>[1] = { draft: false }, person = ada) => {
  const found = orderPull({ ...subject, ...other }, request, person, "push_1");
  if ("refused" in found) throw new Error(found.refused.message);
  return found.order;
};
const refusal = (other: Partial<PullSubject>, branch: string) => {
  const found = orderPull({ ...subject, ...other }, { draft: false, branch }, ada, "push_1");
  return "refused" in found ? found.refused.code : null;
};

it("[PU1] the branch has the session's name; never the one that it is to be merged into", () => {
  expect(ordered().branch).toBe("openinspect/fix-the-cafe-s-checkout-abcdef");
  expect(defaultBranchName({ ...subject, title: "日本語" })).toBe("openinspect/session-abcdef");
  expect(defaultBranchName({ ...subject, title: `${"a".repeat(39)} b` })).toBe(`openinspect/${"a".repeat(39)}-abcdef`);
  expect(defaultBranchName({ ...subject, title: "../..//@{x}.lock ~^" })).toBe("openinspect/x-lock-abcdef");
  expect(refusal({}, "main")).toBe("invalid_request");
  expect(refusal({ base: "feature" }, "feature")).toBe("invalid_request");
  expect(refusal({ base: "feature" }, "main"), "the default branch, though the session is on another one").toBe(
    "invalid_request",
  );
  expect(ordered({}, { draft: true, branch: "mine" })).toMatchObject({ branch: "mine", draft: true, base: "main" });
});

it("[PU1] an open pull request keeps its branch, and the next one after it gets another", () => {
  expect(ordered({ current: open, opened: 1, title: "Renamed" }).branch).toBe(open.branch);
  expect(refusal({ current: open, opened: 1 }, "other")).toBe("conflict");
  for (const state of ["merged", "closed"] as const) {
    expect(ordered({ current: { ...open, state }, opened: 1 }).branch).toBe("openinspect/fix-the-cafe-s-checkout-abcdef-2");
  }
});

it("[PU2] it says what was asked, by whom and where, in words that GitHub does nothing about", () => {
  const { title, body, commit, changes } = ordered();
  expect(title).toBe("Fix the café's checkout");
  expect(body).toContain("- `Fix the café's checkout`\n");
  expect(body).not.toContain("and more");
  expect(body).toContain("Requested by @ada in the session [Fix the café's checkout](http://dashboard.test/sessions/ses_1).");
  expect(commit).toEqual({ message: `${title}\n\n${subject.url}`, author: ada });
  expect(changes).toEqual({});

  const odd = { text: "closes #1 for `@everyone` <script>", author: null };
  const stranger = { name: "A `b` [c](d) @e", email: null, login: null };
  const careful = ordered({ prompts: [odd], title: "A [b](c) <d> @e #4\nf" }, { draft: false }, stranger);
  expect(careful.body).toContain("- `` closes #1 for `@everyone` <script> ``");
  expect(careful.body).toContain("Requested by `` A `b` [c](d) @e `` in the session [A b(c) d e 4 f]");
  expect(careful.commit.author, "nobody is known to have prompted").toEqual(stranger);
  const given = ordered({}, { draft: false, title: "Mine", body: "Because." });
  expect(given).toMatchObject({
    title: "Mine",
    changes: { title: "Mine", body: expect.stringMatching(/^Because\.\n\n---\nRequested by/) },
  });
  expect(ordered({ prompts: Array.from({ length: 30 }, () => odd) }).body).toContain("- and 10 more");
});

it("[PU2] what looks like a credential is neither in the text nor in the branch", () => {
  for (const secret of ["ghp_abcdefghijklmnop1234", "sk-proj-abcdefghijkl", "AWS: AKIAABCDEFGHIJKLMNOP", "password: hunter2"]) {
    const text = `use ${secret} to log in`;
    const order = ordered({ title: text, prompts: [{ text, author: null }] });
    expect(JSON.stringify(order)).not.toContain(secret);
    expect(order.branch).toBe("openinspect/session-abcdef");
  }
});

const order: PullOrder = ordered();
const start: PullPart = { pull: noPull, pullRequest: null };
const request = (part: PullPart, pushId = "push_1") =>
  stepPull(part, { type: "pull.requested", attempt: "a1", order: { ...order, pushId } }, now);
const pushed = {
  type: "push.finished",
  pushId: "push_1",
  outcome: { kind: "pushed", branch: order.branch, sha: "a".repeat(40), commits: 1 },
} as const;
const found = (state: PullRequest["state"], updatedAt: number) => ({ pullRequest: { ...open, state }, updatedAt });
const opening = () => takePushed(request(start).part, "a1", pushed, now).part;
const opened = () => stepPull(opening(), { type: "pull.opened", pushId: "push_1", found: found("open", 5_000) }, now).part;

it("[PU3] pushed, then opened, then kept; an answer to another request changes nothing", () => {
  const asked = request(start);
  expect(asked.effects).toMatchObject([{ type: "bridge.push", attempt: "a1", pushId: "push_1", branch: order.branch }]);
  expect(takePushed(asked.part, "a2", pushed, now).part, "another sandbox").toBe(asked.part);
  expect(takePushed(asked.part, "a1", { ...pushed, pushId: "push_0" }, now).part).toBe(asked.part);
  const after = takePushed(asked.part, "a1", pushed, now);
  expect(after.effects).toMatchObject([{ type: "pull.open", pushId: "push_1", ask: { base: "main", head: order.branch } }]);
  expect(takePushed(after.part, "a1", pushed, now).effects, "said twice").toEqual([]);
  const done = stepPull(after.part, { type: "pull.opened", pushId: "push_1", found: found("open", 5_000) }, now);
  const by = { login: null, reason: null };
  expect(done.part).toEqual({ pull: { run: null, failed: null, opened: 1, updatedAt: 5_000, by }, pullRequest: open });
  expect(stepPull(done.part, { type: "pull.opened", pushId: "push_1", found: found("closed", 6_000) }, now).part).toBe(done.part);
});

it("[PU3] who asks while a request is under way joins it, and a push that may have been lost is said again", () => {
  const asked = request(start);
  expect(request(asked.part, "push_2")).toEqual({ part: asked.part, effects: [] });
  expect(resendPush(asked.part, "a1")).toEqual(asked.effects);
  expect(resendPush(asked.part, "a2")).toEqual([]);
  expect(resendPush(opening(), "a1")).toEqual([]);
  const [push] = asked.effects;
  expect(push && [asked.part, opening(), start].map((part) => isPullEffectWanted(part, push))).toEqual([true, false, false]);
});

it("[PU4] only the push in flight of the sandbox that was asked may write", () => {
  const { part } = request(start);
  expect([pushInFlight(part, "a1"), pushInFlight(part, "a2"), pushInFlight(opening(), "a1"), pushInFlight(start, "a1")]).toEqual([
    ...["push_1", null, null, null],
  ]);
});

it("[PU5] whatever goes wrong ends the request with what to do about it", () => {
  const { part } = request(start);
  const failedOf = (after: PullPart) => {
    expect(after.pull.run).toBeNull();
    expect(after.pull.failed).toMatchObject({ pushId: "push_1", hint: expect.stringMatching(/.{10}/) });
    return after.pull.failed?.message;
  };
  const answer = (outcome: { kind: "nothing" } | { kind: "failed"; message: string }) =>
    takePushed(part, "a1", { ...pushed, outcome }, now).part;
  expect(failedOf(answer({ kind: "nothing" }))).toMatch(/nothing to push/);
  expect(answer({ kind: "nothing" }).pull.failed?.code).toBe("nothing_to_push");
  expect(failedOf(answer({ kind: "failed", message: "remote rejected" }))).toMatch(/remote rejected/);
  expect(failedOf(tendPull(part, null, now)), "the sandbox is gone").toMatch(/sandbox was gone/);
  expect(failedOf(tendPull(part, "a2", now))).toMatch(/sandbox was gone/);
  expect(failedOf(tendPull(part, "a1", now + deadlines.pushMs))).toMatch(/within 180 seconds/);
  expect(failedOf(tendPull(opening(), null, now + deadlines.pullOpenMs))).toMatch(/GitHub did not open/);
  const refusal = { code: "pull_request_failed", message: "GitHub refused: no", hint: "Ask the owner." } as const;
  expect(failedOf(stepPull(opening(), { type: "pull.refused", pushId: "push_1", failure: refusal }, now).part)).toMatch(/no/);
  expect(request(answer({ kind: "nothing" })).part.pull.failed, "the next request begins anew").toBeNull();
});

it("[PU5] opening goes on without the sandbox, and a deadline that we slept through is given again", () => {
  const part = opening();
  expect(tendPull(part, null, now)).toBe(part);
  const late = tendPull(part, null, now + deadlines.pullOpenMs + deadlines.lateMs + 1);
  expect(late.pull.run?.at).toBe("opening");
  expect(late.pull.run?.deadlineAt).toBeGreaterThan(now + deadlines.pullOpenMs + deadlines.lateMs);
});

it("[PU9] a session is not stopped for being idle while it pushes", () => {
  const idleStopMs = 60_000;
  const session = createSessionDriver({ idleStopMs });
  session.ready();
  session.pass(idleStopMs - 1_000);
  session.input({ type: "pull.requested", attempt: session.state().attempt, order });
  session.pass(2 * idleStopMs);
  expect([session.at(), session.state().pull.run?.at]).toEqual(["ready", "pushing"]);
  session.event(pushed);
  expect(session.view().idleStopAt).toBe(session.now() + idleStopMs);
  session.pass(idleStopMs);
  expect([session.at(), session.state().pull.run?.at], "opening needs no sandbox").toEqual(["snapshotting", "opening"]);
});

it("[PU6] older news changes nothing; of two with one time GitHub is asked", () => {
  const part = opened();
  const hear = (at: PullPart, state: PullRequest["state"], updatedAt: number, isRead = false) =>
    stepPull(at, { type: "pull.heard", found: found(state, updatedAt), isRead }, now);
  const merged = hear(part, "merged", 9_000);
  expect(merged).toMatchObject({ part: { pullRequest: { state: "merged" }, pull: { updatedAt: 9_000 } }, effects: [] });
  expect(hear(merged.part, "open", 8_000).part, "arrived late").toBe(merged.part);
  expect(hear(merged.part, "merged", 9_000)).toEqual({ part: merged.part, effects: [] });
  expect(hear(part, "draft", 5_000)).toEqual({ part, effects: [{ type: "pull.read", number: 7 }] });
  expect(hear(part, "draft", 5_000, true).part.pullRequest?.state).toBe("draft");
  const other = { pullRequest: { ...open, number: 8, state: "merged" as const }, updatedAt: 9_000 };
  expect(stepPull(part, { type: "pull.heard", found: other, isRead: false }, now).part, "not this session's").toBe(part);
});

it("[PU10] whoever looks has GitHub asked for a pull request that may have changed unheard, not more often than every few minutes", () => {
  const look = (part: PullPart, at: number) => stepPull(part, { type: "pull.looked" }, at);
  const read = [{ type: "pull.read", number: 7 }];
  expect(look(start, now)).toEqual({ part: start, effects: [] });
  const first = look(opened(), now);
  expect(first.effects).toEqual(read);
  expect(look(first.part, now + deadlines.pullLookMs - 1).effects).toEqual([]);
  expect(look(first.part, now + deadlines.pullLookMs).effects).toEqual(read);
  const merged = stepPull(first.part, { type: "pull.heard", found: found("merged", 9_000), isRead: true }, now).part;
  expect(look(merged, now + 10 * deadlines.pullLookMs).effects, "merged for good").toEqual([]);
});

it("[PU11] who opened it is who GitHub says, else whoever did; who only updates it does not become that", () => {
  const asker = { githubId: 5, login: "ada" };
  const asked = stepPull(start, { type: "pull.requested", attempt: "a1", order: { ...order, pushId: "push_1", asker } }, now);
  const after = takePushed(asked.part, "a1", pushed, now);
  expect(after.effects).toMatchObject([{ type: "pull.open", asker }]);
  const openedBy = (
    part: PullPart,
    pushId: string,
    by: { login: string | null; reason: string | null },
    author?: string | null,
  ) => {
    const said = author === undefined ? found("open", 5_000) : { ...found("open", 5_000), author };
    return stepPull(part, { type: "pull.opened", pushId, found: said, by }, now).part;
  };
  const first = openedBy(after.part, "push_1", { login: "ada", reason: null });
  expect(first.pull.by).toEqual({ login: "ada", reason: null });
  expect(openedBy(after.part, "push_1", { login: null, reason: "No." }, "ada").pull.by, "an answer was lost").toEqual({
    ...{ login: "ada", reason: "No." },
  });
  const again = takePushed(request(first, "push_2").part, "a1", { ...pushed, pushId: "push_2" }, now);
  expect(openedBy(again.part, "push_2", { login: null, reason: "No." }).pull.by).toEqual({ login: "ada", reason: "No." });
});

it("[PU7] a second request pushes to the open one; after its end another one is opened", () => {
  const again = request(opened(), "push_2");
  expect(again.effects).toMatchObject([{ type: "bridge.push", pushId: "push_2" }]);
  const after = takePushed(again.part, "a1", { ...pushed, pushId: "push_2" }, now);
  const same = stepPull(after.part, { type: "pull.opened", pushId: "push_2", found: found("open", 6_000) }, now).part;
  expect(same.pull).toMatchObject({ opened: 1, updatedAt: 6_000 });
  const overtaken = stepPull(after.part, { type: "pull.heard", found: found("merged", 9_000), isRead: false }, now).part;
  const answered = stepPull(overtaken, { type: "pull.opened", pushId: "push_2", found: found("open", 6_000) }, now).part;
  expect(answered, "an event overtook the answer").toMatchObject({ pull: { run: null }, pullRequest: { state: "merged" } });
  const next = { pullRequest: { ...open, number: 8 }, updatedAt: 7_000 };
  expect(stepPull(after.part, { type: "pull.opened", pushId: "push_2", found: next }, now).part).toMatchObject({
    ...{ pull: { opened: 2 }, pullRequest: { number: 8 } },
  });
});
