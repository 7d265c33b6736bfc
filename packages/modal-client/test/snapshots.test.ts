/** A sandbox is snapshotted once, whatever is repeated, lost, late or killed. */
import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, test } from "vitest";
import { createGatewayClient } from "../src/client.ts";
import { fromBase, fromImage, secret } from "./requests.ts";
import { useWorld } from "./use-world.ts";
import { eventually, succeeded } from "./world.ts";

const t = useWorld();
const { create, createStarted, logOf } = t;

describe("snapshot", () => {
  const request = { timeoutMs: 60_000, ttlMs: null };

  test("a sandbox from it has the files, and the runtime starts in it with a log of its own", async () => {
    const source = await createStarted();
    await logOf(source);
    await t.world.shell(source, "mkdir -p /workspace && echo kept > /workspace/file");
    const { providerImageId } = succeeded(await t.main.client.snapshot(source, request));
    const restored = await createStarted(fromImage(providerImageId));
    expect(await t.world.shell(restored, "cat /workspace/file")).toBe("kept\n");
    expect((await logOf(restored)).text).toBe("the runtime is up for a session – ünïcode\n");
  });

  test("a repetition is the same image, while it runs and after", async () => {
    const sandboxId = await create();
    const images = await t.world.imageCount();
    const all = await Promise.all([t.main.client.snapshot(sandboxId, request), t.main.client.snapshot(sandboxId, request)]);
    const again = await t.main.client.snapshot(sandboxId, request);
    expect(new Set([...all, again].map((each) => succeeded(each).providerImageId)).size).toBe(1);
    expect(await t.world.imageCount()).toBe(images + 1);
  });

  const ambiguous = { ok: false, error: { kind: "permanent", code: "snapshot_ambiguous" } };

  test("a gateway that finds the note of another answers with that image", async () => {
    const sandboxId = await create();
    const { providerImageId } = succeeded(await t.main.client.snapshot(sandboxId, request));
    const images = await t.world.imageCount();
    const other = await t.world.startGateway();
    expect(await other.client.snapshot(sandboxId, request)).toMatchObject({ ok: true, value: { providerImageId } });
    await other.close();
    expect(await t.world.imageCount()).toBe(images);
  });

  test("a note that the sandbox wrote itself, or took from elsewhere, is none", async () => {
    const [sandboxId, source] = [await create(), await create()];
    succeeded(await t.main.client.snapshot(source, request));
    const genuine = await t.world.shell(source, `cat /run/openinspect/snapshot.${source}.note`);
    expect(genuine).toMatch(/^im-\S+ [0-9a-f]{64}\n$/);
    for (const note of [genuine, genuine.split(" ")[0] ?? "", `${genuine.split(" ")[0]} ${"0".repeat(64)}`, ""]) {
      const path = `/run/openinspect/snapshot.${sandboxId}.note`;
      await t.world.shell(sandboxId, `mkdir -p /run/openinspect && printf %s '${note.trim()}' > ${path}`);
      expect(await t.main.client.snapshot(sandboxId, request)).toMatchObject(ambiguous);
      // Otherwise the gateway's own memory of that would answer.
      const other = await t.world.startGateway();
      expect(await other.client.snapshot(sandboxId, request)).toMatchObject(ambiguous);
      await other.close();
    }
  });

  describe("with a gateway that is killed", () => {
    let child: ChildProcess;
    /** A gateway as a process of its own, and one request for a snapshot that is never answered. */
    async function beginAndKill(sandboxId: string, untilThere: () => Promise<unknown>) {
      child = spawn(process.execPath, [fileURLToPath(new URL("../src/gateway/main.ts", import.meta.url))], {
        env: {
          ...{ PATH: process.env.PATH ?? "", HOME: "/nonexistent", MODAL_SERVER_URL: process.env.MODAL_SERVER_URL ?? "" },
          ...{
            MODAL_TOKEN_ID: "ak-test",
            MODAL_TOKEN_SECRET: "as-test",
            MODAL_APP_NAME: "gateway-test",
            MODAL_API_SECRET: secret,
          },
          ...{ GATEWAY_PORT: "0", GATEWAY_BASE: "registry:local/none", ALLOWED_CONTROL_PLANE_HOSTS: "127.0.0.1:1" },
        },
        stdio: ["ignore", "pipe", "ignore"],
      });
      const url = await new Promise<string>((resolve) => child.stdout?.once("data", (line) => resolve(JSON.parse(line).gateway)));
      const asked = createGatewayClient({ baseUrl: url, secret }).snapshot(sandboxId, request);
      await untilThere();
      child.kill("SIGKILL");
      expect((await asked).ok).toBe(false);
    }
    afterEach(async () => {
      child.kill("SIGKILL");
      await t.world.clearFaults();
    });
    const noted = (sandboxId: string) =>
      eventually(async () =>
        (await t.world.shell(sandboxId, `cat /run/openinspect/snapshot.${sandboxId}.note 2>/dev/null`)).startsWith("im-"),
      );

    test("between the provider's image and the answer: the repetition answers that image, and none is left when it is deleted", async () => {
      const before = await t.world.snapshots();
      const sandboxId = await create();
      await t.world.fault({ method: "TaskSnapshotFilesystem", kind: "latency", ms: 700, when: "after" });
      await beginAndKill(sandboxId, async () => {
        await eventually(async () => (await t.world.snapshots()).length > before.length);
        // The end of the command that leaves the note is not told: the gateway waits with its answer.
        await t.world.fault({ method: "TaskExecWait", kind: "hang", when: "after" });
        await eventually(async () => (await t.world.faultsLeft()) === 0);
        await noted(sandboxId);
      });
      const { providerImageId } = succeeded(await t.main.client.snapshot(sandboxId, request));
      expect((await t.world.snapshots()).filter((id) => !before.includes(id))).toEqual([providerImageId]);
      succeeded(await t.main.client.deleteImage(providerImageId));
      expect(await t.world.snapshots()).toEqual(before);
    });

    test("before the provider's answer has come: no second one is taken, and the first is left to its TTL", async () => {
      const before = await t.world.snapshots();
      const sandboxId = await create();
      await t.world.fault({ method: "TaskSnapshotFilesystem", kind: "hang", when: "after" });
      await beginAndKill(sandboxId, () => eventually(async () => (await t.world.snapshots()).length > before.length));
      expect(await t.main.client.snapshot(sandboxId, request)).toMatchObject(ambiguous);
      expect(await t.world.snapshots()).toHaveLength(before.length + 1);
    });
  });

  test("a long one is joined by repeated calls", async () => {
    const patient = await t.world.startGateway({ deadlinesMs: { snapshotHold: 300 } });
    const sandboxId = await create(fromBase(), patient.client);
    await t.world.fault({ method: "TaskSnapshotFilesystem", kind: "latency", ms: 1_200 });
    const images = await t.world.imageCount();
    succeeded(await patient.client.snapshot(sandboxId, request));
    expect(await t.world.imageCount()).toBe(images + 1);
    await patient.close();
  });

  test.each([
    ["late", { kind: "hang" }],
    ["lost", { kind: "hang", when: "after" }],
    ["unknown", { kind: "error", code: "DATA_LOSS", when: "after" }],
  ])("an answer that is %s is ambiguous, and no second snapshot is taken", async (_, fault) => {
    const sandboxId = await create();
    await t.world.fault({ method: "TaskSnapshotFilesystem", ...fault });
    expect(await t.main.client.snapshot(sandboxId, { timeoutMs: 1_000, ttlMs: null })).toMatchObject(ambiguous);
    const images = await t.world.imageCount();
    expect(await t.main.client.snapshot(sandboxId, request)).toMatchObject(ambiguous);
    expect(await t.world.imageCount()).toBe(images);
  });

  test("a plain no can be tried again", async () => {
    const sandboxId = await create();
    await t.world.fault({ method: "TaskSnapshotFilesystem", kind: "error", code: "RESOURCE_EXHAUSTED" });
    expect(await t.main.client.snapshot(sandboxId, request)).toMatchObject({
      ok: false,
      error: { kind: "transient", code: "provider_busy" },
    });
    succeeded(await t.main.client.snapshot(sandboxId, request));
  });

  test("of an ended sandbox it is not found", async () => {
    const sandboxId = await create();
    succeeded(await t.main.client.terminate(sandboxId));
    expect(await t.main.client.snapshot(sandboxId, request)).toMatchObject({ ok: false, error: { kind: "not_found" } });
  });
});

test("no log line of all this holds a secret or a config", () => t.expectCleanLog());
