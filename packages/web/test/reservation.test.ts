/** A sandbox reserved while typing: how often is asked, for what, and that nothing of it is ever noticed when it fails. */
import { type Reservation, type ReserveSessionRequest } from "@open-inspect/protocol";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { askReadyMs, createReservation, renewMs, settleMs } from "../src/lib/reservation.ts";

const lifeMs = 120_000;
let requests: ReserveSessionRequest[] = [];
let released: string[] = [];
let answer: (request: ReserveSessionRequest) => Promise<Reservation>;
const shop = { repository: "acme/shop" };

beforeEach(() => {
  vi.useFakeTimers();
  requests = [];
  released = [];
  answer = async ({ reservation }) => ({
    reservation: reservation ?? `ses_${requests.length}`,
    expiresAt: Date.now() + lifeMs,
    isReady: true,
  });
});
afterEach(() => {
  vi.useRealTimers();
});

const create = () =>
  createReservation({
    reserveSession(request) {
      requests.push(request);
      return answer(request);
    },
    async releaseReservation(id) {
      released.push(id);
    },
  });
const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

it("the first keystroke reserves at once, the others only keep it, at most every thirty seconds", async () => {
  const reservation = create();
  for (let typed = 0; typed < 100; typed++) {
    reservation.touch(shop);
    await pass(500);
  }
  expect(requests).toEqual([shop, { ...shop, reservation: "ses_1" }]);
  expect(renewMs).toBe(30_000);
  await pass(renewMs);
  expect(requests, "nobody types any more").toHaveLength(2);
});

it("another repository or branch reserves anew once it has rested, and names the old one so that it ends", async () => {
  const reservation = create();
  reservation.touch(shop);
  await pass(0);
  for (const branch of ["a", "ab", "abc"]) {
    reservation.touch({ ...shop, branch });
    await pass(settleMs / 4);
  }
  expect(requests).toHaveLength(1);
  expect(reservation.take(), "what is reserved is for another branch").toBeUndefined();
  reservation.touch({ ...shop, branch: "abc" });
  await pass(settleMs);
  expect(requests.at(-1)).toEqual({ ...shop, branch: "abc" });

  const other = create();
  other.touch(shop);
  await pass(0);
  other.touch({ repository: "acme/blog" });
  await pass(settleMs);
  expect(requests.at(-1)).toEqual({ repository: "acme/blog", reservation: "ses_3" });
});

it("what is taken is taken once; the next keystroke reserves anew", async () => {
  const reservation = create();
  reservation.touch(shop);
  await pass(0);
  expect(reservation.take()).toBe("ses_1");
  expect(reservation.take()).toBeUndefined();
  expect(reservation.state()).toBe("none");
  reservation.touch(shop);
  expect(requests).toHaveLength(2);
});

it("a reservation says whether it is ready, and asks until it is", async () => {
  const reservation = create();
  const states: string[] = [];
  reservation.subscribe(() => states.push(reservation.state()));
  let isReady = false;
  const good = answer;
  answer = async (request) => ({ ...(await good(request)), isReady });
  reservation.touch(shop);
  expect(reservation.state()).toBe("starting");
  await pass(askReadyMs);
  isReady = true;
  await pass(askReadyMs);
  expect(reservation.state()).toBe("ready");
  await pass(10 * askReadyMs);
  expect(requests).toHaveLength(3);
  expect(states).toEqual(["starting", "ready"]);
});

it("one that never gets ready is asked for a limited number of times", async () => {
  const reservation = create();
  const good = answer;
  answer = async (request) => ({ ...(await good(request)), isReady: false });
  reservation.touch(shop);
  await pass(1_000 * askReadyMs);
  expect(requests.length).toBeLessThan(20);
});

it("errors are silent and not repeated at once", async () => {
  answer = () => Promise.reject(new Error("429"));
  const reservation = create();
  for (let typed = 0; typed < 20; typed++) {
    reservation.touch(shop);
    await pass(1_000);
  }
  expect(requests).toHaveLength(1);
  expect(reservation.state()).toBe("none");
  expect(reservation.take()).toBeUndefined();
});

it("it is over when nobody has kept it until its end", async () => {
  const reservation = create();
  reservation.touch(shop);
  await pass(lifeMs + 1);
  expect(reservation.state()).toBe("none");
  expect(reservation.take()).toBeUndefined();
  reservation.touch(shop);
  await pass(0);
  expect(requests.at(-1)).toEqual(shop);
});

it.each(["drop", "take"] as const)(
  "an answer that comes too late (%s) changes nothing, and what it names is given back",
  async (how) => {
    const { promise, resolve } = Promise.withResolvers<Reservation>();
    answer = () => promise;
    const reservation = create();
    reservation.touch(shop);
    expect(reservation[how]()).toBeUndefined();
    resolve({ reservation: "ses_late", expiresAt: Date.now() + lifeMs, isReady: true });
    await pass(1);
    expect(reservation.state()).toBe("none");
    expect(reservation.take()).toBeUndefined();
    expect(released).toEqual(["ses_late"]);
  },
);

it("who types on while the answer for a session before is still on its way gets another one", async () => {
  const { promise, resolve } = Promise.withResolvers<Reservation>();
  const good = answer;
  answer = () => promise;
  const reservation = create();
  reservation.touch(shop);
  reservation.take();
  reservation.touch(shop);
  answer = good;
  resolve({ reservation: "ses_late", expiresAt: Date.now() + lifeMs, isReady: true });
  await pass(1);
  expect(reservation.take()).toBe("ses_2");
});

it("whoever leaves gives back what was reserved; what a session took is not given back, however late it is answered", async () => {
  const left = create();
  left.touch(shop);
  await pass(0);
  left.drop();
  expect(released).toEqual(["ses_1"]);

  const reservation = create();
  reservation.touch(shop);
  await pass(renewMs);
  const { promise, resolve } = Promise.withResolvers<Reservation>();
  answer = () => promise;
  reservation.touch(shop);
  expect(reservation.take()).toBe("ses_2");
  reservation.drop();
  resolve({ reservation: "ses_2", expiresAt: Date.now() + lifeMs, isReady: true });
  await pass(1);
  expect(released).toEqual(["ses_1"]);
});
