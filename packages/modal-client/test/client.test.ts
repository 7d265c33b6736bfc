/** The control plane's client signs what it sends, waits no longer than it may, and says what every answer means. */
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { type AddressInfo } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { createGatewayClient } from "../src/client.ts";
import { createNonceCache, importSigningKey, verify } from "../src/signing.ts";

const secret = "a-secret-of-some-length";
const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

type Answer = (request: IncomingMessage, response: ServerResponse, body: Buffer) => unknown;
async function serve(answer: Answer): Promise<string> {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => void answer(request, response, Buffer.concat(chunks)));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closers.push(
    () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  );
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
const answering = (status: number, content: unknown) =>
  serve((_, response) =>
    response
      .writeHead(status, { "content-type": "application/json" })
      .end(typeof content === "string" ? content : JSON.stringify(content)),
  );
const clientOf = (baseUrl: string) => createGatewayClient({ baseUrl, secret });
const running = { status: "running" };

test("client and signing import nothing of Node: they run in workerd", () => {
  for (const name of ["client.ts", "signing.ts"]) {
    const source = readFileSync(new URL(`../src/${name}`, import.meta.url), "utf8");
    const imported = [...source.matchAll(/from "([^"]+)"/g)].map((match) => match[1]);
    for (const specifier of imported) expect(["@open-inspect/protocol", "zod", "./signing.ts"]).toContain(specifier);
    expect(source).not.toMatch(/\b(process|Buffer|require)\b[.(]/);
  }
});

describe("what is sent", () => {
  test("every call goes to its path with a signature that the gateway accepts", async () => {
    const seen: string[] = [];
    const nonces = createNonceCache();
    const baseUrl = await serve(async (request, response, body) => {
      const parts = { method: request.method ?? "", target: request.url ?? "", body: new Uint8Array(body) };
      const header = (name: string) => request.headers[name]?.toString();
      const verdict = await verify(await importSigningKey(secret), parts, header, Date.now(), nonces);
      seen.push(`${request.method} ${request.url} ${body.toString()} ${verdict.valid}`);
      response.end("{}");
    });
    const client = clientOf(`${baseUrl}/`);
    const request = { source: { kind: "base" as const }, tags: { kind: "build" }, cpu: 1, memoryMiB: 512, timeoutMs: 60_000 };
    await client.health();
    await client.create("build.1", request);
    await client.status("sb-1");
    await client.logs("sb-1", 17);
    await client.snapshot("sb-1", { timeoutMs: 1_000, ttlMs: null });
    await client.terminate("sb-1");
    await client.list({ kind: "build", "a b": "c&d=ü" });
    await client.deleteImage("im-1");
    expect(seen).toEqual([
      "GET /v1/health  true",
      `PUT /v1/sandboxes/build.1 ${JSON.stringify(request)} true`,
      "GET /v1/sandboxes/sb-1  true",
      "GET /v1/sandboxes/sb-1/logs?offset=17  true",
      'POST /v1/sandboxes/sb-1/snapshot {"timeoutMs":1000,"ttlMs":null} true',
      "POST /v1/sandboxes/sb-1/terminate {} true",
      "GET /v1/sandboxes?tag.kind=build&tag.a+b=c%26d%3D%C3%BC  true",
      "DELETE /v1/images/im-1  true",
    ]);
  });

  test("a gateway below a path is reached and signed with that path", async () => {
    let target = "";
    const baseUrl = await serve((request, response) => {
      target = request.url ?? "";
      response.end(JSON.stringify(running));
    });
    expect(await clientOf(`${baseUrl}/gateway`).status("sb-1")).toEqual({ ok: true, value: running });
    expect(target).toBe("/gateway/v1/sandboxes/sb-1");
  });

  test("a redirect is not followed: the proof would go to a stranger", async () => {
    let asked = 0;
    const other = await serve((_, response) => {
      asked++;
      response.end(JSON.stringify(running));
    });
    const baseUrl = await serve((_, response) => response.writeHead(307, { location: other }).end());
    expect(await clientOf(baseUrl).status("sb-1")).toMatchObject({ ok: false, error: { kind: "permanent" } });
    expect(asked).toBe(0);
  });
});

describe("what an answer means", () => {
  test("the gateway's own failure is passed on as it is", async () => {
    const error = { kind: "not_found", code: "image_missing", message: "m", hint: "h" };
    expect(await clientOf(await answering(404, { error })).status("sb-1")).toEqual({ ok: false, error });
  });

  test.each([
    [500, "transient", "gateway_unavailable"],
    [502, "transient", "gateway_unavailable"],
    [503, "transient", "gateway_unavailable"],
    [524, "transient", "gateway_unavailable"],
    [429, "transient", "gateway_unavailable"],
    [408, "transient", "gateway_unavailable"],
    [401, "unauthorized", "gateway_unauthorized"],
    [403, "unauthorized", "gateway_unauthorized"],
    [404, "permanent", "gateway_unexpected_status"],
    [400, "permanent", "gateway_unexpected_status"],
  ])("HTTP %i from something in between is %s", async (status, kind, code) => {
    const result = await clientOf(await answering(status, "<html>not the gateway</html>")).status("sb-1");
    expect(result).toMatchObject({ ok: false, error: { kind, code } });
  });

  test("an answer of another shape is permanent: a repetition would look the same", async () => {
    expect(await clientOf(await answering(200, { status: "flying" })).status("sb-1")).toMatchObject({
      ok: false,
      error: { kind: "permanent", code: "gateway_bad_answer" },
    });
  });

  test("an endless answer is cut off", async () => {
    const baseUrl = await serve((_, response) => {
      const chunk = "x".repeat(64 * 1024);
      const more = () => {
        while (!response.destroyed && response.write(chunk));
      };
      response.on("drain", more);
      more();
    });
    expect(await clientOf(baseUrl).status("sb-1")).toMatchObject({
      ok: false,
      error: { kind: "transient", code: "gateway_unreachable" },
    });
  });
});

describe("a wait has an end", () => {
  test("a gateway that never answers is a timeout", async () => {
    const baseUrl = await serve(() => {});
    expect(await clientOf(baseUrl).status("sb-1", { deadlineMs: 50 })).toMatchObject({
      ok: false,
      error: { kind: "transient", code: "gateway_timeout" },
    });
  });

  test("so is one that stops in the middle of its answer", async () => {
    const baseUrl = await serve((_, response) => response.writeHead(200).write('{"status":'));
    expect(await clientOf(baseUrl).status("sb-1", { deadlineMs: 100 })).toMatchObject({
      ok: false,
      error: { code: "gateway_timeout" },
    });
  });

  test("the caller can end a call", async () => {
    const baseUrl = await serve(() => {});
    const caller = new AbortController();
    setTimeout(() => caller.abort(), 30);
    expect(await clientOf(baseUrl).status("sb-1", { signal: caller.signal })).toMatchObject({
      ok: false,
      error: { kind: "transient", code: "gateway_call_cancelled" },
    });
  });

  test("a port where nobody listens and a connection that is cut are transient", async () => {
    expect(await clientOf("http://127.0.0.1:1").status("sb-1")).toMatchObject({
      ok: false,
      error: { kind: "transient", code: "gateway_unreachable" },
    });
    const baseUrl = await serve((request) => request.socket.destroy());
    expect(await clientOf(baseUrl).status("sb-1")).toMatchObject({
      ok: false,
      error: { kind: "transient", code: "gateway_unreachable" },
    });
  });
});

describe("a long snapshot", () => {
  const inProgress = { error: { kind: "transient", code: "snapshot_in_progress", message: "m", hint: "h" } };

  test("is joined again until it is there", async () => {
    let asked = 0;
    const baseUrl = await serve((_, response) => {
      asked++;
      if (asked < 3) response.writeHead(503).end(JSON.stringify(inProgress));
      else response.end(JSON.stringify({ providerImageId: "im-1", durationMs: 5 }));
    });
    expect(await clientOf(baseUrl).snapshot("sb-1", { timeoutMs: 60_000, ttlMs: null })).toMatchObject({ ok: true });
    expect(asked).toBe(3);
  });

  test("is joined no longer than the call may take", async () => {
    const baseUrl = await answering(503, inProgress);
    const result = await clientOf(baseUrl).snapshot("sb-1", { timeoutMs: 60_000, ttlMs: null }, { deadlineMs: 700 });
    expect(result).toMatchObject({ ok: false, error: { kind: "transient" } });
  });
});
