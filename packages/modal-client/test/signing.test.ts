/** A request to the gateway is believed only as it was signed, once, and for a short while. */
import { createHash, createHmac } from "node:crypto";
import { describe, expect, test } from "vitest";
import { createNonceCache, importSigningKey, sign, signatureHeaders, signatureWindowMs, verify } from "../src/signing.ts";

const secret = "a-secret-of-some-length";
const at = 1_790_000_000_000;
const random = new Uint8Array(16).fill(7);
const parts = { method: "PUT", target: "/v1/sandboxes/build-1?tag.kind=build", body: new TextEncoder().encode('{"cpu":1}') };

async function signed(nowAt = at, bytes = random) {
  return sign(await importSigningKey(secret), parts, nowAt, bytes);
}
async function check(
  headers: Record<string, string>,
  changed: Partial<typeof parts> = {},
  nowAt = at,
  nonces = createNonceCache(),
) {
  return verify(await importSigningKey(secret), { ...parts, ...changed }, (name) => headers[name], nowAt, nonces);
}

describe("sign", () => {
  test("the signature is HMAC-SHA-256 over version, method, target, body digest, timestamp and nonce, one a line", async () => {
    const digest = createHash("sha256").update(parts.body).digest("hex");
    const nonce = "07".repeat(16);
    const lines = ["v1", "PUT", parts.target, digest, String(at), nonce].join("\n");
    expect(await signed()).toEqual({
      [signatureHeaders.timestamp]: String(at),
      [signatureHeaders.nonce]: nonce,
      [signatureHeaders.signature]: `v1=${createHmac("sha256", secret).update(lines).digest("hex")}`,
    });
  });

  test("a known answer stays what it is", async () => {
    expect((await signed())[signatureHeaders.signature]).toBe(
      "v1=551737e51f6ca5d17e3a9ddbd1016f5048a59d59e23812f009a64ee053d641a6",
    );
  });

  test("a secret short enough to be guessed is refused", async () => {
    await expect(importSigningKey("short")).rejects.toThrow(RangeError);
  });
});

describe("verify", () => {
  test("a request as it was signed is valid", async () => {
    expect(await check(await signed())).toEqual({ valid: true });
  });

  test.each([
    ["method", { method: "POST" }],
    ["path", { target: "/v1/sandboxes/build-2?tag.kind=build" }],
    ["query", { target: "/v1/sandboxes/build-1?tag.kind=session" }],
    ["body", { body: new TextEncoder().encode('{"cpu":2}') }],
    ["absence of the body", { body: new Uint8Array() }],
  ])("a changed %s breaks the signature", async (_, changed) => {
    expect(await check(await signed(), changed)).toEqual({ valid: false, refusal: "signature" });
  });

  test.each([
    ["timestamp", signatureHeaders.timestamp, String(at + 1)],
    ["nonce", signatureHeaders.nonce, "08".repeat(16)],
    ["signature", signatureHeaders.signature, `v1=${"0".repeat(64)}`],
  ])("a changed %s breaks the signature", async (_, header, value) => {
    expect(await check({ ...(await signed()), [header]: value })).toEqual({ valid: false, refusal: "signature" });
  });

  test.each(Object.values(signatureHeaders))("without %s the request is unsigned", async (header) => {
    const { [header]: _, ...rest } = await signed();
    expect(await check(rest)).toEqual({ valid: false, refusal: "unsigned" });
  });

  test.each(["v2=00", "v1=", `v1=${"g".repeat(64)}`, "0".repeat(64)])("a signature like %j is no signature", async (value) => {
    expect(await check({ ...(await signed()), [signatureHeaders.signature]: value })).toEqual({
      valid: false,
      refusal: "unsigned",
    });
  });

  test("the clocks may differ by the window either way, and not by more", async () => {
    for (const skewMs of [-signatureWindowMs, signatureWindowMs])
      expect(await check(await signed(), {}, at + skewMs)).toEqual({ valid: true });
    for (const skewMs of [-signatureWindowMs - 1, signatureWindowMs + 1])
      expect(await check(await signed(), {}, at + skewMs)).toEqual({ valid: false, refusal: "clock" });
  });

  test("a request signed with another secret learns nothing about clock or nonce", async () => {
    const foreign = await sign(await importSigningKey("another-secret-entirely"), parts, 0, random);
    expect(await check(foreign)).toEqual({ valid: false, refusal: "signature" });
  });

  test("a nonce is good for one use", async () => {
    const nonces = createNonceCache();
    expect(await check(await signed(), {}, at, nonces)).toEqual({ valid: true });
    expect(await check(await signed(), {}, at + 1_000, nonces)).toEqual({ valid: false, refusal: "replay" });
    expect(await check(await signed(at, new Uint8Array(16).fill(8)), {}, at, nonces)).toEqual({ valid: true });
  });

  test("a refused request does not use up its nonce", async () => {
    const nonces = createNonceCache();
    await check(await signed(), { method: "DELETE" }, at, nonces);
    expect(await check(await signed(), {}, at, nonces)).toEqual({ valid: true });
  });
});

describe("the memory of nonces", () => {
  test("when it is full, what it dropped is refused rather than let through again", () => {
    const nonces = createNonceCache(2);
    expect(["a", "b", "c"].map((nonce, index) => nonces.use(nonce, at + index, at + index))).toEqual([true, true, true]);
    expect(nonces.use("a", at, at + 3)).toBe(false);
    expect(nonces.use("c", at + 2, at + 3)).toBe(false);
    expect(nonces.use("d", at + 3, at + 3)).toBe(true);
  });

  test("what fell out of the window makes room without refusing anything else", () => {
    const nonces = createNonceCache(2);
    nonces.use("a", at, at);
    nonces.use("b", at + 1, at + 1);
    const later = at + signatureWindowMs + 2;
    expect(nonces.use("c", later - signatureWindowMs + 1, later)).toBe(true);
  });
});
