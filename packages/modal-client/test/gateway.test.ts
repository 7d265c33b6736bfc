/** What the gateway promises of sandboxes and images, through its own client, the unmodified SDK and the Modal emulator. */
import { describe, expect, test } from "vitest";
import { runtimeVersionOf } from "../src/base-image.ts";
import { config, freshName, fromBase, fromImage } from "./requests.ts";
import { useWorld } from "./use-world.ts";
import { bundle, eventually, succeeded } from "./world.ts";

const t = useWorld();
const { create, createStarted, runtimeCount, logOf } = t;

describe("health", () => {
  test("says which runtime and base new sandboxes get, and the SDK's pinned version", async () => {
    const health = await eventually(async () => {
      const now = succeeded(await t.main.client.health());
      return now.base.ready && now;
    });
    expect(health).toEqual({
      status: "ok",
      runtimeVersion: runtimeVersionOf(bundle),
      base: { name: "registry:local/host-toolchain", ready: true, providerImageId: expect.stringMatching(/^im-/) },
      sdkVersion: "0.11.1",
    });
  });
});

describe("create", () => {
  test("the same name is the same sandbox while it runs, and a new one after", async () => {
    const name = freshName();
    const first = succeeded(await t.main.client.create(name, fromBase()));
    expect(first.created).toBe(true);
    expect(succeeded(await t.main.client.create(name, fromBase()))).toMatchObject({ sandboxId: first.sandboxId, created: false });
    succeeded(await t.main.client.terminate(first.sandboxId));
    const next = succeeded(await t.main.client.create(name, fromBase()));
    expect(next.created).toBe(true);
    expect(next.sandboxId).not.toBe(first.sandboxId);
  });

  test("of many at once one makes the sandbox", async () => {
    const name = freshName();
    const all = await Promise.all(Array.from({ length: 5 }, () => t.main.client.create(name, fromBase())));
    const values = all.map(succeeded);
    expect(new Set(values.map(({ sandboxId }) => sandboxId)).size).toBe(1);
    expect(values.filter(({ created }) => created)).toHaveLength(1);
  });

  test("the sandbox holds the runtime and nothing runs in it yet", async () => {
    const sandboxId = await create();
    expect(await t.world.shell(sandboxId, "sha256sum < /opt/openinspect/runtime.mjs")).toContain(bundle.sha256);
    expect(await runtimeCount(sandboxId)).toBe(0);
    expect(succeeded(await t.main.client.logs(sandboxId, 0))).toEqual({ text: "", nextOffset: 0 });
  });

  test("an image that is not there is told as such", async () => {
    expect(await t.main.client.create(freshName(), fromImage("im-doesnotexist"))).toMatchObject({
      ok: false,
      error: { kind: "not_found", code: "image_missing" },
    });
  });
});

