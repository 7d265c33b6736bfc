/** What `npm run check` remembers: that these very sources passed, and never that they did not. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { createMemory } from "../check.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "open-inspect-check-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

it("looks at the same sources again until they pass, and at others always", async () => {
  let looks = 0;
  const passes = async () => void looks++;
  const fails = async () => {
    looks++;
    throw new Error("types are wrong");
  };
  /** One run of the check. */
  const run = async (digest: string, look: () => Promise<void>, digestAfter = digest) => {
    const memory = createMemory(join(folder, "passed"), digest);
    const looked = await memory.once("types of scripts (tsc)", look).catch((error: Error) => error.message);
    memory.keep(digestAfter);
    return looked;
  };
  expect(await run("a", fails)).toBe("types are wrong");
  expect(await run("a", passes, "edited meanwhile")).toBe(true);
  expect(await run("a", fails)).toBe("types are wrong");
  expect(await run("a", passes)).toBe(true);
  expect(looks).toBe(4);
  expect(await run("a", fails)).toBe(false);
  expect(looks).toBe(4);
  expect(await run("b", fails)).toBe("types are wrong");
  expect(await run("b", passes)).toBe(true);
  // Only the last sources are remembered.
  expect(await run("a", passes)).toBe(true);
});
