/**
 * Lays out the root of `local/host-toolchain`: an empty tree with a filtered copy of the host's /etc, over which the
 * launcher shows the host's /usr. Knows nothing of layers or users' ids.
 */
import { createHash } from "node:crypto";
import { chmodSync, cpSync, lstatSync, mkdirSync, readdirSync, readlinkSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const LAYOUT_VERSION = "1";
/** What programs under /usr need of /etc; nothing that names the host's users, networks or secrets. */
const ETC_COPIED =
  /^(alternatives|ca-certificates|ca-certificates\.conf|bash\.bashrc|debian_version|fonts|host\.conf|gai\.conf|inputrc|java-.*|ld\.so\.(cache|conf|conf\.d)|locale\.alias|localtime|login\.defs|magic|magic\.mime|mime\.types|os-release|perl|php|profile|profile\.d|protocols|python3.*|rpc|security|services|shells|skel|terminfo|timezone|vim|xattr\.conf|xdg|xml|sgml|maven|emacs|chromium|chromium\.d)$/;

const PASSWD = `root:x:0:0:root:/root:/bin/bash
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
bin:x:2:2:bin:/bin:/usr/sbin/nologin
sys:x:3:3:sys:/dev:/usr/sbin/nologin
man:x:6:12:man:/var/cache/man:/usr/sbin/nologin
mail:x:8:8:mail:/var/mail:/usr/sbin/nologin
www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin
_apt:x:42:65534::/nonexistent:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
agent:x:1000:1000:agent:/home/agent:/bin/bash
`;
const GROUP = `root:x:0:
daemon:x:1:
bin:x:2:
sys:x:3:
adm:x:4:
tty:x:5:
disk:x:6:
man:x:12:
mail:x:8:
www-data:x:33:
shadow:x:42:
utmp:x:43:
staff:x:50:
users:x:100:
agent:x:1000:
nogroup:x:65534:
`;
export const AGENT_USER_ID = 1000;
const MERGED_DIRS = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"];

/** Changes when the host's toolchain changes enough that the copied files are stale. */
export function hostToolchainKey(): string {
  const hash = createHash("sha256").update(LAYOUT_VERSION);
  for (const path of ["/etc/ld.so.cache", "/etc/alternatives", "/etc/os-release", "/usr/lib/os-release"]) {
    try {
      const { mtimeMs, size } = lstatSync(path);
      hash.update(`${path} ${mtimeMs} ${size}\n`);
    } catch {}
  }
  return hash.digest("hex").slice(0, 12);
}

/** Directories of the host, beside /usr, that must be shown because they are not links into /usr. */
export function unmergedDirs(): string[] {
  return MERGED_DIRS.map((name) => `/${name}`).filter((path) => {
    try {
      return lstatSync(path).isDirectory();
    } catch {
      return false;
    }
  });
}

/** Writes the tree into `root`, an existing empty directory. `chown` gets paths and the guest's ids. */
export function layOutHostToolchain(root: string, chown: (path: string, uid: number, gid: number) => void): void {
  const dir = (path: string, mode = 0o755) => {
    mkdirSync(join(root, path), { recursive: true, mode });
  };
  for (const path of ["dev", "etc", "home", "media", "mnt", "opt/tools", "proc", "run", "srv", "sys", "usr", "workspace"])
    dir(path);
  for (const path of ["var/cache", "var/lib", "var/log", "var/mail", "var/spool", "etc/ssl/certs", "home/agent"]) dir(path);
  dir("root");
  chmodSync(join(root, "root"), 0o700);
  for (const path of ["tmp", "var/tmp"]) {
    dir(path);
    chmodSync(join(root, path), 0o1777);
  }
  symlinkSync("/run", join(root, "var/run"));
  symlinkSync("/run/lock", join(root, "var/lock"));
  for (const name of MERGED_DIRS) {
    try {
      if (lstatSync(`/${name}`).isSymbolicLink()) symlinkSync(readlinkSync(`/${name}`), join(root, name));
      else dir(name);
    } catch {}
  }
  for (const name of readdirSync("/etc")) {
    if (!ETC_COPIED.test(name)) continue;
    try {
      cpSync(join("/etc", name), join(root, "etc", name), { recursive: true, verbatimSymlinks: true, preserveTimestamps: true });
    } catch {
      // A file that the engine's user may not read is not for guests either.
    }
  }
  try {
    cpSync("/etc/ssl/openssl.cnf", join(root, "etc/ssl/openssl.cnf"));
  } catch {}
  const file = (path: string, text: string) => writeFileSync(join(root, path), text);
  file("etc/passwd", PASSWD);
  file("etc/group", GROUP);
  file("etc/hosts", "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n");
  file("etc/resolv.conf", "# Names are resolved by the proxy that HTTPS_PROXY names.\n");
  file("etc/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nprotocols: files\nservices: files\n");
  file("etc/hostname", "sandbox\n");

  const own = (path: string) => {
    chown(path, 0, 0);
    if (lstatSync(path).isDirectory()) for (const name of readdirSync(path)) own(join(path, name));
  };
  own(root);
  chown(join(root, "home/agent"), AGENT_USER_ID, AGENT_USER_ID);
}
