import { type App, type ModalClient } from "modal";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hasNamespaces } from "../engine/harness.ts";
import { baseTag, type Harness, startHarness } from "./harness.ts";

let harness: Harness;
let client: ModalClient;
let app: App;

beforeAll(async () => {
  harness = await startHarness();
  client = harness.connect();
  app = await client.apps.fromName("disk", { createIfMissing: true });
});
afterAll(() => harness.stop());

async function run(sandbox: Awaited<ReturnType<typeof create>>, script: string) {
  const process = await sandbox.exec(["sh", "-c", script]);
  const [code, stdout, stderr] = await Promise.all([process.wait(), process.stdout.readText(), process.stderr.readText()]);
  return { code, stdout, stderr };
}
const create = (tags: Record<string, string> = {}) => client.sandboxes.create(app, client.images.fromRegistry(baseTag), { tags });

describe.skipIf(!hasNamespaces)("the fault disk_full", () => {
  it("makes writing fail with ENOSPC in the next sandbox of these tags, everywhere in it, and in no other", async () => {
    await harness.fault({ kind: "disk_full", bytes: 4 * 1024 * 1024, tags: { kind: "build" } });
    const other = await create({ kind: "session" });
    const full = await create({ kind: "build" });
    const next = await create({ kind: "build" });
    const write = "head -c 8000000 /dev/zero > /workspace/big";
    expect(await run(full, write)).toMatchObject({ code: 1, stderr: expect.stringContaining("No space left on device") });
    expect(await run(full, "echo more > /home/agent/x; head -c 100000 /dev/zero > /var/tmp/y")).toMatchObject({
      stderr: expect.stringContaining("No space left on device"),
    });
    expect((await run(full, "df -B1 --output=size / | tail -1")).stdout.trim()).toBe(String(4 * 1024 * 1024));
    for (const sandbox of [other, next]) expect(await run(sandbox, write)).toMatchObject({ code: 0, stderr: "" });
    await expect(full.snapshotFilesystem()).rejects.toThrow(/disk .* is limited and full/);
    await Promise.all([other, full, next].map((sandbox) => sandbox.terminate()));
  });

  it("leaves what the image brought readable, and room again for who deletes", async () => {
    const first = await create();
    await run(first, "mkdir -p /workspace/repo/sub; echo kept > /workspace/repo/sub/file");
    const image = await first.snapshotFilesystem();
    await first.terminate();
    await harness.fault({ kind: "disk_full", bytes: 1024 * 1024 });
    const sandbox = await client.sandboxes.create(app, image);
    const { stdout, stderr } = await run(
      sandbox,
      "cd /workspace/repo; cat sub/file; head -c 3000000 /dev/zero > big; rm big; mv sub moved && echo again > moved/file && cat moved/file",
    );
    expect([stdout, stderr]).toEqual(["kept\nagain\n", expect.stringContaining("No space left on device")]);
    await sandbox.terminate();
  });
});