describe("start", () => {
  test("starts the runtime once, whatever is repeated, also by another gateway", async () => {
    const sandboxId = await create();
    const starts = await Promise.all(Array.from({ length: 4 }, () => t.main.client.start(sandboxId, { config })));
    expect(starts.map((start) => succeeded(start).started).sort()).toEqual([false, false, false, true]);
    const other = await t.world.startGateway();
    expect(succeeded(await other.client.start(sandboxId, { config })).started).toBe(false);
    await other.close();
    await logOf(sandboxId);
    expect(await runtimeCount(sandboxId)).toBe(1);
  });

  test("a launcher waits in a new sandbox before it is asked for; one that is gone by then is not missed", async () => {
    const waitingIn = (sandboxId: string) =>
      t.world.shell(
        sandboxId,
        "cd /proc; for p in [0-9]*; do grep -a -q '[I]FS= read -r config' $p/cmdline && echo $p; done; true",
      );
    const used = await create();
    const gone = await create();
    for (const sandboxId of [used, gone]) await eventually(async () => (await waitingIn(sandboxId)) !== "");
    await t.world.shell(gone, `kill -9 ${await waitingIn(gone)}`);
    for (const sandboxId of [used, gone]) {
      expect(succeeded(await t.main.client.start(sandboxId, { config })).started).toBe(true);
      await eventually(async () => (await runtimeCount(sandboxId)) === 1);
      expect(await waitingIn(sandboxId)).toBe("");
    }
  });

  test("the runtime runs below tini, in a session of its own, and outlives the call", async () => {
    const sandboxId = await createStarted();
    await logOf(sandboxId);
    // Field 6 is the session, which is named after its leader.
    const script = `pid=$(cat /run/openinspect/started.*/pid); cat /proc/$pid/comm; [ "$(cut -d' ' -f6 /proc/$pid/stat)" = $pid ] && echo leader`;
    expect(await t.world.shell(sandboxId, script)).toBe("tini\nleader\n");
  });

  test("the config is in no argument list, no environment and no file of the sandbox", async () => {
    const sandboxId = await createStarted();
    await logOf(sandboxId);
    // The patterns are split so that the search does not find itself.
    const found = await t.world.shell(
      sandboxId,
      `for t in 'bridge-to''ken-0123' 'model-to''ken-0123'; do
         grep -a -l "$t" $(ls /proc/[0-9]*/cmdline /proc/[0-9]*/environ | grep -v "/$$/") 2>/dev/null
         grep -r -a -l "$t" /run /tmp /root /home /opt /var /workspace /etc 2>/dev/null
       done; echo searched`,
    );
    expect(found).toBe("searched\n");
  });

  test.each([
    ["bridge", { ...config, bridgeUrl: "ws://evil.example/bridge" }],
    ["bridge's port", { ...config, bridgeUrl: "ws://127.0.0.1:1/bridge" }],
    ["model", { ...config, agent: { ...config.agent, modelBaseUrl: "https://evil.example" } }],
  ])("a %s that nobody allowed is refused", async (_, other) => {
    const sandboxId = await create();
    expect(await t.main.client.start(sandboxId, { config: other })).toMatchObject({
      ok: false,
      error: { kind: "invalid_request", code: "host_not_allowed" },
    });
    expect(await runtimeCount(sandboxId)).toBe(0);
  });

  test("in a sandbox that has ended it is not found", async () => {
    const sandboxId = await create();
    succeeded(await t.main.client.terminate(sandboxId));
    expect(await t.main.client.start(sandboxId, { config })).toMatchObject({ ok: false, error: { kind: "not_found" } });
  });
});

describe("status", () => {
  test("tells how a sandbox ended", async () => {
    const [terminated, timedOut, tooLarge, died] = [await create(), await create(), await create(), await create()];
    expect(succeeded(await t.main.client.status(terminated))).toEqual({ status: "running" });
    succeeded(await t.main.client.terminate(terminated));
    await t.world.kill(timedOut, "timeout");
    await t.world.kill(tooLarge, "oom");
    await t.world.kill(died, "died");
    expect(succeeded(await t.main.client.status(terminated))).toEqual({ status: "ended", exitCode: 137, reason: "terminated" });
    expect(succeeded(await t.main.client.status(timedOut))).toEqual({ status: "ended", exitCode: 124, reason: "timeout" });
    expect(succeeded(await t.main.client.status(tooLarge))).toEqual({ status: "ended", exitCode: 137, reason: "out_of_memory" });
    expect(succeeded(await t.main.client.status(died))).toEqual({ status: "ended", exitCode: 137, reason: "terminated" });
  });

  test("tells on demand whether the runtime runs in it", async () => {
    const sandboxId = await createStarted();
    expect(succeeded(await t.main.client.status(sandboxId))).toEqual({ status: "running" });
    const look = async () => succeeded(await t.main.client.status(sandboxId, { runtime: true }));
    expect(await look()).toEqual({ status: "running", runtime: "running" });
    await t.world.shell(sandboxId, "kill -9 $(cat /run/openinspect/started.*/pid)");
    await eventually(async () => (await look()).status === "running" && JSON.stringify(await look()).includes("gone"));
    expect(await look()).toEqual({ status: "running", runtime: "gone" });
    const idle = await create();
    expect(succeeded(await t.main.client.status(idle, { runtime: true }))).toEqual({ status: "running", runtime: "unknown" });
    succeeded(await t.main.client.terminate(sandboxId));
    expect(await look()).toMatchObject({ status: "ended" });
  });

  test("a sandbox that nobody knows has ended", async () => {
    expect(succeeded(await t.main.client.status("sb-doesnotexist"))).toEqual({
      status: "ended",
      exitCode: null,
      reason: "unknown",
    });
  });
});

