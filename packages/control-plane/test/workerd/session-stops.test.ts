/** Sessions that are stopped, kept and started again, through the real Worker and objects. */
import { abortAllDurableObjects } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { type SessionList, type SessionView } from "@open-inspect/protocol";
import { expect, it } from "vitest";
import { createSessionList, type SessionListQuery } from "../../src/adapters/d1/session-list.ts";
import { createSessions } from "../../src/adapters/d1/sessions.ts";
import { create } from "../../src/domain/session-starts.ts";
import { type SessionState } from "../../src/domain/session-state.ts";
import { factsOf, summaryOf } from "../../src/domain/session-views.ts";
import { sweep } from "../../src/scheduler/sweep.ts";
import { sessionOrder } from "../fakes/session-order.ts";
import {
  connectRuntime,
  eventually,
  type FakeRuntime,
  gateway,
  json,
  passTime,
  ring,
  ringWithin,
  sessionObject,
  startedSandbox,
  watchSession,
} from "./harness.ts";
import { ask, read, ready, start, untilStatus } from "./session-world.ts";

const minuteMs = 60_000;
const change = (id: string, what: string) => json<SessionView>("POST", `/api/sessions/${id}/${what}`);

async function startReady(body: object = {}): Promise<{ session: SessionView; runtime: FakeRuntime }> {
  const session = await start(body);
  const runtime = await connectRuntime((await startedSandbox(session.id)).config);
  runtime.event(ready);
  return { session: await untilStatus(session.id, "ready"), runtime };
}

