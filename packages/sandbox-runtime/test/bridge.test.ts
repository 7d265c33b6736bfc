/** The runtime's end of the bridge alone, where the whole program would make a test wait for minutes. */
import { afterEach, describe, expect, test } from "vitest";
import { type Bridge, CredentialRefused, createBridge } from "../src/adapters/bridge-socket.ts";
import { startBridge, type TestBridge } from "./support/bridge-server.ts";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});
const dial = (server: TestBridge, giveUpMs = 60_000): Bridge => {
  const bridge = createBridge({
    url: server.url,
    token: server.token,
    runtimeVersion: "test",
    bootId: "boot",
    giveUpMs,
    log: () => undefined,
  });
  cleanups.push(bridge.close);
  return bridge;
};
const begin = async () => {
  const server = await startBridge();
  cleanups.push(server.stop);
  return server;
};

describe("the bridge", () => {
  test("gives up after its limit without a connection, and not before", async () => {
    const server = await begin();
    server.accept = false;
    const started = Date.now();
    const bridge = dial(server, 400);
    const asked = bridge.requestCredential();
    expect(await bridge.end).toEqual({ kind: "lost" });
    expect(Date.now() - started).toBeGreaterThanOrEqual(400);
    await expect(asked).rejects.toThrow(/ended/);
    expect(await bridge.drained(10)).toBe(true);
  });

  test("counts the limit from the last connection, not from the start", async () => {
    const server = await begin();
    const bridge = dial(server, 600);
    await bridge.connected;
    await new Promise((resolve) => setTimeout(resolve, 700));
    server.cut();
    await expect.poll(() => server.hellos.length).toBe(2);
  });

  test("asks for a credential again after a drop, and answers only the one who asked", async () => {
    const server = await begin();
    server.credential = null;
    const bridge = dial(server);
    await bridge.connected;
    const asked = bridge.requestCredential();
    await expect.poll(() => server.credentialRequests).toBe(1);
    server.send({ type: "credential", id: "another", username: "x", password: "wrong" });
    server.credential = { username: "x", password: "right" };
    server.cut();
    expect(await asked).toEqual({ username: "x", password: "right" });
    server.credential = { refused: "no" };
    await expect(bridge.requestCredential()).rejects.toBeInstanceOf(CredentialRefused);
  });

  test("keeps commands that come before anybody listens", async () => {
    const server = await begin();
    const bridge = dial(server);
    await bridge.connected;
    server.send({ type: "shutdown", reason: "early" });
    await new Promise((resolve) => setTimeout(resolve, 50));
    const seen: string[] = [];
    bridge.onCommand(({ type }) => seen.push(type));
    expect(seen).toEqual(["shutdown"]);
  });

  test("sends what happened while it was away in one order, within the window, and knows when all of it has arrived", async () => {
    const server = await begin();
    server.accept = false;
    const bridge = dial(server);
    for (let index = 0; index < 2000; index++)
      bridge.send({ type: "agent.restarted", attempt: index + 1, reason: "x".repeat(100) });
    expect(await bridge.drained(50)).toBe(false);
    server.accept = true;
    expect(await bridge.drained(10_000)).toBe(true);
    expect(server.all("agent.restarted").map(({ attempt }) => attempt)).toEqual(
      Array.from({ length: 2000 }, (_, index) => index + 1),
    );
  });
});
