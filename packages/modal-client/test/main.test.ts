/** The gateway as a process: its settings, its one line, and its end. */
import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, test } from "vitest";
import { createGatewayClient } from "../src/client.ts";
import { readGatewayConfig } from "../src/gateway/config.ts";

const secret = "a-secret-of-some-length";
const needed = { MODAL_API_SECRET: secret, ALLOWED_CONTROL_PLANE_HOSTS: "127.0.0.1:8787" };

describe("the settings", () => {
  test("have defaults for all but the secret and the allowed hosts", () => {
    expect(readGatewayConfig(needed)).toEqual({
      host: "127.0.0.1",
      port: 8787,
      base: { kind: "debian" },
      secret,
      appName: "open-inspect",
      allowedHosts: ["127.0.0.1:8787"],
    });
  });

  test.each([
    ["debian", { kind: "debian" }],
    ["debian-packages", { kind: "debian-packages" }],
    ["registry:local/host-toolchain", { kind: "registry", tag: "local/host-toolchain" }],
  ])("GATEWAY_BASE=%s", (value, base) => {
    expect(readGatewayConfig({ ...needed, GATEWAY_BASE: value }).base).toEqual(base);
  });

  test("allowed hosts are a list, read without regard to case and blanks", () => {
    const { allowedHosts } = readGatewayConfig({
      ...needed,
      ALLOWED_CONTROL_PLANE_HOSTS: " A.example , b.example:8443,[::1]:1,",
    });
    expect(allowedHosts).toEqual(["a.example", "b.example:8443", "[::1]:1"]);
  });

  test.each([
    ["MODAL_API_SECRET", undefined],
    ["MODAL_API_SECRET", "short"],
    ["ALLOWED_CONTROL_PLANE_HOSTS", undefined],
    ["ALLOWED_CONTROL_PLANE_HOSTS", " , "],
    ["ALLOWED_CONTROL_PLANE_HOSTS", "https://a.example/"],
    ["GATEWAY_BASE", "ubuntu"],
    ["GATEWAY_BASE", "registry:"],
    ["GATEWAY_PORT", "99999"],
    ["MODAL_APP_NAME", "two words"],
  ])("%s=%s is refused by name, without its value", (name, value) => {
    const read = () => readGatewayConfig({ ...needed, [name]: value });
    expect(read).toThrow(name);
    if (value === "short") expect(read).not.toThrow(value);
  });
});

describe("the process", () => {
  const children: ChildProcess[] = [];
  afterEach(() => {
    for (const child of children.splice(0)) if (child.exitCode === null) child.kill("SIGKILL");
  });

  function start(env: Record<string, string>) {
    const file = fileURLToPath(new URL("../src/gateway/main.ts", import.meta.url));
    const child = spawn(process.execPath, [file], {
      env: { PATH: process.env.PATH ?? "", HOME: "/nonexistent", ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    children.push(child);
    const output = { stdout: "", stderr: "" };
    child.stdout.on("data", (chunk) => (output.stdout += chunk));
    child.stderr.on("data", (chunk) => (output.stderr += chunk));
    const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
    const listening = new Promise<string>((resolve, reject) => {
      child.stdout.on("data", () => output.stdout.includes("\n") && resolve(JSON.parse(output.stdout).gateway));
      child.on("close", () => reject(new Error(output.stderr)));
    });
    listening.catch(() => {});
    return { child, output, ended, listening };
  }
  // Nobody listens there: the gateway must serve all the same and go on trying.
  const noModal = {
    MODAL_SERVER_URL: "http://127.0.0.1:1",
    MODAL_TOKEN_ID: "ak-x",
    MODAL_TOKEN_SECRET: "as-x",
    GATEWAY_PORT: "0",
  };

  test("prints one line with its URL, answers while Modal is away, and ends on SIGTERM", async () => {
    const { child, output, ended, listening } = start({ ...needed, ...noModal });
    const client = createGatewayClient({ baseUrl: await listening, secret });
    expect(await client.health()).toMatchObject({ ok: true, value: { base: { name: "debian", ready: false } } });
    const startedAt = Date.now();
    child.kill("SIGTERM");
    expect(await ended).toBe(0);
    expect(Date.now() - startedAt).toBeLessThan(2_000);
    expect(output.stdout.trim().split("\n")).toHaveLength(1);
    expect(output.stderr).not.toContain(secret);
    for (const line of output.stderr.trim().split("\n")) expect(JSON.parse(line)).toMatchObject({ event: expect.any(String) });
  });

  test("finishes a request in flight before it ends, within its limit", async () => {
    const { child, ended, listening } = start({ ...needed, ...noModal });
    const client = createGatewayClient({ baseUrl: await listening, secret });
    const create = client.create("x", { source: { kind: "base" }, tags: {}, cpu: 1, memoryMiB: 128, timeoutMs: 1_000 });
    await new Promise((resolve) => setTimeout(resolve, 200));
    const startedAt = Date.now();
    child.kill("SIGTERM");
    expect(await ended).toBe(0);
    expect(Date.now() - startedAt).toBeLessThan(4_000);
    expect(await create).toMatchObject({ ok: false, error: { kind: "transient", code: "base_not_ready" } });
  });

  test("without its settings it says which and ends", async () => {
    const { output, ended } = start({ ...noModal });
    expect(await ended).toBe(1);
    expect(output.stderr).toContain("MODAL_API_SECRET");
    expect(output.stdout).toBe("");
  });
});
