/** The socket that comes back: backoff, its limit, and what is not worth another connection. */
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { z } from "zod";
import { firstDelayMs, type LiveState, longestDelayMs, openLiveSocket } from "../src/lib/live-socket.ts";
import { createSockets } from "./dashboard.tsx";

const schema = z.object({ value: z.number() });

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

function open(isComplete = () => false) {
  const sockets = createSockets();
  const states: LiveState[] = [];
  const values: number[] = [];
  const close = openLiveSocket({
    WebSocket: sockets.WebSocket,
    url: () => "ws://dashboard.test/api/feed",
    schema,
    onMessage: (message) => values.push(message.value),
    onState: (state) => states.push(state),
    isComplete,
  });
  return { sockets, states, values, close };
}

it("waits longer after each failure, with jitter, up to the longest delay", () => {
  vi.spyOn(Math, "random").mockReturnValue(1);
  const { sockets, close } = open();
  const waits: number[] = [];
  for (let round = 0; round < 8; round++) {
    const before = sockets.all.length;
    sockets.all.at(-1)?.cut();
    let waitedMs = 0;
    while (sockets.all.length === before) {
      vi.advanceTimersByTime(100);
      waitedMs += 100;
    }
    waits.push(waitedMs);
  }
  expect(waits.slice(0, 3)).toEqual([firstDelayMs, firstDelayMs * 2, firstDelayMs * 4]);
  expect(waits.at(-1)).toBe(longestDelayMs);
  close();
});

it("opening alone does not reset the backoff, a message does", () => {
  vi.spyOn(Math, "random").mockReturnValue(1);
  const { sockets, close } = open();
  sockets.all[0]?.cut();
  vi.advanceTimersByTime(firstDelayMs);
  sockets.all[1]?.open();
  sockets.all[1]?.cut();
  vi.advanceTimersByTime(firstDelayMs);
  expect(sockets.all).toHaveLength(2);
  vi.advanceTimersByTime(firstDelayMs);
  sockets.all[2]?.send({ value: 1 });
  sockets.all[2]?.cut();
  vi.advanceTimersByTime(firstDelayMs);
  expect(sockets.all).toHaveLength(4);
  close();
});

it("a connection that never opens is given up and tried again", () => {
  const { sockets, states, close } = open();
  vi.advanceTimersByTime(10_000);
  expect(states).toEqual(["connecting", "reconnecting"]);
  expect(sockets.all[0]?.isClosed()).toBe(true);
  vi.advanceTimersByTime(firstDelayMs);
  expect(sockets.all).toHaveLength(2);
  close();
});

it("a browser that refuses the connection does not break the page", () => {
  const states: LiveState[] = [];
  class Refused {
    onopen = null;
    onmessage = null;
    onclose = null;
    constructor() {
      throw new DOMException("refused", "SecurityError");
    }
    send() {}
    close() {}
  }
  const close = openLiveSocket({
    WebSocket: Refused,
    url: () => "ws://dashboard.test/api/feed",
    schema,
    onMessage: () => {},
    onState: (state) => states.push(state),
  });
  expect(states).toEqual(["connecting", "reconnecting"]);
  close();
});

it("what does not parse is left out, what follows it is not", () => {
  vi.spyOn(console, "warn").mockImplementation(() => {});
  const { sockets, values, close } = open();
  sockets.all[0]?.send({ value: "text" });
  sockets.all[0]?.send({ value: 2 });
  expect(values).toEqual([2]);
  close();
});

it("a list is its messages in order", () => {
  vi.spyOn(console, "warn").mockImplementation(() => {});
  const { sockets, values, close } = open();
  sockets.all[0]?.open();
  sockets.all[0]?.send([{ value: 1 }, { value: "no number" }, { value: 2 }]);
  sockets.all[0]?.send({ value: 3 });
  expect(values).toEqual([1, 2, 3]);
  close();
});

it("closed by its owner it stays closed, even when the network comes back", () => {
  const { sockets, close } = open();
  close();
  globalThis.dispatchEvent(new Event("online"));
  vi.advanceTimersByTime(60_000);
  expect(sockets.all).toHaveLength(1);
  expect(sockets.all[0]?.isClosed()).toBe(true);
});

it("the network's return is tried at once", () => {
  const { sockets, close } = open();
  sockets.all[0]?.cut();
  globalThis.dispatchEvent(new Event("online"));
  expect(sockets.all).toHaveLength(2);
  close();
});

it("a complete conversation ends with the server's close", () => {
  const { sockets, states } = open(() => true);
  sockets.all[0]?.cut();
  vi.advanceTimersByTime(60_000);
  expect(states.at(-1)).toBe("ended");
  expect(sockets.all).toHaveLength(1);
});

it("says how much it has received, each time that enough has come, and from nothing on after a cut", () => {
  const said: string[] = [];
  const sockets = createSockets();
  class Telling extends sockets.WebSocket {
    override send(data: string) {
      said.push(data);
    }
  }
  const close = openLiveSocket({
    WebSocket: Telling,
    url: () => "ws://dashboard.test/api/feed",
    schema,
    onMessage: () => {},
    onState: () => {},
    receipt: { every: 25, message: (received) => ({ received }) },
  });
  const take = () => sockets.all.at(-1)?.onmessage?.(new MessageEvent("message", { data: '{"value":1}' }));
  for (let count = 0; count < 5; count++) take();
  expect(said).toEqual(['{"received":33}']);
  sockets.all.at(-1)?.onclose?.(new CloseEvent("close"));
  vi.advanceTimersByTime(longestDelayMs);
  for (let count = 0; count < 3; count++) take();
  expect(said).toEqual(['{"received":33}', '{"received":33}']);
  close();
});

it("a network that goes ends what is live at once, and one that comes is used at once", () => {
  const { sockets, states, close } = open();
  sockets.all[0]?.open();
  expect(states.at(-1)).toBe("live");
  dispatchEvent(new Event("offline"));
  expect(states.at(-1)).toBe("reconnecting");
  expect(sockets.all[0]?.isClosed()).toBe(true);
  dispatchEvent(new Event("online"));
  expect(sockets.all).toHaveLength(2);
  sockets.all[1]?.open();
  expect(states.at(-1)).toBe("live");
  close();
  dispatchEvent(new Event("offline"));
  expect(states.at(-1)).toBe("live");
});
