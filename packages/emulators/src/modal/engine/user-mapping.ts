/**
 * Which users of the host stand behind a guest's users, and how a user namespace with that mapping is made.
 * Knows nothing of layers or launchers.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { userInfo } from "node:os";
import { HOST_ENV, run, waitForLine } from "./host-process.ts";

const HOLDER_TIMEOUT_MS = 5000;

export type MappingKind = "root" | "subuid" | "single";

/** A process that keeps a user namespace open until it is entered. Dies with the engine: it reads a pipe of ours. */
export interface NamespaceHolder {
  pid: number;
  release(): Promise<void>;
}

export interface UserMapping {
  kind: MappingKind;
  /** the host's id of the guest's user 0 */
  rootUid: number;
  /** ids that exist in the guest */
  idCount: number;
  /** Names what layers are bound to: they cannot be read with another mapping. */
  storeName: string;
  /** options of overlayfs beside the directories */
  overlayOptions: string;
  /** real root mounts before it enters the user namespace; the others mount inside it */
  mountsAsHostRoot: boolean;
  openHolder(): Promise<NamespaceHolder>;
  /** argv that runs the following command as the guest's root over the host's tree */
  enter(holder: number): string[];
}

/** Once the users are mapped it forbids further user namespaces inside: a guest has no use for them, an attacker has. */
const HOLDER_SCRIPT = "echo ready; read -r _; echo 0 > /proc/sys/user/max_user_namespaces; echo mapped; read -r _";
const ROOT_FIRST_ID = 100_000;
const ID_COUNT = 65_536;

async function startHolder(): Promise<ChildProcess & { pid: number }> {
  const child = spawn("unshare", ["--user", "--keep-caps", "sh", "-c", HOLDER_SCRIPT], { env: HOST_ENV, cwd: "/" });
  await waitForLine(child, "ready", HOLDER_TIMEOUT_MS);
  return Object.assign(child, { pid: child.pid ?? 0 });
}

/** Call it when the users are mapped. */
async function holderOf(child: ChildProcess & { pid: number }): Promise<NamespaceHolder> {
  child.stdin?.on("error", () => {});
  const closed = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const mapped = waitForLine(child, "mapped", HOLDER_TIMEOUT_MS);
  child.stdin?.write("\n");
  await mapped;
  return {
    pid: child.pid,
    release() {
      child.stdin?.end();
      return closed;
    },
  };
}

function rootMapping(): UserMapping {
  return {
    kind: "root",
    rootUid: ROOT_FIRST_ID,
    idCount: ID_COUNT,
    storeName: `trusted-${ROOT_FIRST_ID}`,
    // trusted.* attributes allow redirects, without which renaming a directory of a lower layer fails with EXDEV.
    overlayOptions: "redirect_dir=on,index=off,metacopy=off",
    mountsAsHostRoot: true,
    async openHolder() {
      const child = await startHolder();
      writeFileSync(`/proc/${child.pid}/uid_map`, `0 ${ROOT_FIRST_ID} ${ID_COUNT}`);
      writeFileSync(`/proc/${child.pid}/gid_map`, `0 ${ROOT_FIRST_ID} ${ID_COUNT}`);
      return holderOf(child);
    },
    enter: (holder) => ["nsenter", `--user=/proc/${holder}/ns/user`, "-S", "0", "-G", "0", "--"],
  };
}

interface SubordinateRange {
  first: number;
  count: number;
}

function subordinateRange(file: string, uid: number): SubordinateRange | null {
  let name = "";
  try {
    name = userInfo().username;
  } catch {}
  try {
    for (const line of readFileSync(file, "utf8").split("\n")) {
      const [who, first, count] = line.split(":");
      if ((who === name || who === String(uid)) && Number(count) >= ID_COUNT - 1)
        return { first: Number(first), count: ID_COUNT - 1 };
    }
  } catch {}
  return null;
}

function subordinateMapping(uid: number, gid: number, uids: SubordinateRange, gids: SubordinateRange): UserMapping {
  return {
    kind: "subuid",
    rootUid: uid,
    idCount: ID_COUNT,
    storeName: `user-${uid}-${uids.first}`,
    overlayOptions: "userxattr,index=off,metacopy=off",
    mountsAsHostRoot: false,
    async openHolder() {
      const child = await startHolder();
      const map = (tool: string, id: number, range: SubordinateRange) =>
        run([tool, String(child.pid), "0", String(id), "1", "1", String(range.first), String(range.count)], {
          timeoutMs: HOLDER_TIMEOUT_MS,
        });
      try {
        await Promise.all([map("newuidmap", uid, uids), map("newgidmap", gid, gids)]);
      } catch (error) {
        child.kill("SIGKILL");
        throw error;
      }
      return holderOf(child);
    },
    enter: (holder) => ["nsenter", `--user=/proc/${holder}/ns/user`, "-S", "0", "-G", "0", "--"],
  };
}

function singleMapping(uid: number, gid: number): UserMapping {
  return {
    kind: "single",
    rootUid: uid,
    idCount: 1,
    storeName: `user-${uid}`,
    overlayOptions: "userxattr,index=off,metacopy=off",
    mountsAsHostRoot: false,
    async openHolder() {
      const child = await startHolder();
      writeFileSync(`/proc/${child.pid}/setgroups`, "deny");
      writeFileSync(`/proc/${child.pid}/uid_map`, `0 ${uid} 1`);
      writeFileSync(`/proc/${child.pid}/gid_map`, `0 ${gid} 1`);
      return holderOf(child);
    },
    enter: (holder) => ["nsenter", `--user=/proc/${holder}/ns/user`, "--preserve-credentials", "--"],
  };
}

function isInitialUserNamespace(): boolean {
  return /^\s*0\s+0\s+4294967295\s*$/.test(readFileSync("/proc/self/uid_map", "utf8"));
}

/** The mappings worth trying for this user, best first. Whether they work is found out by starting a guest. */
export function candidateMappings(): UserMapping[] {
  const uid = process.getuid?.() ?? -1;
  const gid = process.getgid?.() ?? -1;
  if (process.platform !== "linux" || uid < 0) return [];
  // Root of the machine must never stand behind a guest; root of a container's own user namespace is just a user.
  if (uid === 0) return isInitialUserNamespace() ? [rootMapping()] : [rootMapping(), singleMapping(uid, gid)];
  const uids = subordinateRange("/etc/subuid", uid);
  const gids = subordinateRange("/etc/subgid", uid);
  const single = singleMapping(uid, gid);
  return uids !== null && gids !== null ? [subordinateMapping(uid, gid, uids, gids), single] : [single];
}
