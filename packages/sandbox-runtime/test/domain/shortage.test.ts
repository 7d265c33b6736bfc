import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { failureSchema } from "@open-inspect/protocol";
import { afterEach, describe, expect, test } from "vitest";
import { readDiskSpace, readMemoryKills } from "../../src/adapters/resources.ts";
import { explainHook, explainInternal, requiredHooks } from "../../src/domain/failures.ts";
import { findShortage } from "../../src/domain/shortage.ts";

const mebibyte = 1024 * 1024;
const roomy = { freeBytes: 5_000 * mebibyte, totalBytes: 10_000 * mebibyte };
const nothing = { killsBefore: 1, killsAfter: 1, disk: roomy, lines: ["make: *** [all] Error 2"] };
const kindOf = (more: Partial<Parameters<typeof findShortage>[0]>) => findShortage({ ...nothing, ...more })?.kind ?? null;

describe("a shortage", () => {
  test("of memory is a kill by the kernel since the script began, and nothing less", () => {
    expect(kindOf({ killsAfter: 2 })).toBe("memory");
    expect(kindOf({})).toBeNull();
    expect(kindOf({ killsBefore: null, killsAfter: 2 })).toBeNull();
    expect(kindOf({ killsAfter: null })).toBeNull();
  });

  test.each([
    ["tar: ./node_modules: Cannot mkdir: No space left on device", "disk"],
    ["npm error code ENOSPC", "disk"],
    ["cp: error writing 'x': Disk quota exceeded", "disk"],
    ["Error: ENOSPC: System limit for number of file watchers reached, watch '/workspace'", null],
    ["the disk is fine", null],
  ])("of disk by what was printed: %s", (line, kind) => {
    expect(kindOf({ lines: ["before", line, "after"] })).toBe(kind);
  });

  test.each([
    [15 * mebibyte, 1_000 * mebibyte, "disk"],
    [17 * mebibyte, 1_000 * mebibyte, null],
    [99 * mebibyte, 10_000 * mebibyte, "disk"],
    [101 * mebibyte, 10_000 * mebibyte, null],
    [0, 0, null],
  ])("of disk by what is free: %i of %i bytes", (freeBytes, totalBytes, kind) => {
    expect(kindOf({ disk: { freeBytes, totalBytes } })).toBe(kind);
    expect(kindOf({ disk: null })).toBeNull();
  });

  test("is the code of a setup, and the cause of a verification; both say what to do", () => {
    const run = { exitCode: 137, signal: null, lines: [] };
    for (const kind of ["memory", "disk"] as const) {
      const setup = explainHook(requiredHooks.setup, run, { kind, detail: "it ran out" });
      const verify = explainHook(requiredHooks.verify, run, { kind, detail: "it ran out" });
      expect(setup.code).toBe(kind === "memory" ? "out_of_memory" : "disk_full");
      expect(verify.code).toBe("verify_failed");
      for (const failure of [setup, verify]) {
        expect(failureSchema.safeParse(failure).success).toBe(true);
        expect(failure.message).toContain("it ran out");
        expect(failure.hint).toMatch(/memory at once|caches/);
      }
    }
  });

  test("that the runtime itself meets is told as such", () => {
    const error = Object.assign(new Error("ENOSPC: no space left on device, mkdir '/x'"), { code: "ENOSPC" });
    expect(explainInternal(error, "agent")).toMatchObject({ code: "disk_full", phase: "agent" });
    expect(explainInternal(new Error("else"), null).code).toBe("internal");
  });
});

describe("what the kernel shows", () => {
  const made: string[] = [];
  afterEach(() => {
    for (const folder of made.splice(0)) rmSync(folder, { recursive: true });
  });
  const tree = (files: Record<string, string>) => {
    const root = mkdtempSync(join(tmpdir(), "runtime-cgroup-"));
    made.push(root);
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), text);
    }
    return root;
  };

  test("kills are read from either version of control groups, and are unknown without one", async () => {
    expect(await readMemoryKills(tree({ "memory.events": "low 0\noom 4\noom_kill 3\noom_group_kill 9\n" }))).toBe(3);
    expect(await readMemoryKills(tree({ "memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n" }))).toBe(2);
    expect(await readMemoryKills(tree({ "memory.events": "nothing of it\n" }))).toBeNull();
    expect(await readMemoryKills("/no/such/folder")).toBeNull();
  });

  test("space of a folder, null where there is none", async () => {
    const space = await readDiskSpace(tmpdir());
    expect(space?.totalBytes).toBeGreaterThan(space?.freeBytes ?? Number.POSITIVE_INFINITY);
    expect(await readDiskSpace("/no/such/folder")).toBeNull();
  });
});
