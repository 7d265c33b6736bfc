import { describe, expect, it } from "vitest";
import { branchSchema, buildIdSchema, createId, repositoryNameSchema, sessionIdSchema } from "../src/ids.ts";
import { imageScopeOf } from "../src/image-scope.ts";

const random = (value: number) => new Uint8Array(16).fill(value);

describe("ids", () => {
  it("sort by their time", () => {
    const times = [0, 31, 32, 1_800_000_000_000, 1_800_000_000_001, 2 ** 49];
    const ids = times.map((time) => createId("build", time, random(7)));
    expect([...ids].sort()).toEqual(ids);
  });

  it("are accepted by their own schema and by no other", () => {
    const id = createId("session", 1_800_000_000_000, random(255));
    expect(sessionIdSchema.safeParse(id).success).toBe(true);
    expect(buildIdSchema.safeParse(id).success).toBe(false);
  });

  it("differ by chance within one millisecond", () => {
    expect(createId("image", 5, random(1))).not.toBe(createId("image", 5, random(2)));
  });
});

describe("branch names", () => {
  it.each(["main", "feature/x", "v1.2", "a@b", "ünïcode"])("accepts %s", (name) => {
    expect(branchSchema.safeParse(name).success).toBe(true);
  });

  it.each([
    "",
    "-x",
    "/a",
    "a/",
    "a..b",
    "a b",
    "a~b",
    "a^",
    "a:b",
    "a?b",
    "a*b",
    "a[b",
    "a\\b",
    "a@{b",
    "a//b",
    ".a",
    "a/.b",
    "a.lock",
    "a.lock/b",
    "a.",
    "@",
    "a\nb",
  ])("refuses %j", (name) => {
    expect(branchSchema.safeParse(name).success).toBe(false);
  });
});

describe("repositories", () => {
  it.each([".", "..", "a/b", "a b", ""])("refuses the name %j", (name) => {
    expect(repositoryNameSchema.safeParse(name).success).toBe(false);
  });

  it("have one scope however their name is written", () => {
    expect(imageScopeOf({ owner: "Acme", name: "Shop" })).toBe(imageScopeOf({ owner: "acme", name: "shop" }));
  });
});
