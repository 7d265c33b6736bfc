import { type App, type ModalClient } from "modal";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Harness, startHarness } from "./harness.ts";
import { plainTag } from "./plain-engine.ts";

let harness: Harness;
let client: ModalClient;
let app: App;

beforeAll(async () => {
  harness = await startHarness();
  client = harness.connect();
  app = await client.apps.fromName("contract", { createIfMissing: true });
});
afterAll(() => harness.stop());

const base = () => client.images.fromRegistry(plainTag);

describe("the unmodified SDK against the emulator", () => {
  it("goes from a base image over a snapshot to a second sandbox", async () => {
    const sandbox = await client.sandboxes.create(app, base(), { timeoutMs: 60_000 });
    const process = await sandbox.exec(["sh", "-c", "echo out; echo err >&2; echo kept > /root/file; exit 3"]);
    expect([await process.stdout.readText(), await process.stderr.readText(), await process.wait()]).toEqual([
      "out\n",
      "err\n",
      3,
    ]);
    const image = await sandbox.snapshotFilesystem();
    expect(await sandbox.poll()).toBeNull();
    expect(await sandbox.terminate({ wait: true })).toBe(137);
    const second = await client.sandboxes.create(app, await client.images.fromId(image.imageId));
    const cat = await second.exec(["cat", "/root/file"]);
    expect([await cat.stdout.readText(), await cat.wait()]).toEqual(["kept\n", 0]);
    await second.terminate();
  });
});
