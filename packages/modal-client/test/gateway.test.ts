/** What the gateway promises, through its own client, the unmodified Modal SDK and the Modal emulator. */
import { type CreateSandboxRequest, createId, type RuntimeConfig } from "@open-inspect/protocol";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { runtimeVersionOf } from "../src/base-image.ts";
import { createGatewayClient } from "../src/client.ts";
import { importSigningKey, sign } from "../src/signing.ts";
import { bundle, controlPlaneHost, eventually, type RunningGateway, secret, startWorld, succeeded, type World } from "./world.ts";

let world: World;
let main: RunningGateway;
beforeAll(async () => {
  world = await startWorld();
  main = await world.startGateway();
}, 60_000);
afterAll(async () => {
  await world?.close();
}, 30_000);

let count = 0;
const freshName = () => `test.${count++}`;
const fromBase = (tags: Record<string, string> = {}): CreateSandboxRequest => ({
  source: { kind: "base" },
  tags,
  cpu: 0.5,
  memoryMiB: 256,
  timeoutMs: 600_000,
});
const fromImage = (providerImageId: string): CreateSandboxRequest => ({
  ...fromBase(),
  source: { kind: "image", providerImageId },
});
const bridgeToken = "bridge-token-0123456789abcdef0123456789abcdef";
const modelToken = "model-token-0123456789abcdef";
const config: RuntimeConfig = {
  mode: "session",
  sessionId: createId("session", 1, new Uint8Array(16)),
  bridgeUrl: `ws://${controlPlaneHost}/bridge/sessions/x`,
  bridgeToken,
  cloneUrl: "http://127.0.0.1:18788/acme/app.git",
  branch: "main",
  gitTimeoutMs: 60_000,
  startFrom: "image",
  agent: { modelBaseUrl: `http://${controlPlaneHost}/model`, modelToken, model: "m" },
  startHookTimeoutMs: 60_000,
};

async function create(request = fromBase(), client = main.client): Promise<string> {
  return succeeded(await client.create(freshName(), request)).sandboxId;
}
async function createStarted(request = fromBase()): Promise<string> {
  const sandboxId = await create(request);
  expect(succeeded(await main.client.start(sandboxId, { config })).started).toBe(true);
  return sandboxId;
}
/** The program must be node itself: tini and wrappers carry the same file in their arguments. */
const runtimePids = async (sandboxId: string) =>
  (
    await world.shell(
      sandboxId,
      "for p in /proc/[0-9]*; do case $(readlink $p/exe) in */node) grep -a -q openinspect/runtime $p/cmdline && basename $p;; esac; done",
    )
  )
    .split("\n")
    .filter((pid) => pid !== "");
const runtimeCount = async (sandboxId: string) => (await runtimePids(sandboxId)).length;
const logOf = (sandboxId: string) =>
  eventually(async () => {
    const log = succeeded(await main.client.logs(sandboxId, 0));
    return log.text.endsWith("\n") && log;
  });

