/** A sandbox is snapshotted once, whatever is repeated, lost or late. */
import { describe, expect, test } from "vitest";
import { fromBase, fromImage } from "./requests.ts";
import { useWorld } from "./use-world.ts";
import { succeeded } from "./world.ts";

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

  test("a gateway that finds the mark of another does not take a second one", async () => {
    const sandboxId = await create();
    succeeded(await t.main.client.snapshot(sandboxId, request));
    const images = await t.world.imageCount();
    const other = await t.world.startGateway();
    expect(await other.client.snapshot(sandboxId, request)).toMatchObject({
      ok: false,
      error: { kind: "permanent", code: "snapshot_ambiguous" },
    });
    await other.close();
    expect(await t.world.imageCount()).toBe(images);
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
    const ambiguous = { ok: false, error: { kind: "permanent", code: "snapshot_ambiguous" } };
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
