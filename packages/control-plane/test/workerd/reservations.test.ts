/** Sandboxes reserved while somebody types: kept, taken, given up, counted. */
import { env } from "cloudflare:workers";
import { type FeedMessage, type Insights, type Reservation, type SessionView } from "@open-inspect/protocol";
import { expect, it } from "vitest";
import { deadlines, limits } from "../../src/domain/deadlines.ts";
import { eventually, github, json, passTime, ring, ringWithin, sessionObject, startedSandbox } from "./harness.ts";
import {
  buildImage,
  getReady,
  hiddenSessions,
  listed,
  proveAgain,
  runningSandboxes,
  setPool,
  untilPool,
  untilReady,
  view,
} from "./warm-world.ts";

const reserve = (body: object = {}) => json<Reservation>("POST", "/api/sessions/reserve", { repository: "acme/shop", ...body });
const start = (body: object) => json<SessionView>("POST", "/api/sessions", { repository: "acme/shop", ...body });
const noneRuns = () => eventually(async () => (await runningSandboxes()).length === 0, "no sandbox is left");

it("[WP8] [WP9] the session that follows takes what was reserved, with its prompt, model and author", async () => {
  const { status, body } = await reserve();
  expect(status).toBe(202);
  expect(body).toMatchObject({ isReady: false, expiresAt: expect.any(Number) });
  const runtime = await getReady(body.reservation);
  await eventually(async () => (await reserve({ reservation: body.reservation })).body.isReady, "it is ready");
  expect(await listed(), "it is in no list").toEqual([]);
  const { body: insights } = await json<Insights>("GET", "/api/insights?days=30");
  expect(insights.starts.image + insights.starts.cold, "and no start").toBe(0);

  const begun = await start({ reservation: body.reservation, prompt: "fix the bug\nplease", model: "claude-haiku-4-5" });
  expect(begun).toMatchObject({ status: 201, body: { id: body.reservation, title: "fix the bug" } });
  await proveAgain(runtime);
  const session = await untilReady(body.reservation);
  expect(session.receipt).toMatchObject({ warm: "typing" });
  const prompt = await eventually(async () => runtime.received.find((one) => one.type === "prompt"), "the prompt is sent");
  expect(prompt).toMatchObject({ text: "fix the bug\nplease", model: "claude-haiku-4-5" });
  expect(await listed()).toEqual([body.reservation]);
  passTime(2 * deadlines.reservationMs);
  await ring(sessionObject(body.reservation));
  expect((await view(body.reservation)).status, "a session is not given up").toBe("ready");
});

it("[WP8] what nobody takes is ended, and a repetition keeps it until then", async () => {
  const { body } = await reserve();
  await startedSandbox(body.reservation);
  passTime(deadlines.reservationMs - 1_000);
  const kept = await reserve({ reservation: body.reservation });
  expect(kept.body.reservation).toBe(body.reservation);
  expect(kept.body.expiresAt).toBeGreaterThan(body.expiresAt);
  passTime(deadlines.reservationMs - 1_000);
  await ring(sessionObject(body.reservation));
  expect(await runningSandboxes()).toHaveLength(1);
  passTime(1_000);
  await ring(sessionObject(body.reservation));
  await noneRuns();
  expect(await listed()).toEqual([]);
  const again = await reserve({ reservation: body.reservation });
  expect(again.body.reservation, "what is over is replaced").not.toBe(body.reservation);
});

it("[WP9] a reservation for another repository or branch, one that is over and one that never was are no error", async () => {
  await github({
    do: "repositories",
    repositories: ["shop", "blog"].map((name) => ({
      ...{ owner: "acme", name, defaultBranch: "main" },
      branches: { main: "a".repeat(40), feature: "b".repeat(40) },
    })),
  });
  await json("GET", "/api/repositories?sync=force");
  const { reservation } = (await reserve()).body;
  const other = await json<SessionView>("POST", "/api/sessions", { repository: "acme/blog", reservation });
  expect(other.status).toBe(201);
  expect(other.body.id).not.toBe(reservation);
  expect((await start({ branch: "feature", reservation })).body.id).not.toBe(reservation);
  expect((await start({ reservation: other.body.id })).body.id, "a session is nobody's reservation").not.toBe(other.body.id);
  expect((await start({ reservation: "ses_00000000000000000000000000" })).status).toBe(201);
  expect((await start({ reservation })).body.id).toBe(reservation);
  const late = await start({ reservation });
  expect(late.status).toBe(201);
  expect(late.body.id, "it is claimed once").not.toBe(reservation);
});

it("[WP9] many who claim the same reservation together: one gets it, the others start their own", async () => {
  const { reservation } = (await reserve()).body;
  const begun = await Promise.all(Array.from({ length: 5 }, () => start({ reservation })));
  expect(begun.every(({ status }) => status === 201)).toBe(true);
  const ids = begun.map(({ body }) => body.id);
  expect(new Set(ids).size).toBe(5);
  expect(ids).toContain(reservation);
});

