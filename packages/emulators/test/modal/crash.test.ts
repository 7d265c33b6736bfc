import { spawn } from "node:child_process";
import { existsSync, globSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { createEngine } from "../../src/modal/engine/create-engine.ts";
import { hasNamespaces, programEnv } from "../engine/harness.ts";
import { startHarness } from "./harness.ts";

async function firstLine(stream: NodeJS.ReadableStream): Promise<{ imageId: string; lost: string }> {
  let said = "";
  for await (const chunk of stream) {
    said += String(chunk);
    if (said.includes("\n")) return JSON.parse(said);
  }
  throw new Error(`the emulator ended early: ${said}`);
}

it.skipIf(!hasNamespaces)(
  "a snapshot that was made when the emulator was killed, but not written down, is freed at the next start; the others stay",
  async () => {
    const dir = await mkdtemp(join(tmpdir(), "modal-crash-"));
    const child = spawn(process.execPath, [join(import.meta.dirname, "emulator-child.ts"), dir], {
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...programEnv, TMPDIR: dir },
    });
    const gone = new Promise((resolve) => child.once("close", resolve));
    try {
      const { imageId, lost } = await firstLine(child.stdout);
      child.kill("SIGKILL");
      await gone;
      const records = (id: string) => globSync(`${dir}/engine/*/snapshots/${id}.json`);
      const layers = () => globSync(`${dir}/engine/*/layers/*`).filter((path) => !path.endsWith(".json"));
      expect(records(lost)).toHaveLength(1);

      const open = () => createEngine({ stateDir: `${dir}/engine`, forwardedPorts: [], tools: { node: process.execPath } });
      const harness = await startHarness({ stateDir: `${dir}/state` }, open);
      try {
        expect(records(lost)).toEqual([]);
        // the base's and the kept snapshot's
        await expect.poll(() => layers().length).toBe(2);
        const client = harness.connect();
        const app = await client.apps.fromName("crash");
        const sandbox = await client.sandboxes.create(app, await client.images.fromId(imageId));
        expect(await sandbox.filesystem.readText("/root/file")).toBe("kept");
        await sandbox.terminate();
      } finally {
        await harness.stop();
      }
    } finally {
      child.kill("SIGKILL");
      await gone;
      await rm(dir, { recursive: true, force: true });
    }
    expect(existsSync(dir)).toBe(false);
  },
);
