/** Builds the BPF program that takes dangerous system calls away from a guest. Pure: bytes out, nothing loaded here. */
import { constants } from "node:os";

/** numbers of the calls that are refused, per architecture; `null` where the architecture has no such call */
const DENIED: Record<"x64" | "arm64", number[]> = {
  // mount umount2 pivot_root unshare setns keyctl add_key request_key bpf perf_event_open userfaultfd kexec_load
  // kexec_file_load init_module finit_module delete_module reboot swapon swapoff open_by_handle_at quotactl acct
  // settimeofday clock_settime clock_adjtime adjtimex syslog vhangup lookup_dcookie nfsservctl uselib iopl ioperm
  x64: [
    165, 166, 155, 272, 308, 250, 248, 249, 321, 298, 323, 246, 320, 175, 313, 176, 169, 167, 168, 304, 179, 163, 164, 227, 305,
    159, 103, 153, 212, 180, 134, 172, 173,
  ],
  arm64: [
    40, 39, 41, 97, 268, 219, 217, 218, 280, 241, 282, 104, 294, 105, 273, 106, 142, 224, 225, 265, 60, 89, 170, 112, 266, 171,
    116, 58, 18, 42,
  ],
};
/** The same on every architecture: io_uring ×3, open_tree, move_mount, fsopen, fsconfig, fsmount, fspick, mount_setattr, quotactl_fd. */
const DENIED_EVERYWHERE = [425, 426, 427, 428, 429, 430, 431, 432, 433, 442, 443];
const CLONE3 = 435;
const CALLS = {
  x64: { audit: 0xc000003e, clone: 56, socket: 41, ioctl: 16 },
  arm64: { audit: 0xc00000b7, clone: 220, socket: 198, ioctl: 29 },
} as const;
/** Every CLONE_NEW* flag that clone(2) knows. */
const CLONE_NEW = 0x7e020000;
const X32_BIT = 0x40000000;
const AF_ALG = 38;
const AF_VSOCK = 40;
const TIOCSTI = 0x5412;
const TIOCLINUX = 0x541c;

const ALLOW = 0x7fff0000;
const errno = (code: number) => (0x00050000 | code) >>> 0;
const LOAD = 0x20;
const JUMP_EQUAL = 0x15;
const JUMP_GREATER_EQUAL = 0x35;
const JUMP_SET = 0x45;
const RETURN = 0x06;
const NR_OFFSET = 0;
const ARCH_OFFSET = 4;
const argOffset = (index: number) => 16 + 8 * index;

type Instruction = [code: number, jumpTrue: number, jumpFalse: number, k: number];

/** @returns the program as `struct sock_filter[]`, little endian; null on an architecture without a table */
export function buildSeccompProgram(arch: string): Uint8Array | null {
  if (arch !== "x64" && arch !== "arm64") return null;
  const calls = CALLS[arch];
  const eperm = errno(constants.errno.EPERM);
  const program: Instruction[] = [
    [LOAD, 0, 0, ARCH_OFFSET],
    [JUMP_EQUAL, 1, 0, calls.audit],
    [RETURN, 0, 0, errno(constants.errno.ENOSYS)],
    [LOAD, 0, 0, NR_OFFSET],
  ];
  if (arch === "x64") program.push([JUMP_GREATER_EQUAL, 0, 1, X32_BIT], [RETURN, 0, 0, errno(constants.errno.ENOSYS)]);
  for (const call of [...DENIED[arch], ...DENIED_EVERYWHERE]) program.push([JUMP_EQUAL, 0, 1, call], [RETURN, 0, 0, eperm]);
  // ENOSYS, so that the C library falls back to clone, whose flags can be read here.
  program.push([JUMP_EQUAL, 0, 1, CLONE3], [RETURN, 0, 0, errno(constants.errno.ENOSYS)]);
  program.push(
    [JUMP_EQUAL, 0, 4, calls.clone],
    [LOAD, 0, 0, argOffset(0)],
    [JUMP_SET, 0, 1, CLONE_NEW],
    [RETURN, 0, 0, eperm],
    [RETURN, 0, 0, ALLOW],
  );
  // Neither family is confined by a network namespace.
  program.push(
    [JUMP_EQUAL, 0, 5, calls.socket],
    [LOAD, 0, 0, argOffset(0)],
    [JUMP_EQUAL, 1, 0, AF_VSOCK],
    [JUMP_EQUAL, 0, 1, AF_ALG],
    [RETURN, 0, 0, errno(constants.errno.EAFNOSUPPORT)],
    [RETURN, 0, 0, ALLOW],
  );
  program.push(
    [JUMP_EQUAL, 0, 5, calls.ioctl],
    [LOAD, 0, 0, argOffset(1)],
    [JUMP_EQUAL, 1, 0, TIOCSTI],
    [JUMP_EQUAL, 0, 1, TIOCLINUX],
    [RETURN, 0, 0, eperm],
    [RETURN, 0, 0, ALLOW],
  );
  program.push([RETURN, 0, 0, ALLOW]);

  const bytes = Buffer.alloc(program.length * 8);
  program.forEach(([code, jumpTrue, jumpFalse, k], index) => {
    bytes.writeUInt16LE(code, index * 8);
    bytes.writeUInt8(jumpTrue, index * 8 + 2);
    bytes.writeUInt8(jumpFalse, index * 8 + 3);
    bytes.writeUInt32LE(k, index * 8 + 4);
  });
  return bytes;
}
