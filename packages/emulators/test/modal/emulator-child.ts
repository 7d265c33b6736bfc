/** An emulator in a process of its own whose second snapshot is made but never written down, for the test that kills it there. */
import { createEngine } from "../../src/modal/engine/create-engine.ts";
import { baseTag, startHarness } from "./harness.ts";

const dir = process.argv[2] ?? "";
let snapshots = 0;
let imageId = "";
const harness = await startHarness({ stateDir: `${dir}/state` }, async () => {
  const engine = await createEngine({ stateDir: `${dir}/engine`, forwardedPorts: [], tools: { node: process.execPath } });
  return {
    ...engine,
    async snapshot(guestId) {
      const id = await engine.snapshot(guestId);
      if (++snapshots === 1) return id;
      process.stdout.write(`${JSON.stringify({ imageId, lost: id })}\n`);
      return new Promise(() => {});
    },
  };
});
const client = harness.connect();
const app = await client.apps.fromName("crash", { createIfMissing: true });
const sandbox = await client.sandboxes.create(app, client.images.fromRegistry(baseTag));
await sandbox.filesystem.writeText("kept", "/root/file");
imageId = (await sandbox.snapshotFilesystem()).imageId;
await sandbox.filesystem.writeText("lost", "/root/file");
await sandbox.snapshotFilesystem();