describe("logs", () => {
  test("go on from the offset that the last call gave", async () => {
    const sandboxId = await createStarted();
    const first = await logOf(sandboxId);
    expect(first.text).toBe("the runtime is up for a session – ünïcode\n");
    expect(first.nextOffset).toBe(Buffer.byteLength(first.text));
    await t.world.shell(sandboxId, "echo more >> /run/openinspect/runtime.log");
    expect(succeeded(await t.main.client.logs(sandboxId, first.nextOffset))).toEqual({
      text: "more\n",
      nextOffset: first.nextOffset + 5,
    });
  });

  test("come in bounded pieces that never split a character", async () => {
    const sandboxId = await create();
    await t.world.shell(
      sandboxId,
      `mkdir -p /run/openinspect; printf 'x' > /run/openinspect/runtime.log; yes 'üé€' | head -c 600000 >> /run/openinspect/runtime.log`,
    );
    let offset = 0;
    let text = "";
    let calls = 0;
    for (; ; calls++) {
      const piece = succeeded(await t.main.client.logs(sandboxId, offset));
      if (piece.nextOffset === offset) break;
      expect(piece.nextOffset - offset).toBeLessThanOrEqual(256 * 1024);
      text += piece.text;
      offset = piece.nextOffset;
    }
    expect(calls).toBe(3);
    expect(text).not.toContain("\ufffd");
    expect(Buffer.byteLength(text)).toBe(offset);
  });
});

describe("terminate, list, delete", () => {
  test("terminating is repeatable, also for what nobody knows", async () => {
    const sandboxId = await create();
    for (const id of [sandboxId, sandboxId, "sb-doesnotexist"])
      expect(await t.main.client.terminate(id)).toMatchObject({ ok: true });
  });

  test("the list holds the running sandboxes that carry all the tags, with all their tags", async () => {
    const tags = { kind: "build", buildId: `b${Date.now()}` };
    const ids = [
      await create(fromBase({ ...tags, n: "1" })),
      await create(fromBase({ ...tags, n: "2" })),
      await create(fromBase({ kind: "build" })),
    ];
    succeeded(await t.main.client.terminate(await create(fromBase(tags))));
    const { sandboxes } = succeeded(await t.main.client.list(tags));
    const byNumber = sandboxes.sort((a, b) => (a.tags.n ?? "").localeCompare(b.tags.n ?? ""));
    expect(byNumber).toEqual([
      { sandboxId: ids[0], tags: { ...tags, n: "1" } },
      { sandboxId: ids[1], tags: { ...tags, n: "2" } },
    ]);
  });

  test("a list without a tag is refused: it would be everybody's", async () => {
    expect(await t.main.client.list({})).toMatchObject({ ok: false, error: { kind: "invalid_request", code: "tags_missing" } });
  });

  test("a deleted image starts nothing any more, and deleting is repeatable", async () => {
    const { providerImageId } = succeeded(await t.main.client.snapshot(await create(), { timeoutMs: 60_000, ttlMs: null }));
    const other = await t.world.startGateway();
    await create(fromImage(providerImageId), other.client);
    for (let time = 0; time < 2; time++) expect(await t.main.client.deleteImage(providerImageId)).toMatchObject({ ok: true });
    const missing = { ok: false, error: { kind: "not_found", code: "image_missing" } };
    expect(await t.main.client.create(freshName(), fromImage(providerImageId))).toMatchObject(missing);
    // the other gateway still remembers the image
    expect(await other.client.create(freshName(), fromImage(providerImageId))).toMatchObject(missing);
    await other.close();
  });

  test("the base image cannot be deleted", async () => {
    const { base } = succeeded(await t.main.client.health());
    expect(await t.main.client.deleteImage(base.providerImageId ?? "")).toMatchObject({
      ok: false,
      error: { kind: "invalid_request", code: "base_image_in_use" },
    });
  });
});

test("no log line of all this holds a secret or a config", () => t.expectCleanLog());