it("[WP8] what is given back ends at once and makes room; a session that took it goes on", async () => {
  const release = (id: string) => json<{ released: boolean }>("DELETE", `/api/sessions/reserve/${id}`);
  const { reservation } = (await reserve()).body;
  await startedSandbox(reservation);
  expect(await release(reservation)).toMatchObject({ status: 200, body: { released: true } });
  await noneRuns();
  expect((await release(reservation)).body, "repeated").toEqual({ released: false });
  expect((await start({ reservation })).body.id).not.toBe(reservation);
  const count = await env.DB.prepare("SELECT count(*) AS n FROM reservations").first("n");
  expect(count).toBe(0);

  const taken = (await reserve()).body.reservation;
  await startedSandbox(taken);
  expect((await start({ reservation: taken })).body.id).toBe(taken);
  expect((await release(taken)).body).toEqual({ released: false });
  expect((await view(taken)).status).not.toBe("stopped");
  expect((await release("ses_00000000000000000000000000")).body).toEqual({ released: false });
  expect((await json("DELETE", "/api/sessions/reserve/nonsense")).status).toBe(400);
});

it("[WP8] typing for another branch ends what was reserved for the first", async () => {
  const first = (await reserve()).body.reservation;
  await startedSandbox(first);
  const second = (await reserve({ branch: "feature", reservation: first })).body.reservation;
  expect(second).not.toBe(first);
  await eventually(async () => {
    const running = await runningSandboxes();
    return running.length === 1 && running[0]?.tags.session === second;
  }, "the first one ends");
});

it("[WP8] a member of the pool is reserved before another sandbox is begun, and is the session's then", async () => {
  await buildImage();
  await setPool(1);
  const [member = ""] = await hiddenSessions(1);
  const runtime = await getReady(member);
  await untilPool("is full", (pool) => pool.ready === 1);
  const { body } = await reserve();
  expect(body).toMatchObject({ reservation: member, isReady: true });
  passTime(deadlines.poolTakenMs + 1_000);
  await ring(env.POOLS.getByName("repo:acme/shop"));
  const begun = await start({ reservation: member });
  expect(begun.body.id, "the pool has let go of it").toBe(member);
  await proveAgain(runtime);
  expect((await untilReady(member)).receipt?.warm).toBe("pool");
});

it("[WP8] a member of the pool that was reserved and not taken is ended like any other", async () => {
  await buildImage();
  await setPool(1);
  const [member = ""] = await hiddenSessions(1);
  await getReady(member);
  await untilPool("is full", (pool) => pool.ready === 1);
  await reserve();
  await setPool(0);
  passTime(deadlines.reservationMs);
  await ring(sessionObject(member));
  await ringWithin(sessionObject(member), deadlines.shutdownGraceMs);
  await noneRuns();
});

it("[WP10] a person may reserve a few at once; one more is refused, and the session starts all the same", async () => {
  await json("GET", "/api/repositories");
  const together = await Promise.all(Array.from({ length: limits.reservationsPerPerson + 3 }, () => reserve()));
  expect(together.filter(({ status }) => status === 202)).toHaveLength(limits.reservationsPerPerson);
  const refused = together.find(({ status }) => status === 429);
  expect(refused?.body).toMatchObject({ error: { code: "rate_limited", hint: expect.stringContaining("without one") } });
  expect((await start({})).status).toBe(201);
  const [taken] = together.filter(({ status }) => status === 202);
  await start({ reservation: taken?.body.reservation });
  await eventually(async () => (await reserve()).status === 202, "one that was taken makes room");
  passTime(deadlines.reservationMs + 1);
  expect((await reserve()).status, "and so does time").toBe(202);
});

it("[WP10] everybody together has a limit, too", async () => {
  await json("GET", "/api/repositories");
  const expiresAt = Date.now() + deadlines.reservationMs;
  for (let index = 0; index < limits.reservations; index++) {
    await env.DB.prepare("INSERT INTO reservations VALUES (?, ?, ?)").bind(`ses_${index}`, `person-${index}`, expiresAt).run();
  }
  expect((await reserve()).status).toBe(429);
});

it("[WP8] the feed says nothing of what is reserved until it is a session", async () => {
  await json("GET", "/api/repositories");
  const response = await env.FEED.getByName("feed").fetch("http://feed/", { headers: { upgrade: "websocket" } });
  const socket = response.webSocket;
  if (!socket) throw new Error("no socket");
  const seen: string[] = [];
  socket.addEventListener("message", ({ data }) => {
    const message = JSON.parse(String(data)) as FeedMessage;
    if (message.type === "session") seen.push(message.session.id);
  });
  socket.accept();
  const { reservation } = (await reserve()).body;
  const runtime = await getReady(reservation);
  await eventually(async () => (await reserve({ reservation })).body.isReady, "it is ready");
  const own = (await start({})).body.id;
  await eventually(async () => seen.includes(own), "the feed is told of sessions");
  expect(seen).not.toContain(reservation);
  await start({ reservation });
  await proveAgain(runtime);
  await eventually(async () => seen.includes(reservation), "and of this one when it is one");
  socket.close();
});
