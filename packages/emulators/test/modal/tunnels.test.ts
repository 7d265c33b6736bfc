import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect as connectHttp2 } from "node:http2";
import { request } from "node:https";
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { connect as connectTls } from "node:tls";
import { type App, type ModalClient, type Sandbox } from "modal";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { baseTag, type Harness, startHarness } from "./harness.ts";

let harness: Harness;
let client: ModalClient;
let app: App;
let sandbox: Sandbox;

/** 8001 speaks HTTP, 8002 HTTP/2 without TLS, 8003 echoes; the last two lines say that they listen. */
const server = `
const http = require("http"), http2 = require("http2"), net = require("net");
http.createServer((q, a) => { a.setHeader("x-path", q.url); q.pipe(a); }).listen(8001, "127.0.0.1", up);
http2.createServer((q, a) => a.end("over " + q.httpVersion)).listen(8002, "127.0.0.1", up);
net.createServer((s) => s.pipe(s)).listen(8003, "127.0.0.1", up);
let left = 3; function up() { if (--left === 0) console.log("up"); }`;

beforeAll(async () => {
  harness = await startHarness();
  client = harness.connect();
  app = await client.apps.fromName("tunnels", { createIfMissing: true });
  sandbox = await client.sandboxes.create(app, client.images.fromRegistry(baseTag), {
    encryptedPorts: [8001],
    h2Ports: [8002],
    unencryptedPorts: [8003],
  });
  const process = await sandbox.exec(["node", "-e", server]);
  expect((await process.stdout.getReader().read()).value).toContain("up");
});
afterAll(() => harness.stop());

const tunnelTo = async (port: number) => {
  const tunnel = (await sandbox.tunnels())[port];
  if (!tunnel) throw new Error(`no tunnel to ${port}`);
  return tunnel;
};
const ca = () => readFileSync(harness.emulator.tunnelCaFile, "utf8");

describe("tunnels", () => {
  it("answer HTTPS at the URL that the SDK gives, for whoever trusts the emulator's certificate", async () => {
    const { url } = await tunnelTo(8001);
    expect(url).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/);
    const body = "x".repeat(300_000);
    const asked = request(`${url}/some/path`, { method: "POST", ca: ca(), agent: false }).end(body);
    const [answer] = await once(asked, "response");
    expect([answer.statusCode, answer.headers["x-path"], await text(answer)]).toEqual([200, "/some/path", body]);
  });

  it("are refused by a client that does not trust the certificate, and by one that speaks plain text", async () => {
    const { url, port } = await tunnelTo(8001);
    await expect(fetch(url)).rejects.toMatchObject({ cause: { code: "DEPTH_ZERO_SELF_SIGNED_CERT" } });
    const plain = connect(port, "127.0.0.1", () => plain.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
    expect(await text(plain).catch(() => "")).not.toContain("HTTP/1.1 200");
  });

  it("show the certificate, and no key, at the admin port", async () => {
    const shown = z
      .strictObject({ pem: z.string(), file: z.string(), fingerprint256: z.string() })
      .parse(await (await fetch(`${harness.emulator.adminUrl}/tunnel-ca`)).json());
    expect(shown).toMatchObject({ pem: ca(), file: harness.emulator.tunnelCaFile });
    const { port } = await tunnelTo(8001);
    const socket = connectTls({ port, host: "127.0.0.1", ca: shown.pem });
    await once(socket, "secureConnect");
    expect(socket.getPeerX509Certificate()?.fingerprint256).toBe(shown.fingerprint256);
    socket.destroy();
  });

  it("speak HTTP/2 on the ports that were asked for so", async () => {
    const session = connectHttp2((await tunnelTo(8002)).url, { ca: ca() });
    const stream = session.request({ ":path": "/" });
    expect(await text(stream)).toBe("over 2.0");
    session.close();
  });

  it("stay plain on unencrypted ports", async () => {
    const [host, port] = (await tunnelTo(8003)).tcpSocket;
    const socket = connect(port, host, () => socket.end("through"));
    expect(await text(socket)).toBe("through");
  });

  it("close with their sandbox, also for a connection that never shook hands", async () => {
    const other = await client.sandboxes.create(app, client.images.fromRegistry(baseTag), { encryptedPorts: [8001] });
    const tunnel = (await other.tunnels())[8001];
    const silent = connect(tunnel?.port ?? 0, "127.0.0.1");
    silent.on("error", () => {});
    await once(silent, "connect");
    const closed = once(silent, "close");
    await other.terminate();
    await closed;
    await expect(fetch(tunnel?.url ?? "")).rejects.toMatchObject({ cause: { code: "ECONNREFUSED" } });
  });
});