describe("health", () => {
  test("says which runtime and base new sandboxes get, and the SDK's pinned version", async () => {
    const health = await eventually(async () => {
      const now = succeeded(await main.client.health());
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
    const first = succeeded(await main.client.create(name, fromBase()));
    expect(first.created).toBe(true);
    expect(succeeded(await main.client.create(name, fromBase()))).toMatchObject({ sandboxId: first.sandboxId, created: false });
    succeeded(await main.client.terminate(first.sandboxId));
    const next = succeeded(await main.client.create(name, fromBase()));
    expect(next.created).toBe(true);
    expect(next.sandboxId).not.toBe(first.sandboxId);
  });

  test("of many at once one makes the sandbox", async () => {
    const name = freshName();
    const all = await Promise.all(Array.from({ length: 5 }, () => main.client.create(name, fromBase())));
    const values = all.map(succeeded);
    expect(new Set(values.map(({ sandboxId }) => sandboxId)).size).toBe(1);
    expect(values.filter(({ created }) => created)).toHaveLength(1);
  });

  test("the sandbox holds the runtime and nothing runs in it yet", async () => {
    const sandboxId = await create();
    expect(await world.shell(sandboxId, "sha256sum < /opt/openinspect/runtime.mjs")).toContain(bundle.sha256);
    expect(await runtimeCount(sandboxId)).toBe(0);
    expect(succeeded(await main.client.logs(sandboxId, 0))).toEqual({ text: "", nextOffset: 0 });
  });

  test("an image that is not there is told as such", async () => {
    expect(await main.client.create(freshName(), fromImage("im-doesnotexist"))).toMatchObject({
      ok: false,
      error: { kind: "not_found", code: "image_missing" },
    });
  });
});

describe("start", () => {
  test("starts the runtime once, whatever is repeated, also by another gateway", async () => {
    const sandboxId = await create();
    const starts = await Promise.all(Array.from({ length: 4 }, () => main.client.start(sandboxId, { config })));
    expect(starts.map((start) => succeeded(start).started).sort()).toEqual([false, false, false, true]);
    const other = await world.startGateway();
    expect(succeeded(await other.client.start(sandboxId, { config })).started).toBe(false);
    await other.close();
    await logOf(sandboxId);
    expect(await runtimeCount(sandboxId)).toBe(1);
  });

  test("the runtime runs below tini, in a session of its own, and outlives the call", async () => {
    const sandboxId = await createStarted();
    await logOf(sandboxId);
    // Field 6 is the session, which is named after its leader.
    const script = `pid=$(cat /run/openinspect/started.*/pid); cat /proc/$pid/comm; [ "$(cut -d' ' -f6 /proc/$pid/stat)" = $pid ] && echo leader`;
    expect(await world.shell(sandboxId, script)).toBe("tini\nleader\n");
  });

  test("the config is in no argument list, no environment and no file of the sandbox", async () => {
    const sandboxId = await createStarted();
    await logOf(sandboxId);
    // The patterns are split so that the search does not find itself.
    const found = await world.shell(
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
    expect(await main.client.start(sandboxId, { config: other })).toMatchObject({
      ok: false,
      error: { kind: "invalid_request", code: "host_not_allowed" },
    });
    expect(await runtimeCount(sandboxId)).toBe(0);
  });

  test("in a sandbox that has ended it is not found", async () => {
    const sandboxId = await create();
    succeeded(await main.client.terminate(sandboxId));
    expect(await main.client.start(sandboxId, { config })).toMatchObject({ ok: false, error: { kind: "not_found" } });
  });
});

describe("status", () => {
  test("tells how a sandbox ended", async () => {
    const [terminated, timedOut] = [await create(), await create()];
    expect(succeeded(await main.client.status(terminated))).toEqual({ status: "running" });
    succeeded(await main.client.terminate(terminated));
    await world.kill(timedOut, "timeout");
    expect(succeeded(await main.client.status(terminated))).toEqual({ status: "ended", exitCode: 137, reason: "terminated" });
    expect(succeeded(await main.client.status(timedOut))).toEqual({ status: "ended", exitCode: 124, reason: "timeout" });
  });

  test("a sandbox that nobody knows has ended", async () => {
    expect(succeeded(await main.client.status("sb-doesnotexist"))).toEqual({
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
    await world.shell(sandboxId, "echo more >> /run/openinspect/runtime.log");
    expect(succeeded(await main.client.logs(sandboxId, first.nextOffset))).toEqual({
      text: "more\n",
      nextOffset: first.nextOffset + 5,
    });
  });

  test("come in bounded pieces that never split a character", async () => {
    const sandboxId = await create();
    await world.shell(
      sandboxId,
      `mkdir -p /run/openinspect; printf 'x' > /run/openinspect/runtime.log; yes 'üé€' | head -c 600000 >> /run/openinspect/runtime.log`,
    );
    let offset = 0;
    let text = "";
    let calls = 0;
    for (; ; calls++) {
      const piece = succeeded(await main.client.logs(sandboxId, offset));
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

describe("snapshot", () => {
  const request = { timeoutMs: 60_000, ttlMs: null };

  test("a sandbox from it has the files, and the runtime starts in it with a log of its own", async () => {
    const source = await createStarted();
    await logOf(source);
    await world.shell(source, "mkdir -p /workspace && echo kept > /workspace/file");
    const { providerImageId } = succeeded(await main.client.snapshot(source, request));
    const restored = await createStarted(fromImage(providerImageId));
    expect(await world.shell(restored, "cat /workspace/file")).toBe("kept\n");
    expect((await logOf(restored)).text).toBe("the runtime is up for a session – ünïcode\n");
  });

  test("a repetition is the same image, while it runs and after", async () => {
    const sandboxId = await create();
    const images = await world.imageCount();
    const all = await Promise.all([main.client.snapshot(sandboxId, request), main.client.snapshot(sandboxId, request)]);
    const again = await main.client.snapshot(sandboxId, request);
    expect(new Set([...all, again].map((each) => succeeded(each).providerImageId)).size).toBe(1);
    expect(await world.imageCount()).toBe(images + 1);
  });

  test("a gateway that finds the mark of another does not take a second one", async () => {
    const sandboxId = await create();
    succeeded(await main.client.snapshot(sandboxId, request));
    const images = await world.imageCount();
    const other = await world.startGateway();
    expect(await other.client.snapshot(sandboxId, request)).toMatchObject({
      ok: false,
      error: { kind: "permanent", code: "snapshot_ambiguous" },
    });
    await other.close();
    expect(await world.imageCount()).toBe(images);
  });

  test("a long one is joined by repeated calls", async () => {
    const patient = await world.startGateway({ deadlinesMs: { snapshotHold: 300 } });
    const sandboxId = await create(fromBase(), patient.client);
    await world.fault({ method: "TaskSnapshotFilesystem", kind: "latency", ms: 1_200 });
    const images = await world.imageCount();
    succeeded(await patient.client.snapshot(sandboxId, request));
    expect(await world.imageCount()).toBe(images + 1);
    await patient.close();
  });

  test.each([
    ["late", { kind: "hang" }],
    ["lost", { kind: "hang", when: "after" }],
    ["unknown", { kind: "error", code: "DATA_LOSS", when: "after" }],
  ])("an answer that is %s is ambiguous, and no second snapshot is taken", async (_, fault) => {
    const sandboxId = await create();
    await world.fault({ method: "TaskSnapshotFilesystem", ...fault });
    const ambiguous = { ok: false, error: { kind: "permanent", code: "snapshot_ambiguous" } };
    expect(await main.client.snapshot(sandboxId, { timeoutMs: 1_000, ttlMs: null })).toMatchObject(ambiguous);
    const images = await world.imageCount();
    expect(await main.client.snapshot(sandboxId, request)).toMatchObject(ambiguous);
    expect(await world.imageCount()).toBe(images);
  });

  test("a plain no can be tried again", async () => {
    const sandboxId = await create();
    await world.fault({ method: "TaskSnapshotFilesystem", kind: "error", code: "RESOURCE_EXHAUSTED" });
    expect(await main.client.snapshot(sandboxId, request)).toMatchObject({
      ok: false,
      error: { kind: "transient", code: "provider_busy" },
    });
    succeeded(await main.client.snapshot(sandboxId, request));
  });

  test("of an ended sandbox it is not found", async () => {
    const sandboxId = await create();
    succeeded(await main.client.terminate(sandboxId));
    expect(await main.client.snapshot(sandboxId, request)).toMatchObject({ ok: false, error: { kind: "not_found" } });
  });
});

describe("terminate, list, delete", () => {
  test("terminating is repeatable, also for what nobody knows", async () => {
    const sandboxId = await create();
    for (const id of [sandboxId, sandboxId, "sb-doesnotexist"])
      expect(await main.client.terminate(id)).toMatchObject({ ok: true });
  });

  test("the list holds the running sandboxes that carry all the tags, with all their tags", async () => {
    const tags = { kind: "build", buildId: `b${Date.now()}` };
    const ids = [
      await create(fromBase({ ...tags, n: "1" })),
      await create(fromBase({ ...tags, n: "2" })),
      await create(fromBase({ kind: "build" })),
    ];
    succeeded(await main.client.terminate(await create(fromBase(tags))));
    const { sandboxes } = succeeded(await main.client.list(tags));
    const byNumber = sandboxes.sort((a, b) => (a.tags.n ?? "").localeCompare(b.tags.n ?? ""));
    expect(byNumber).toEqual([
      { sandboxId: ids[0], tags: { ...tags, n: "1" } },
      { sandboxId: ids[1], tags: { ...tags, n: "2" } },
    ]);
  });

  test("a list without a tag is refused: it would be everybody's", async () => {
    expect(await main.client.list({})).toMatchObject({ ok: false, error: { kind: "invalid_request", code: "tags_missing" } });
  });

  test("a deleted image starts nothing any more, and deleting is repeatable", async () => {
    const { providerImageId } = succeeded(await main.client.snapshot(await create(), { timeoutMs: 60_000, ttlMs: null }));
    const other = await world.startGateway();
    await create(fromImage(providerImageId), other.client);
    for (let time = 0; time < 2; time++) expect(await main.client.deleteImage(providerImageId)).toMatchObject({ ok: true });
    const missing = { ok: false, error: { kind: "not_found", code: "image_missing" } };
    expect(await main.client.create(freshName(), fromImage(providerImageId))).toMatchObject(missing);
    // the other gateway still remembers the image
    expect(await other.client.create(freshName(), fromImage(providerImageId))).toMatchObject(missing);
    await other.close();
  });

  test("the base image cannot be deleted", async () => {
    const { base } = succeeded(await main.client.health());
    expect(await main.client.deleteImage(base.providerImageId ?? "")).toMatchObject({
      ok: false,
      error: { kind: "invalid_request", code: "base_image_in_use" },
    });
  });
});

describe("who may ask", () => {
  const send = (init: RequestInit & { path?: string }) => fetch(`${main.server.url}${init.path ?? "/v1/health"}`, init);
  const signedHeaders = async (method: string, target: string, body = "", random = crypto.getRandomValues(new Uint8Array(16))) =>
    sign(await importSigningKey(secret), { method, target, body: new TextEncoder().encode(body) }, Date.now(), random);

  test("an unsigned request is refused before its body is read", async () => {
    const answer = await send({ method: "PUT", path: "/v1/sandboxes/x", body: "{}" });
    expect([answer.status, await answer.json()]).toEqual([401, { error: expect.objectContaining({ kind: "unauthorized" }) }]);
  });

  test("a wrong secret is refused", async () => {
    const stranger = createGatewayClient({ baseUrl: main.server.url, secret: "another-secret-altogether" });
    expect(await stranger.health()).toMatchObject({ ok: false, error: { kind: "unauthorized", code: "gateway_unauthorized" } });
  });

  test("a signature of one path does not open another", async () => {
    const answer = await send({ headers: await signedHeaders("GET", "/v1/health"), path: "/v1/sandboxes/sb-1" });
    expect(answer.status).toBe(401);
  });

  test("a request that was seen before is refused", async () => {
    const headers = await signedHeaders("GET", "/v1/health");
    expect([(await send({ headers })).status, (await send({ headers })).status]).toEqual([200, 401]);
  });

  test("a clock that is far off is refused and told so", async () => {
    const late = createGatewayClient({ baseUrl: main.server.url, secret, now: () => Date.now() - 10 * 60_000 });
    expect(await late.health()).toMatchObject({
      ok: false,
      error: { kind: "unauthorized", hint: expect.stringContaining("clocks") },
    });
  });

  test("a body above 1 MiB is refused", async () => {
    const body = JSON.stringify({ big: "x".repeat(1024 * 1024) });
    const headers = await signedHeaders("PUT", "/v1/sandboxes/x", body);
    const answer = await send({ method: "PUT", path: "/v1/sandboxes/x", headers, body });
    expect(answer.status).toBe(413);
  });

  test("a request of another shape is refused without repeating what was in it", async () => {
    const body = JSON.stringify({ config: { ...config, branch: 7, bridgeToken: "secret-but-short" } });
    const answer = await send({
      method: "POST",
      path: "/v1/sandboxes/sb-1/start",
      headers: await signedHeaders("POST", "/v1/sandboxes/sb-1/start", body),
      body,
    });
    const text = await answer.text();
    expect(answer.status).toBe(400);
    expect(text).toContain("config.branch");
    expect(text).not.toContain("secret-but-short");
  });

  test("an unknown call is refused in the same form", async () => {
    const answer = await send({ path: "/v2/health", headers: await signedHeaders("GET", "/v2/health") });
    expect([answer.status, await answer.json()]).toEqual([400, { error: expect.objectContaining({ code: "no_such_route" }) }]);
  });
});

describe("when Modal fails", () => {
  const persistent = 8; // above what the SDK repeats by itself

  test.each([
    ["UNAVAILABLE", "transient", "provider_unavailable"],
    ["INTERNAL", "transient", "provider_error"],
    ["RESOURCE_EXHAUSTED", "transient", "provider_busy"],
    ["INVALID_ARGUMENT", "permanent", "provider_rejected"],
    ["PERMISSION_DENIED", "unauthorized", "provider_unauthorized"],
  ])("a create that ends with %s is %s", async (code, kind, expected) => {
    await world.fault({ method: "SandboxCreateV2", kind: "error", code, times: persistent });
    expect(await main.client.create(freshName(), fromBase())).toMatchObject({ ok: false, error: { kind, code: expected } });
    await world.clearFaults();
  });

  test("a single hiccup is not even noticed", async () => {
    await world.fault({ method: "SandboxCreateV2", kind: "error", code: "UNAVAILABLE" });
    await create();
  });

  test("a call that never answers ends at its deadline, and its repetition finds what it made", async () => {
    const hurried = await world.startGateway({ deadlinesMs: { unary: 1_000, exec: 2_000 } });
    await eventually(async () => hurried.gateway.health().base.ready);
    const name = freshName();
    await world.fault({ method: "SandboxCreateV2", kind: "hang", when: "after" });
    expect(await hurried.client.create(name, fromBase())).toMatchObject({
      ok: false,
      error: { kind: "transient", code: "provider_timeout" },
    });
    const adopted = succeeded(await hurried.client.create(name, fromBase()));
    expect(adopted.created).toBe(false);

    await world.fault({ method: "SandboxWaitV2", kind: "hang" });
    expect(await hurried.client.status(adopted.sandboxId)).toMatchObject({ ok: false, error: { code: "provider_timeout" } });

    await world.fault({ method: "TaskExecWait", kind: "hang" });
    expect(await hurried.client.start(adopted.sandboxId, { config })).toMatchObject({
      ok: false,
      error: { kind: "transient", code: "provider_timeout" },
    });
    expect(succeeded(await hurried.client.start(adopted.sandboxId, { config })).started).toBe(false);

    await world.fault({ method: "TaskExecStdioRead", kind: "hang" });
    expect(await hurried.client.logs(adopted.sandboxId, 0)).toMatchObject({
      ok: false,
      error: { kind: "transient", code: "provider_timeout" },
    });
    await world.clearFaults();
    await hurried.close();
  });
});

describe("the base image", () => {
  test("that cannot be built is told at once, with the cause", async () => {
    const broken = await world.startGateway({ base: { kind: "registry", tag: "no/such-image" } });
    expect(await broken.client.create(freshName(), fromBase())).toMatchObject({
      ok: false,
      error: { kind: "permanent", code: "base_image_failed", message: expect.stringContaining("no/such-image") },
    });
    expect(broken.gateway.health().base).toEqual({ name: "registry:no/such-image", ready: false, providerImageId: null });
    await broken.close();
  });

  test("that is not there yet lets create wait a bounded while, then come again", async () => {
    await world.fault({ method: "ImageGetOrCreate", kind: "latency", ms: 1_500 });
    const waiting = await world.startGateway({ deadlinesMs: { baseImage: 300 } });
    const name = freshName();
    expect(await waiting.client.create(name, fromBase())).toMatchObject({
      ok: false,
      error: { kind: "transient", code: "base_not_ready" },
    });
    await eventually(async () => (await waiting.client.create(name, fromBase())).ok);
    await waiting.close();
  });

  test("that Modal has lost is built again", async () => {
    const { base } = main.gateway.health();
    await world.modal.images.delete(base.providerImageId ?? "");
    expect(await main.client.create(freshName(), fromBase())).toMatchObject({
      ok: false,
      error: { kind: "transient", code: "base_not_ready" },
    });
    const sandboxId = await create();
    expect(await world.shell(sandboxId, "sha256sum < /opt/openinspect/runtime.mjs")).toContain(bundle.sha256);
  });

  test("is built again after a failure of Modal", async () => {
    await world.fault({ method: "ImageGetOrCreate", kind: "error", code: "UNAVAILABLE", times: 4 });
    const retrying = await world.startGateway();
    await create(fromBase(), retrying.client);
    await retrying.close();
  });
});

test("no log line of all this holds a secret or a config", () => {
  expect(world.logLines.length).toBeGreaterThan(50);
  for (const line of world.logLines) {
    expect(Object.keys(JSON.parse(line))).toEqual(expect.arrayContaining(["at", "level", "event"]));
    for (const hidden of [secret, bridgeToken, modelToken, "secret-but-short"]) expect(line).not.toContain(hidden);
  }
});
