import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Cgroups, detectCgroups } from "../../src/modal/engine/cgroups.ts";

/**
 * Version 2 with controllers is not to be had on every machine, so directories stand in for the kernel's: they show which
 * files are written with what, not what the kernel makes of it.
 */
let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "oi-cgroups-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

interface FakeGroup {
  offers: string;
  /** handed to children already */
  hands: string;
}

/** @param groups by path; what /proc says of us is the last */
function detect(groups: Record<string, FakeGroup>, mountRoot = "/"): Cgroups | null {
  const mount = join(root, "unified");
  for (const [path, { offers, hands }] of Object.entries(groups)) {
    const dir = join(mount, path);
    mkdirSync(dir, { recursive: true });
    writeFileSync(join(dir, "cgroup.procs"), "");
    writeFileSync(join(dir, "cgroup.controllers"), `${offers}\n`);
    writeFileSync(join(dir, "cgroup.subtree_control"), `${hands}\n`);
  }
  const self = join(root, "self");
  mkdirSync(self);
  writeFileSync(join(self, "cgroup"), `0::${join(mountRoot, Object.keys(groups).at(-1) ?? "/")}\n`);
  writeFileSync(join(self, "mountinfo"), `30 23 0:26 ${mountRoot} ${mount} rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n`);
  return detectCgroups(self);
}
const all = { offers: "cpuset cpu io memory pids", hands: "cpu memory pids" };
const inRoot = (...path: string[]) => join(root, "unified", ...path);
const read = (...path: string[]) => readFileSync(inRoot(...path), "utf8");

describe("control groups of version 2", () => {
  it("limit memory without swap, processes and cpu, and end the whole guest when its memory is used up", () => {
    const cgroups = detect({ "/": all, "/ours": all });
    expect(cgroups?.limits).toEqual({ memory: true, pids: true, cpu: true });
    expect(cgroups?.detail).toBe("memory: cgroup v2, pids: cgroup v2, cpu: cgroup v2, freezer: cgroup v2");
    const group = cgroups?.create("guest");
    expect(group?.dirs).toEqual([inRoot("ours/guest")]);
    expect(group?.joinFiles).toEqual([inRoot("ours/guest/cgroup.procs")]);
    group?.limit({ memoryBytes: 512 * 1024 * 1024, cpu: 1.5, pids: 4096 });
    expect(read("ours/guest/memory.max")).toBe("536870912");
    expect(read("ours/guest/memory.swap.max")).toBe("0");
    expect(read("ours/guest/memory.oom.group")).toBe("1");
    expect(read("ours/guest/pids.max")).toBe("4096");
    expect(read("ours/guest/cpu.max")).toBe("150000 100000");
  });

  it("leave unlimited what has no limit", () => {
    detect({ "/": all })?.create("guest").limit({ memoryBytes: null, cpu: null, pids: 10 });
    expect(read("guest/pids.max")).toBe("10");
    for (const file of ["memory.max", "cpu.max"]) expect(existsSync(inRoot("guest", file))).toBe(false);
  });

  it("tell the end of memory by the kernel's count of kills", () => {
    const group = detect({ "/": all })?.create("guest");
    writeFileSync(inRoot("guest/memory.events"), "low 0\nhigh 0\nmax 12\noom 1\noom_kill 0\noom_group_kill 0\n");
    expect(group?.ranOutOfMemory()).toBe(false);
    writeFileSync(inRoot("guest/memory.events"), "low 0\nhigh 0\nmax 12\noom 1\noom_kill 3\noom_group_kill 1\n");
    expect(group?.ranOutOfMemory()).toBe(true);
  });

  it("freeze and kill a guest as one", async () => {
    const cgroups = detect({ "/": all });
    mkdirSync(inRoot("guest"));
    for (const [file, text] of [
      ["cgroup.freeze", "0"],
      ["cgroup.events", "populated 1\nfrozen 1\n"],
      ["cgroup.kill", ""],
    ] as const)
      writeFileSync(inRoot("guest", file), text);
    const group = cgroups?.create("guest");
    await group?.freezer?.freeze();
    expect(read("guest/cgroup.freeze")).toBe("1");
    group?.freezer?.thaw();
    expect(read("guest/cgroup.freeze")).toBe("0");
    group?.killAll();
    expect(read("guest/cgroup.kill")).toBe("1");
  });

  it("are made where children get the most: not in a group that can hand out nothing, nor in one that hands out less", () => {
    const nothing = { offers: "memory pids", hands: "" };
    const less = { offers: "memory pids", hands: "memory pids" };
    const cgroups = detect({ "/": all, "/user": less, "/user/session": nothing });
    expect(cgroups?.limits).toEqual({ memory: true, pids: true, cpu: true });
    expect(cgroups?.baseDirs).toEqual([join(root, "unified")]);
  });

  it("are asked for the controllers that they offer and do not hand out yet", () => {
    detect({ "/": { offers: "memory pids cpu", hands: "memory pids" } });
    expect(read("cgroup.subtree_control")).toBe("+cpu");
  });

  it("serve for the freezer where no controller is to be had", () => {
    const cgroups = detect({ "/": { offers: "", hands: "" }, "/ours": { offers: "", hands: "" } });
    expect(cgroups?.limits).toEqual({ memory: false, pids: false, cpu: false });
    expect(cgroups?.baseDirs).toEqual([inRoot("ours")]);
  });

  it("are found in a container that sees its own part of the hierarchy only", () => {
    const cgroups = detect({ "/": all, "/ours": all }, "/docker/abc");
    expect(cgroups?.baseDirs).toEqual([inRoot("ours")]);
  });
});
