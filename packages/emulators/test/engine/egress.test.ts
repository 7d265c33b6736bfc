import { createServer as createHttpServer, type Server } from "node:http";
import { type AddressInfo, createServer } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hasNamespaces, ok, openEngine, openNetwork, shell, type TestEngine } from "./harness.ts";

const listening = (server: { listen(port: number, host: string, done: () => void): unknown; address(): unknown }) =>
  new Promise<number>((resolve) => server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port)));

// The internet of these tests is a loopback port that the operator allowed: what is tested is the way there.
describe.skipIf(!hasNamespaces)("egress through the proxy", () => {
  let test: TestEngine;
  let web: Server;
  let port: number;
  const echo = createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket));
  let echoPort: number;
  const requests: { method: string | undefined; url: string | undefined; body: string; headers: Record<string, unknown> }[] = [];
  beforeAll(async () => {
    web = createHttpServer(async (request, answer) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk);
      requests.push({
        method: request.method,
        url: request.url,
        body: Buffer.concat(chunks).toString(),
        headers: request.headers,
      });
      answer.writeHead(201, { "x-answer": "yes" }).end(`answer to ${request.url}`);
    });
    port = await listening(web);
    echoPort = await listening(echo);
    test = await openEngine({ privateEgressCidrs: ["127.0.0.1/32"] });
  });
  afterAll(async () => {
    await test.close();
    web.close();
    echo.close();
  });

  it("the base environment points every client at the proxy, and nowhere when the network is blocked", async () => {
    const open = await test.guest({ network: openNetwork });
    const env = await ok(open, "env");
    for (const name of ["HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"])
      expect(env).toContain(`${name}=http://127.0.0.1:3128\n`);
    expect(env).toContain("NO_PROXY=127.0.0.1,localhost\n");
    expect(env).toContain("NODE_USE_ENV_PROXY=1\n");
    const closed = await test.guest();
    expect(await ok(closed, "env")).not.toContain("PROXY");
    expect((await shell(closed, "curl -sS -m 2 -x http://127.0.0.1:3128 http://localhost/")).code).not.toBe(0);
    await Promise.all([open.kill(), closed.kill()]);
  });

  it("plain requests arrive whole: method, path, headers, body, answer", async () => {
    const guest = await test.guest({ network: openNetwork });
    requests.length = 0;
    const printed = await ok(
      guest,
      `curl -sS -m 10 --noproxy '' -x http://127.0.0.1:3128 -i -X PUT -H 'x-own: 1' --data-binary body 'http://127.0.0.1:${port}/a/b?c=d'`,
    );
    expect(printed).toContain("201");
    expect(printed).toContain("x-answer: yes");
    expect(printed).toContain("answer to /a/b?c=d");
    expect(requests).toMatchObject([
      { method: "PUT", url: "/a/b?c=d", body: "body", headers: { "x-own": "1", host: `127.0.0.1:${port}` } },
    ]);
    expect(requests[0]?.headers).not.toHaveProperty("proxy-connection");
    await guest.kill();
  });

  it("a tunnel carries bytes both ways and keeps half-closes", async () => {
    const guest = await test.guest({ network: openNetwork });
    const script = `
const net = require("net");
const s = net.connect(3128, "127.0.0.1", () => s.write("CONNECT 127.0.0.1:${echoPort} HTTP/1.1\\r\\n\\r\\n"));
let head = "", got = 0, through = false;
s.on("data", (d) => {
  if (!through) { head += d.toString("latin1"); if (!head.includes("\\r\\n\\r\\n")) return; through = true; console.log(head.split("\\r\\n")[0]); s.end(Buffer.alloc(3000000)); }
  else got += d.length;
});
s.on("end", () => console.log(got));`;
    expect(await ok(guest, `node -e '${script}'`)).toBe("HTTP/1.1 200 Connection established\n3000000\n");
    await guest.kill();
  });

  it("names that are not on the list are refused with 403 and a sentence, and logged", async () => {
    const guest = await test.guest({ network: { ...openNetwork, outboundDomainAllowlist: ["localhost"] } });
    expect(await ok(guest, `curl -sS -m 10 --noproxy '' -x http://127.0.0.1:3128 http://localhost:${port}/yes`)).toBe(
      "answer to /yes",
    );
    expect(
      await ok(guest, `curl -sS -m 10 --noproxy '' -w '%{http_code}' -x http://127.0.0.1:3128 http://127.0.0.1:${port}/no`),
    ).toMatch(/may reach\n403$/);
    const { code, stderr } = await shell(guest, "curl -sS -m 10 https://example.com/");
    expect(code).not.toBe(0);
    expect(stderr).toContain("403");
    expect(test.log.some((line) => line.includes("egress to example.com:443 refused"))).toBe(true);
    await guest.kill();
  });

  it("a CIDR list lets its addresses through under any name", async () => {
    const yes = await test.guest({ network: { ...openNetwork, outboundCidrAllowlist: ["127.0.0.0/8"] } });
    expect(await ok(yes, `curl -sS -m 10 --noproxy '' -x http://127.0.0.1:3128 http://localhost:${port}/cidr`)).toBe(
      "answer to /cidr",
    );
    const no = await test.guest({ network: { ...openNetwork, outboundCidrAllowlist: ["203.0.113.0/24"] } });
    expect(
      await ok(
        no,
        `curl -sS -m 10 --noproxy '' -w '%{http_code}' -o /dev/null -x http://127.0.0.1:3128 http://localhost:${port}/`,
      ),
    ).toBe("403");
    await Promise.all([yes.kill(), no.kill()]);
  });

  it("a host that does not answer or does not exist is a 502, and nonsense a 400", async () => {
    const guest = await test.guest({ network: openNetwork });
    const status = (url: string) =>
      ok(guest, `curl -sS -m 10 --noproxy '' -o /dev/null -w '%{http_code}' -x http://127.0.0.1:3128 ${url}`);
    expect(await status("http://127.0.0.1:1/")).toBe("502");
    expect(await status("http://does-not-exist.invalid/")).toBe("502");
    expect(await ok(guest, "curl -sS -m 10 -o /dev/null -w '%{http_code}' http://127.0.0.1:3128/path")).toBe("400");
    await guest.kill();
  });
});
