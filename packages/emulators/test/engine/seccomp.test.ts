import { describe, expect, it } from "vitest";
import { buildSeccompProgram } from "../../src/modal/engine/seccomp.ts";

const ALLOWED = "allowed";
const AUDIT = { x64: 0xc000003e, arm64: 0xc00000b7 };
const EPERM = 1;
const ENOSYS = 38;
const EAFNOSUPPORT = 97;

/** Runs the program as the kernel would. @returns "allowed" or the errno */
function judge(arch: "x64" | "arm64", call: number, args: number[] = [], audit: number = AUDIT[arch]): string | number {
  const program = Buffer.from(buildSeccompProgram(arch) ?? []);
  const data = Buffer.alloc(64);
  data.writeUInt32LE(call >>> 0, 0);
  data.writeUInt32LE(audit, 4);
  for (const [index, arg] of args.entries()) data.writeUInt32LE(arg >>> 0, 16 + 8 * index);
  let accumulator = 0;
  for (let at = 0; at < program.length / 8; at++) {
    const code = program.readUInt16LE(at * 8);
    const k = program.readUInt32LE(at * 8 + 4);
    const jump = (taken: boolean) => {
      at += program.readUInt8(at * 8 + (taken ? 2 : 3));
    };
    if (code === 0x20) accumulator = data.readUInt32LE(k);
    else if (code === 0x15) jump(accumulator === k);
    else if (code === 0x35) jump(accumulator >= k);
    else if (code === 0x45) jump((accumulator & k) !== 0);
    else if (code === 0x06) return k === 0x7fff0000 ? ALLOWED : k & 0xffff;
    else throw new Error(`instruction ${code}`);
  }
  throw new Error("the program does not return");
}

const CALLS = {
  x64: {
    read: 0,
    fork: 57,
    execve: 59,
    clone: 56,
    socket: 41,
    ioctl: 16,
    mount: 165,
    unshare: 272,
    setns: 308,
    keyctl: 250,
    bpf: 321,
    ptrace: 101,
    chroot: 161,
  },
  arm64: {
    read: 63,
    fork: 220,
    execve: 221,
    clone: 220,
    socket: 198,
    ioctl: 29,
    mount: 40,
    unshare: 97,
    setns: 268,
    keyctl: 219,
    bpf: 280,
    ptrace: 117,
    chroot: 51,
  },
};

describe.each(["x64", "arm64"] as const)("the seccomp program on %s", (arch) => {
  const calls = CALLS[arch];

  it("allows what programs live on", () => {
    for (const call of [calls.read, calls.execve, calls.ptrace, calls.chroot]) expect(judge(arch, call)).toBe(ALLOWED);
  });

  it("refuses mounts, namespaces, keys, BPF and io_uring", () => {
    for (const call of [calls.mount, calls.unshare, calls.setns, calls.keyctl, calls.bpf, 425, 426, 427, 428, 429, 442])
      expect(judge(arch, call)).toBe(EPERM);
  });

  it("allows threads and processes, refuses new namespaces by clone, and hides clone3", () => {
    const threadFlags = 0x3d0f00;
    expect(judge(arch, calls.clone, [threadFlags])).toBe(ALLOWED);
    expect(judge(arch, calls.clone, [17])).toBe(ALLOWED);
    for (const flag of [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000])
      expect(judge(arch, calls.clone, [flag | 17])).toBe(EPERM);
    expect(judge(arch, 435)).toBe(ENOSYS);
  });

  it("refuses socket families that no namespace confines", () => {
    for (const family of [1, 2, 10, 16]) expect(judge(arch, calls.socket, [family])).toBe(ALLOWED);
    for (const family of [38, 40]) expect(judge(arch, calls.socket, [family])).toBe(EAFNOSUPPORT);
  });

  it("refuses typing into the terminal of somebody else", () => {
    expect(judge(arch, calls.ioctl, [0, 0x5401])).toBe(ALLOWED);
    expect(judge(arch, calls.ioctl, [0, 0x5412])).toBe(EPERM);
  });

  it("knows no other architecture", () => {
    expect(judge(arch, calls.read, [], 0x40000003)).toBe(ENOSYS);
  });
});

describe("the seccomp program", () => {
  it("refuses the x32 calls of x64", () => {
    expect(judge("x64", 0x40000000 + 165)).toBe(ENOSYS);
  });

  it("there is none for an architecture without a table", () => {
    expect(buildSeccompProgram("riscv64")).toBeNull();
  });
});
