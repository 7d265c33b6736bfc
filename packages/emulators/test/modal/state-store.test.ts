import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openStateStore } from "../../src/modal/state-store.ts";
import { createTokens } from "../../src/modal/tokens.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "modal-state-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe("the state", () => {
  it("holds every change whose save has resolved, also of saves at once", async () => {
    const store = await openStateStore(folder);
    const saves = ["a", "b", "c"].map((name) => {
      store.state.apps.push({ id: `ap-${name}`, name, environment: "main" });
      return store.save();
    });
    await saves[0];
    expect((await openStateStore(folder)).state.apps.length).toBeGreaterThanOrEqual(1);
    await Promise.all(saves);
    expect((await openStateStore(folder)).state).toEqual(store.state);
    expect(await readdir(folder)).toEqual(["modal-state.json"]);
  });

  it("is not overwritten when it cannot be read", async () => {
    await writeFile(join(folder, "modal-state.json"), '{"version":9}');
    await expect(openStateStore(folder)).rejects.toThrow(/Move it away/);
    expect(await readFile(join(folder, "modal-state.json"), "utf8")).toBe('{"version":9}');
  });
});

describe("tokens", () => {
  const tokens = createTokens(Buffer.from("key"), 60_000);
  const token = tokens.issue({ aud: "router", sub: "ta-1" }, 1_000_000);

  it("are valid until they expire", () => {
    expect(tokens.verify(token, 1_059_000)).toMatchObject({ aud: "router", sub: "ta-1", exp: 1060 });
    expect(tokens.verify(token, 1_060_000)).toBeNull();
  });

  it("are worth nothing when changed or signed by another key", () => {
    const [header, , signature] = token.split(".");
    const payload = Buffer.from(JSON.stringify({ aud: "router", sub: "ta-2", exp: 9e9 })).toString("base64url");
    expect(tokens.verify(`${header}.${payload}.${signature}`, 1_000_000)).toBeNull();
    expect(createTokens(Buffer.from("other"), 60_000).verify(token, 1_000_000)).toBeNull();
    for (const broken of ["", "a.b", "a.b.c", `${token}.x`]) expect(tokens.verify(broken, 1_000_000)).toBeNull();
  });
});