/** From alarm to alarm, with a runtime that is heard. */
async function idle(id: string, runtime: FakeRuntime, done: () => Promise<boolean>): Promise<void> {
  for (let round = 0; round < 60 && !(await done()); round++) {
    await ringWithin(sessionObject(id), minuteMs);
    runtime.send({ type: "heartbeat", at: Date.now() });
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Rings until it is so: what is tried again later is tried now. */
async function ringUntil(id: string, done: () => Promise<boolean>): Promise<void> {
  for (let round = 0; round < 40; round++) {
    if (await done()) return;
    passTime(31_000);
    await ring(sessionObject(id));
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error("it never came so far");
}

it("[SE15] [SE19] an idle session is kept and stopped; a prompt starts it from its snapshot, also in another life of the object", async () => {
  const { session, runtime } = await startReady();
  const readyAt = Date.now();
  await idle(session.id, runtime, async () => (await read(session.id)).status !== "ready");
  expect(Date.now() - readyAt).toBeGreaterThanOrEqual(10 * minuteMs - 1_000);
  await ringUntil(session.id, async () => (await read(session.id)).status === "stopped");
  const stopped = await read(session.id);
  expect(stopped).toMatchObject({ failure: null, idleStopAt: null });
  expect((stopped.snapshot?.expiresAt ?? 0) - (stopped.snapshot?.takenAt ?? 0)).toBeGreaterThan(29 * 24 * 60 * minuteMs);
  const { images, sandboxes } = await gateway({ do: "state" });
  expect(sandboxes.every((one) => one.status.status === "ended")).toBe(true);
  await abortAllDurableObjects();
  const prompt = await ask(session.id, "go on");
  const next = await startedSandbox(session.id);
  expect(next.source).toEqual({ kind: "image", providerImageId: images[0] });
  expect(next.config).toMatchObject({ startFrom: "snapshot" });
  expect(next.name).not.toBe(sandboxes[0]?.name);
  const again = await connectRuntime(next.config);
  again.event(ready);
  const sent = await eventually(async () => again.received.find((one) => one.type === "prompt"), "the prompt arrives");
  expect(sent).toMatchObject({ promptId: prompt.id, text: "go on" });
  expect(await read(session.id)).toMatchObject({
    ...{ status: "ready", endedAt: null, fallbacks: [], isWorking: true },
    receipt: { startedFrom: "snapshot" },
  });
  expect((await connectRuntime(runtime.config)).closed?.code, "the old sandbox is not listened to").toBe(4001);
});

it("[SE15] a prompt keeps its sandbox however long it is silent; pages that are open do not", async () => {
  const { session, runtime } = await startReady({ prompt: "build it" });
  const sent = await eventually(async () => runtime.received.find((one) => one.type === "prompt"), "the prompt arrives");
  const promptId = sent.type === "prompt" ? sent.promptId : "";
  runtime.event({ type: "prompt.started", promptId });
  await eventually(async () => (await read(session.id)).prompts[0]?.status === "running", "it runs");
  const pages = [await watchSession(session.id), await watchSession(session.id)];
  const begunAt = Date.now();
  await idle(session.id, runtime, async () => Date.now() - begunAt > 25 * minuteMs);
  expect(await read(session.id)).toMatchObject({ status: "ready", idleStopAt: null });

  runtime.event({ type: "prompt.finished", promptId, outcome: "done", error: null });
  await eventually(async () => (await read(session.id)).idleStopAt, "it is idle");
  const endedAt = Date.now();
  const status = async () => (await read(session.id)).status;
  await idle(session.id, runtime, async () => (await status()) !== "ready");
  expect(Date.now() - endedAt).toBeGreaterThanOrEqual(10 * minuteMs - 1_000);
  expect(Date.now() - endedAt).toBeLessThan(11 * minuteMs);
  await ringUntil(session.id, async () => (await status()) === "stopped");
  await eventually(async () => pages.every((page) => page.replica.view?.status === "stopped"), "every page says so");
  expect(pages.map((page) => page.closed)).toEqual([null, null]);
});

it("[SE5] a stop aborts the prompt in hand before the files are kept, and ends those that wait", async () => {
  const { session, runtime } = await startReady({ prompt: "first" });
  const sent = await eventually(async () => runtime.received.find((one) => one.type === "prompt"), "the prompt arrives");
  const promptId = sent.type === "prompt" ? sent.promptId : "";
  runtime.event({ type: "prompt.started", promptId });
  await ask(session.id, "second");
  const view = (await change(session.id, "stop")).body;
  expect(view.status).toBe("snapshotting");
  await eventually(async () => runtime.received.some((one) => one.type === "abort"), "the agent is told");
  expect((await gateway({ do: "state" })).calls).not.toContain("snapshot");
  await ringUntil(session.id, async () => (await read(session.id)).status === "stopped");
  expect((await read(session.id)).prompts.map(({ status }) => status)).toEqual(["stopped", "cancelled"]);
  expect((await read(session.id)).snapshot).not.toBeNull();
  const { calls } = await gateway({ do: "state" });
  expect(calls.indexOf("snapshot")).toBeLessThan(calls.indexOf("terminate"));
});

it("[SE16] a gateway that is away for a while costs no files; a refusal is told", async () => {
  const { session } = await startReady();
  await gateway({ do: "fault", fault: { call: "snapshot", kind: "transient", times: 5 } });
  await change(session.id, "stop");
  await ringUntil(session.id, async () => (await read(session.id)).status === "stopped");
  expect(await read(session.id)).toMatchObject({ failure: null, snapshot: { takenAt: expect.any(Number) } });

  const other = (await startReady()).session;
  await gateway({ do: "fault", fault: { call: "snapshot", kind: "permanent", times: 1 } });
  await change(other.id, "stop");
  await ringUntil(other.id, async () => (await read(other.id)).status === "stopped");
  expect(await read(other.id)).toMatchObject({ snapshot: null, failure: { code: "snapshot_failed" } });
});

it("[SE17] the older snapshot is deleted at the provider, however often that has to be tried", async () => {
  const { session } = await startReady();
  await change(session.id, "stop");
  await untilStatus(session.id, "stopped");
  const [first] = (await gateway({ do: "state" })).images;
  await change(session.id, "resume");
  const runtime = await connectRuntime((await startedSandbox(session.id)).config);
  runtime.event(ready);
  await untilStatus(session.id, "ready");
  await gateway({ do: "fault", fault: { call: "deleteImage", kind: "transient", times: 3 } });
  await change(session.id, "stop");
  await untilStatus(session.id, "stopped");
  const deleted = async () => (await gateway({ do: "state" })).deletedImages;
  expect(await deleted()).toEqual([]);
  await ringUntil(session.id, async () => (await deleted()).length > 0);
  expect(await deleted()).toEqual([first]);
  expect((await gateway({ do: "state" })).images).toHaveLength(1);
});

it("[SE25] an archived session takes no prompts and is not resumed before it is restored", async () => {
  const { session } = await startReady();
  expect((await json<SessionView>("PATCH", `/api/sessions/${session.id}`, { title: "another" })).body.title).toBe("another");
  await change(session.id, "archive");
  await untilStatus(session.id, "stopped");
  const refused = { status: 409, body: { error: { code: "session_archived" } } };
  expect(await json("POST", `/api/sessions/${session.id}/prompts`, { text: "hello" })).toMatchObject(refused);
  expect(await change(session.id, "resume")).toMatchObject(refused);
  expect((await json<SessionList>("GET", "/api/sessions")).body.sessions).toEqual([]);
  expect((await json<SessionList>("GET", "/api/sessions?archived=true")).body.sessions).toMatchObject([{ title: "another" }]);
  await change(session.id, "restore");
  expect((await change(session.id, "resume")).body).toMatchObject({ archivedAt: null, status: "created" });
  expect((await json<SessionList>("GET", "/api/sessions?status=active")).body.sessions).toHaveLength(1);
});

const idOf = (digit: string) => `ses_${digit.repeat(26)}`;

function someState(digit: string, more: Partial<SessionState>): SessionState {
  return { ...create(sessionOrder({ id: idOf(digit) }), 0).state, ...more };
}
const save = (state: SessionState) => createSessions(env.DB).save(summaryOf(state), factsOf(state));

it("[SE26] a late write changes nothing, and a session that had ended runs again", async () => {
  const ended = { at: "ended", status: "stopped", failure: null, endedAt: 5 } as const;
  const row = () =>
    env.DB.prepare("SELECT title, status, ended_at FROM sessions WHERE id = ?").bind(idOf("1")).first<Record<string, unknown>>();
  await save(someState("1", { version: 3, title: "three", stage: ended }));
  await save(someState("1", { version: 2, title: "two" }));
  expect(await row()).toEqual({ title: "three", status: "stopped", ended_at: 5 });
  await save(someState("1", { version: 4, title: "four" }));
  expect(await row()).toEqual({ title: "four", status: "created", ended_at: null });
  await save(someState("1", { version: 3, title: "three", stage: ended }));
  expect(await row()).toMatchObject({ title: "four", ended_at: null });
});

it("[SE24] rows of reserved sandboxes that nobody claimed are forgotten a day after their end", async () => {
  const dayMs = 24 * 60 * minuteMs;
  const ended = (endedAt: number) => ({ stage: { at: "ended", status: "stopped", failure: null, endedAt } }) as const;
  const reserved = { kind: "typing", until: null } as const;
  const now = Date.now();
  await save(someState("1", { reserved, ...ended(now - dayMs - minuteMs) }));
  await save(someState("2", { reserved, ...ended(now - dayMs + minuteMs) }));
  await save(someState("3", { reserved }));
  await save(someState("4", ended(now - 2 * dayMs)));
  await sweep(env, { info() {}, warn() {}, error() {} });
  const { results } = await env.DB.prepare("SELECT id FROM sessions ORDER BY id").all<{ id: string }>();
  expect(results.map(({ id }) => id)).toEqual(["2", "3", "4"].map(idOf));
});

const listed = async (query: string): Promise<string[]> => {
  const { status, body } = await json<SessionList>("GET", `/api/sessions?${query}`);
  expect(status, query).toBe(200);
  return body.sessions.map(({ title }) => title);
};

it("[SE27] the list by text, repository, status, author, parent and archive, a reserved sandbox in none of them", async () => {
  const ended = { at: "ended", status: "failed", failure: null, endedAt: 50 } as const;
  const ada = { name: "Ada", email: null, login: null };
  const work = { isWorking: false, promptCount: 1, usage: null, activeAt: 1, firstPrompt: "fix 100% of the_tests" };
  const other = { owner: "Acme", name: "Other", cloneUrl: "http://github.test/o", installationId: 1 };
  await save(someState("1", { acceptedAt: 10, title: "oldest", stage: ended, author: ada }));
  await save(someState("2", { acceptedAt: 20, title: "middle", repository: other, branch: "feature/x", parentId: idOf("1") }));
  await save(someState("3", { acceptedAt: 30, title: "newest", work, author: { ...ada, name: "Bob" } }));
  await save(someState("4", { acceptedAt: 30, title: "archived", archivedAt: 40, stage: ended }));
  await save(someState("5", { acceptedAt: 40, title: "reserved", reserved: { kind: "typing", until: null } }));
  expect(await listed("")).toEqual(["newest", "middle", "oldest"]);
  expect(await listed("archived=all")).toEqual(["archived", "newest", "middle", "oldest"]);
  expect(await listed("archived=true")).toEqual(["archived"]);
  expect(await listed("status=active")).toEqual(["newest", "middle"]);
  expect(await listed("status=created")).toEqual(["newest", "middle"]);
  expect(await listed("status=failed")).toEqual(["oldest"]);
  expect(await listed("author=Ada")).toEqual(["oldest"]);
  expect(await listed(`parent=${idOf("1")}`)).toEqual(["middle"]);
  expect(await listed("repository=ACME/other")).toEqual(["middle"]);
  expect(await listed("q=EST")).toEqual(["newest", "oldest"]);
  expect(await listed("q=acme/oth")).toEqual(["middle"]);
  expect(await listed("q=feature/")).toEqual(["middle"]);
  expect(await listed(`q=${encodeURIComponent("100%")}`)).toEqual(["newest"]);
  expect(await listed(`q=${encodeURIComponent("the_t")}`)).toEqual(["newest"]);
  expect(await listed(`q=${encodeURIComponent("theXt")}`)).toEqual([]);
  expect((await json("GET", "/api/sessions?limit=0")).status).toBe(400);
  expect((await json("GET", "/api/sessions?before=yesterday")).status).toBe(400);
});

it("[SE27] pages neither repeat nor skip, also among sessions of one moment", async () => {
  for (const digit of ["1", "2", "3", "4", "5", "6", "7"]) {
    await save(someState(digit, { acceptedAt: Number(digit) < 6 ? 10 : 20, title: digit }));
  }
  const seen: string[] = [];
  for (let before = "", page = 0; page < 10; page++) {
    const { body } = await json<SessionList>("GET", `/api/sessions?limit=2${before}`);
    seen.push(...body.sessions.map(({ title }) => title));
    if (body.next === null) break;
    before = `&before=${body.next}`;
  }
  expect(seen).toEqual(["7", "6", "5", "4", "3", "2", "1"]);
});

it("[SE27] what is asked for is found along an index", async () => {
  const all: SessionListQuery = { archived: "false", limit: 50 };
  const queries: [string, SessionListQuery][] = [
    ["sessions_by_time", all],
    ["sessions_by_time", { ...all, before: { at: 5, id: idOf("1") } }],
    ["sessions_by_scope_time", { ...all, repository: "acme/shop" }],
    ["sessions_by_status", { ...all, status: "failed" }],
    ["sessions_live", { ...all, status: "active" }],
    ["sessions_by_author", { ...all, author: "Ada" }],
    ["sessions_by_parent", { ...all, parent: idOf("1") }],
    ["sessions_archived", { ...all, archived: "true" }],
  ];
  for (const [index, query] of queries) {
    const { sql, params } = createSessionList(env.DB).statementOf(query);
    const { results } = await env.DB.prepare(`EXPLAIN QUERY PLAN ${sql}`)
      .bind(...params)
      .all<{ detail: string }>();
    const plan = results.map(({ detail }) => detail).join("; ");
    expect(plan, JSON.stringify(query)).toContain(index);
  }
});

it("[SE28] a refresh that a person asks for reaches the sandbox, and without one it is refused", async () => {
  const { session, runtime } = await startReady();
  expect(await change(session.id, "refresh")).toMatchObject({ status: 202, body: { id: session.id } });
  await eventually(async () => runtime.received.some(({ type }) => type === "refresh"), "the order to refresh");
  runtime.event({ type: "setup.stale", files: ["package-lock.json"], refresh: "running" });
  await eventually(async () => (await read(session.id)).staleSetup?.refresh === "running", "the refresh is told");
  const { body: starting } = await json<SessionView>("POST", "/api/sessions", { repository: "acme/shop" });
  expect(await change(starting.id, "refresh")).toMatchObject({ status: 409, body: { error: { code: "session_not_ready" } } });
  expect(await change("ses_01k00000000000000000000000", "refresh")).toMatchObject({ status: 404 });
});
