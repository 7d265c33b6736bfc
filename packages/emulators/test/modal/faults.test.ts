import { type App, type ModalClient } from "modal";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { baseTag, type Harness, startHarness } from "./harness.ts";

let harness: Harness;
let client: ModalClient;
let app: App;

beforeAll(async () => {
  harness = await startHarness();
  client = harness.connect();
  app = await client.apps.fromName("faults", { createIfMissing: true });
  await client.images.fromRegistry(baseTag).build(app);
});
afterEach(() => admin("DELETE", "/faults"));
afterAll(() => harness.stop());

const base = () => client.images.fromRegistry(baseTag);
const admin = (method: string, path: string, body?: object) =>
  fetch(`${harness.emulator.adminUrl}${path}`, { method, ...(body ? { body: JSON.stringify(body) } : {}) });

describe("injected faults", () => {
  it("fail a call with the given status, as often as asked", async () => {
    await harness.fault({ method: "SandboxCreateV2", kind: "error", code: "RESOURCE_EXHAUSTED", times: 2 });
    await expect(client.sandboxes.create(app, base())).rejects.toMatchObject({ code: 8 });
    await expect(client.sandboxes.create(app, base())).rejects.toMatchObject({ code: 8 });
    await (await client.sandboxes.create(app, base())).terminate();
  });

  it("delay a call", async () => {
    const sandbox = await client.sandboxes.create(app, base());
    await harness.fault({ method: "SandboxWaitV2", kind: "latency", ms: 300 });
    const startedAt = performance.now();
    await sandbox.poll();
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(295);
    await sandbox.terminate();
  });

  it("leave a call without an answer", async () => {
    const sandbox = await client.sandboxes.create(app, base());
    await harness.fault({ method: "TaskSnapshotFilesystem", kind: "hang" });
    await expect(sandbox.snapshotFilesystem({ timeoutMs: 500 })).rejects.toThrow();
    expect((await sandbox.snapshotFilesystem()).imageId).toMatch(/^im-/);
    await sandbox.terminate();
  });

  it("let a creation whose answer was lost be repeated without a second sandbox", async () => {
    await harness.fault({ method: "SandboxCreateV2", kind: "error", code: "UNAVAILABLE", when: "after" });
    const sandbox = await client.sandboxes.create(app, base(), { name: "lost-answer" });
    const { sandboxes } = (await (await admin("GET", "/sandboxes")).json()) as { sandboxes: { id: string; name: string }[] };
    expect(sandboxes.filter((each) => each.name === "lost-answer").map((each) => each.id)).toEqual([sandbox.sandboxId]);
    await sandbox.terminate();
  });

  it("limit the rate of a call until they are cleared", async () => {
    await harness.fault({ method: "SandboxCreateV2", kind: "rate_limit", perSecond: 10, burst: 2 });
    const results = await Promise.allSettled(Array.from({ length: 5 }, () => client.sandboxes.create(app, base())));
    const made = results.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
    expect(made.length).toBeGreaterThanOrEqual(2);
    expect(made.length).toBeLessThan(5);
    for (const one of results) if (one.status === "rejected") expect(one.reason).toMatchObject({ code: 8 });
    await new Promise((resolve) => setTimeout(resolve, 120));
    made.push(await client.sandboxes.create(app, base()));
    await admin("DELETE", "/faults");
    made.push(...(await Promise.all(Array.from({ length: 4 }, () => client.sandboxes.create(app, base())))));
    await Promise.all(made.map((one) => one.terminate()));
  });

  it("are refused when they make no sense", async () => {
    expect((await admin("POST", "/faults", { method: "X", kind: "error", code: "NO_SUCH_CODE" })).status).toBe(400);
    expect((await admin("POST", "/faults", { kind: "hang" })).status).toBe(400);
  });
});

describe("the side door", () => {
  it.each([
    ["died", 137],
    ["oom", 137],
    ["timeout", 124],
    ["terminated", 137],
  ])("ends a sandbox as %s", async (reason, code) => {
    const sandbox = await client.sandboxes.create(app, base(), { tags: { why: reason } });
    const process = await sandbox.exec(["sleep", "30"]);
    expect((await admin("POST", `/sandboxes/${sandbox.sandboxId}/kill`, { reason })).status).toBe(204);
    expect(await sandbox.wait()).toBe(code);
    expect(await process.wait()).toBe(137);
    const { sandboxes } = (await (await admin("GET", "/sandboxes")).json()) as { sandboxes: { id: string }[] };
    expect(sandboxes.find((each) => each.id === sandbox.sandboxId)).toMatchObject({ status: "ended", tags: { why: reason } });
  });

  it("says how guests are isolated", async () => {
    expect(await (await admin("GET", "/health")).json()).toEqual(harness.emulator.describe());
  });

  it("answers no other host name", async () => {
    const { request } = await import("node:http");
    const { port } = new URL(harness.emulator.adminUrl);
    const status = await new Promise((resolve) => {
      request({ host: "127.0.0.1", port, path: "/health", headers: { host: "evil.example" } }, (answer) => {
        answer.resume();
        resolve(answer.statusCode);
      }).end();
    });
    expect(status).toBe(403);
  });
});
