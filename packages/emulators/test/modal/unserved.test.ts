import { type App, type ModalClient, Probe } from "modal";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { baseTag, type Harness, startHarness } from "./harness.ts";

let harness: Harness;
let client: ModalClient;
let app: App;

beforeAll(async () => {
  harness = await startHarness();
  client = harness.connect();
  app = await client.apps.fromName("unserved", { createIfMissing: true });
});
afterAll(() => harness.stop());

const create = (params = {}) => client.sandboxes.create(app, client.images.fromRegistry(baseTag), params);
const UNIMPLEMENTED = 12;

describe("what the emulator does not serve", () => {
  it.each([
    [
      "volumes",
      () => client.volumes.fromName("data", { createIfMissing: true }),
      /no volumes: write files with sandbox\.filesystem/,
    ],
    ["queues", () => client.queues.fromName("q", { createIfMissing: true }), /no queues/],
    [
      "memory snapshots",
      async () => (await create()).experimentalSnapshot(),
      /no memory snapshots: use sandbox\.snapshotFilesystem/,
    ],
    ["directory snapshots", async () => (await create()).snapshotDirectory("/root"), /use sandbox\.snapshotFilesystem/],
    ["connect tokens", async () => (await create()).createConnectToken(), /use encryptedPorts and sandbox\.tunnels/],
  ])("is refused at once, with what to use instead: %s", async (_what, call, message) => {
    await expect(call()).rejects.toMatchObject({ code: UNIMPLEMENTED, message: expect.stringMatching(message) });
  });
});

describe("a readiness probe", () => {
  it("tells when a port is listened on", async () => {
    const sandbox = await create({ readinessProbe: Probe.withTcp(8080, { intervalMs: 50 }) });
    await expect(sandbox.waitUntilReady(300)).rejects.toMatchObject({ name: "TimeoutError" });
    const ready = sandbox.waitUntilReady(20_000);
    await sandbox.exec(["node", "-e", "setTimeout(() => require('net').createServer().listen(8080), 200)"]);
    await ready;
    await sandbox.terminate();
  });

  it("tells when a command succeeds", async () => {
    const sandbox = await create({ readinessProbe: Probe.withExec(["test", "-e", "/root/up"], { intervalMs: 50 }) });
    const ready = sandbox.waitUntilReady(20_000);
    await sandbox.filesystem.writeText("1", "/root/up");
    await ready;
    await sandbox.terminate();
  });

  it("that was never given cannot be waited for", async () => {
    const sandbox = await create();
    await expect(sandbox.waitUntilReady(1000)).rejects.toThrow(/without a readiness probe/);
    await sandbox.terminate();
  });
});
