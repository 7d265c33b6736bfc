/** Who may ask the gateway, and what it answers when Modal fails or the base image is not there. */
import { describe, expect, test } from "vitest";
import { createGatewayClient } from "../src/client.ts";
import { importSigningKey, sign } from "../src/signing.ts";
import { config, freshName, fromBase, secret } from "./requests.ts";
import { useWorld } from "./use-world.ts";
import { bundle, eventually, succeeded } from "./world.ts";

const t = useWorld();
const { create } = t;

describe("who may ask", () => {
  const send = (init: RequestInit & { path?: string }) => fetch(`${t.main.server.url}${init.path ?? "/v1/health"}`, init);
  const signedHeaders = async (method: string, target: string, body = "", random = crypto.getRandomValues(new Uint8Array(16))) =>
    sign(await importSigningKey(secret), { method, target, body: new TextEncoder().encode(body) }, Date.now(), random);

  test("an unsigned request is refused before its body is read", async () => {
    const answer = await send({ method: "PUT", path: "/v1/sandboxes/x", body: "{}" });
    expect([answer.status, await answer.json()]).toEqual([401, { error: expect.objectContaining({ kind: "unauthorized" }) }]);
  });

  test("a wrong secret is refused", async () => {
    const stranger = createGatewayClient({ baseUrl: t.main.server.url, secret: "another-secret-altogether" });
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
    const late = createGatewayClient({ baseUrl: t.main.server.url, secret, now: () => Date.now() - 10 * 60_000 });
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
    await t.world.fault({ method: "SandboxCreateV2", kind: "error", code, times: persistent });
    expect(await t.main.client.create(freshName(), fromBase())).toMatchObject({ ok: false, error: { kind, code: expected } });
    await t.world.clearFaults();
  });

  test("a single hiccup is not even noticed", async () => {
    await t.world.fault({ method: "SandboxCreateV2", kind: "error", code: "UNAVAILABLE" });
    await create();
  });

  test("a call that never answers ends at its deadline, and its repetition finds what it made", async () => {
    const hurried = await t.world.startGateway({ deadlinesMs: { unary: 1_000, exec: 2_000 } });
    await eventually(async () => hurried.gateway.health().base.ready);
    const name = freshName();
    await t.world.fault({ method: "SandboxCreateV2", kind: "hang", when: "after" });
    expect(await hurried.client.create(name, fromBase())).toMatchObject({
      ok: false,
      error: { kind: "transient", code: "provider_timeout" },
    });
    const adopted = succeeded(await hurried.client.create(name, fromBase()));
    expect(adopted.created).toBe(false);

    await t.world.fault({ method: "SandboxWaitV2", kind: "hang" });
    expect(await hurried.client.status(adopted.sandboxId)).toMatchObject({ ok: false, error: { code: "provider_timeout" } });

    await t.world.fault({ method: "TaskExecWait", kind: "hang" });
    expect(await hurried.client.start(adopted.sandboxId, { config })).toMatchObject({
      ok: false,
      error: { kind: "transient", code: "provider_timeout" },
    });
    expect(succeeded(await hurried.client.start(adopted.sandboxId, { config })).started).toBe(false);

    await t.world.fault({ method: "TaskExecStdioRead", kind: "hang" });
    expect(await hurried.client.logs(adopted.sandboxId, 0)).toMatchObject({
      ok: false,
      error: { kind: "transient", code: "provider_timeout" },
    });
    await t.world.clearFaults();
    await hurried.close();
  });
});

describe("the base image", () => {
  test("that cannot be built is told at once, with the cause", async () => {
    const broken = await t.world.startGateway({ base: { kind: "registry", tag: "no/such-image" } });
    expect(await broken.client.create(freshName(), fromBase())).toMatchObject({
      ok: false,
      error: { kind: "permanent", code: "base_image_failed", message: expect.stringContaining("no/such-image") },
    });
    expect(broken.gateway.health().base).toEqual({ name: "registry:no/such-image", ready: false, providerImageId: null });
    await broken.close();
  });

  test("that is not there yet lets create wait a bounded while, then come again", async () => {
    await t.world.fault({ method: "ImageGetOrCreate", kind: "latency", ms: 1_500 });
    const waiting = await t.world.startGateway({ deadlinesMs: { baseImage: 300 } });
    const name = freshName();
    expect(await waiting.client.create(name, fromBase())).toMatchObject({
      ok: false,
      error: { kind: "transient", code: "base_not_ready" },
    });
    await eventually(async () => (await waiting.client.create(name, fromBase())).ok);
    await waiting.close();
  });

  test("that create waited for is told as a part of how long it took", async () => {
    await t.world.fault({ method: "ImageGetOrCreate", kind: "latency", ms: 700 });
    const waiting = await t.world.startGateway();
    const first = succeeded(await waiting.client.create(freshName(), fromBase()));
    expect(first.baseWaitMs).toBeGreaterThan(400);
    expect(first.baseWaitMs).toBeLessThan(first.durationMs);
    expect(succeeded(await waiting.client.create(freshName(), fromBase())).baseWaitMs).toBe(0);
    await waiting.close();
  });

  test("that Modal has lost is built again", async () => {
    const { base } = t.main.gateway.health();
    await t.world.modal.images.delete(base.providerImageId ?? "");
    expect(await t.main.client.create(freshName(), fromBase())).toMatchObject({
      ok: false,
      error: { kind: "transient", code: "base_not_ready" },
    });
    const sandboxId = await create();
    expect(await t.world.shell(sandboxId, "sha256sum < /opt/openinspect/runtime.mjs")).toContain(bundle.sha256);
  });

  test("is built again after a failure of Modal", async () => {
    await t.world.fault({ method: "ImageGetOrCreate", kind: "error", code: "UNAVAILABLE", times: 4 });
    const retrying = await t.world.startGateway();
    await create(fromBase(), retrying.client);
    await retrying.close();
  });
});

test("no log line of all this holds a secret or a config", () => t.expectCleanLog());
