import { describe, expect, it } from "vitest";
import { bridgeUpSchema, createSessionRequestSchema, errorBodySchema, errorStatuses, runtimeConfigSchema } from "../src/index.ts";

describe("POST /sessions", () => {
  it("takes a repository as owner/name or as an object", () => {
    const expected = { owner: "acme", name: "shop" };
    expect(createSessionRequestSchema.parse({ repository: "acme/shop" }).repository).toEqual(expected);
    expect(createSessionRequestSchema.parse({ repository: expected }).repository).toEqual(expected);
  });

  it.each([
    { repository: "shop" },
    { repository: "a/b/c" },
    { repository: "acme/shop", branch: "--upload-pack=x" },
    { repository: "acme/shop", prompt: "   " },
    { repository: "acme/shop", unknown: true },
    {},
  ])("refuses %j", (body) => {
    expect(createSessionRequestSchema.safeParse(body).success).toBe(false);
  });
});

describe("bridge", () => {
  it("numbers events from one", () => {
    const event = { type: "event", at: 1, event: { type: "phase.started", phase: "clone" } };
    expect(bridgeUpSchema.safeParse({ ...event, seq: 1 }).success).toBe(true);
    expect(bridgeUpSchema.safeParse({ ...event, seq: 0 }).success).toBe(false);
  });
});

describe("runtime config", () => {
  it("needs a bridge token long enough not to be guessed", () => {
    const config = {
      mode: "build",
      buildId: `bld_${"0".repeat(26)}`,
      bridgeUrl: "ws://127.0.0.1:1/bridge/builds/x",
      cloneUrl: "http://127.0.0.1:2/acme/shop.git",
      branch: "main",
      gitTimeoutMs: 1000,
    };
    expect(runtimeConfigSchema.safeParse({ ...config, bridgeToken: "x".repeat(32) }).success).toBe(true);
    expect(runtimeConfigSchema.safeParse({ ...config, bridgeToken: "short" }).success).toBe(false);
  });
});

describe("errors", () => {
  it("have a code, a sentence and what to do, under a 4xx or 5xx", () => {
    expect(errorBodySchema.safeParse({ error: { code: "not_found", message: "x" } }).success).toBe(false);
    for (const status of Object.values(errorStatuses)) expect(status).toBeGreaterThanOrEqual(400);
  });
});
