/**
 * Builds the command that starts a guest: mounts its layers, enters its namespaces, takes its rights away and runs the
 * agent. Pure: argv and scripts out, nothing is started here.
 */
import { perlLaunch } from "./perl-launch.ts";
import { type UserMapping } from "./user-mapping.ts";

export type LauncherKind = "bwrap" | "unshare";

export interface HostView {
  /** where it stands for the launcher */
  source: string;
  /** absolute, inside the guest */
  target: string;
  kind: "file" | "dir";
}

export interface LaunchPlan {
  launcher: LauncherKind;
  mapping: UserMapping;
  holderPid: number;
  /** where the launcher's user finds the guest's directory */
  placeDir: string;
  layersDir: string;
  /** relative to layersDir, top first */
  lowerDirs: string[];
  /** the guest's directory, with root, delta/fs, work, ctl and net in it; relative to layersDir */
  guestDirFromLayers: string;
  /** null: the upper directory is on the host's disk */
  diskBytes: number | null;
  hostname: string;
  /** shown read-only, in this order */
  views: HostView[];
  /** /opt/tools/bin: name → what the link points at inside the guest, or a file to show there */
  toolLinks: { name: string; target: string }[];
  toolFiles: { name: string; source: string }[];
  agentEnv: Record<string, string>;
  /** arguments after the node program */
  agentArgs: string[];
  node: string;
  agentFile: string;
  /** null: there is no table for this architecture, or nothing here that can load it */
  seccompFile: string | null;
  /** limits by prlimit where there is no cgroup for them */
  rlimits: { pids: number | null; dataBytes: number | null };
  /** `bind` where the kernel refuses a new /proc (masked in containers) */
  proc: "own" | "bind";
  materialise: boolean;
}

export const AGENT_DIR = "/run/agent";
/** What package managers and servers need to become other users; everything else of root is taken away. */
const KEPT_CAPABILITIES = [
  "chown",
  "dac_override",
  "fowner",
  "fsetid",
  "kill",
  "setgid",
  "setuid",
  "setpcap",
  "setfcap",
  "net_bind_service",
  "sys_chroot",
];

const quote = (word: string) => `'${word.replaceAll("'", "'\\''")}'`;

/**
 * Without redirects (they need trusted attributes) overlayfs cannot rename a directory of a lower layer. So the source
 * directories of each checkout are rewritten into the guest's own layer before it starts; what is large and never renamed is not.
 */
const MATERIALISE = `
for git in "$R"/workspace/.git "$R"/workspace/*/.git "$R"/root/*/.git "$R"/home/*/*/.git; do
  [ -d "$git" ] || continue
  repo=\${git%/.git}
  for d in "$repo"/* "$repo"/.[!.]*; do
    case "\${d##*/}" in .git|node_modules|dist|build|target|.venv|venv|.next|.cache|vendor|.oi-move) continue;; esac
    [ -d "$d" ] && [ ! -h "$d" ] || continue
    [ "$(find "$d" | head -n 20001 | wc -l)" -le 20000 ] || continue
    cp -a "$d" "$repo/.oi-move" && rm -rf "$d" && mv "$repo/.oi-move" "$d"
  done
done
`;

export function overlayOptions(mapping: UserMapping, lowerDirs: string[], upper: { dir: string; work: string } | null): string {
  const lower = `lowerdir=${lowerDirs.join(":")}`;
  return upper === null
    ? `${lower},${mapping.overlayOptions}`
    : `${lower},upperdir=${upper.dir},workdir=${upper.work},${mapping.overlayOptions},volatile`;
}

/**
 * @returns the script of a shell that already has a mount namespace and control groups of its own; it becomes the launcher
 * and prints what the agent prints. Should the engine die before the launcher has tied itself to it, the agent ends the
 * guest: its input is at its end.
 */
export function buildLaunch(plan: LaunchPlan): string {
  const { mapping } = plan;
  const place = plan.placeDir;
  const disk = plan.diskBytes === null ? null : { dir: `${place}/disk/fs`, work: `${place}/disk/work` };
  const options = overlayOptions(
    mapping,
    plan.lowerDirs,
    disk ?? { dir: `${plan.guestDirFromLayers}/delta/fs`, work: `${plan.guestDirFromLayers}/work` },
  );
  const launcher = [...rlimitArgs(plan), ...(plan.launcher === "bwrap" ? bwrapArgs(plan, place) : unshareArgs(plan, place))];
  return [
    `cd ${quote(plan.layersDir)}`,
    ...(disk === null
      ? []
      : [
          `like=${quote(`${place}/delta/fs`)}; disk=${quote(`${place}/disk`)}`,
          `mount -t tmpfs -o size=${plan.diskBytes},mode=711 disk "$disk"; mkdir "$disk/fs" "$disk/work"`,
          'for dir in fs work; do chown --reference="$like" "$disk/$dir"; chmod --reference="$like" "$disk/$dir"; done',
        ]),
    `mount -i -t overlay overlay -o ${quote(options)} ${quote(`${place}/root`)}`,
    "cd /",
    ...(plan.materialise ? [`R=${quote(`${place}/root`)}`, "set +e", MATERIALISE, "set -e"] : []),
    ...(plan.launcher === "bwrap" && plan.seccompFile !== null ? [`exec 9< ${quote(plan.seccompFile)}`] : []),
    `exec ${[...(mapping.mountsAsHostRoot ? mapping.enter(plan.holderPid) : []), ...launcher].map(quote).join(" ")}`,
    "",
  ].join("\n");
}

function rlimitArgs(plan: LaunchPlan): string[] {
  const { pids, dataBytes } = plan.rlimits;
  const limits = [...(pids === null ? [] : [`--nproc=${pids}`]), ...(dataBytes === null ? [] : [`--data=${dataBytes}`])];
  return limits.length === 0 ? [] : ["prlimit", ...limits, "--"];
}

/** Stands on a directory that the launcher itself mounts. */
const isLate = ({ target }: HostView) => target.startsWith("/opt/tools/") || target.startsWith("/run/");

const showsTools = (plan: LaunchPlan) => plan.toolFiles.length + plan.toolLinks.length > 0;

function bwrapArgs(plan: LaunchPlan, place: string): string[] {
  return [
    "bwrap",
    ...["--bind", `${place}/root`, "/"],
    ...plan.views.filter((view) => !isLate(view)).flatMap(({ source, target }) => ["--ro-bind", source, target]),
    ...(plan.proc === "own" ? ["--proc", "/proc"] : ["--ro-bind", "/proc", "/proc"]),
    ...["--dev", "/dev", "--perms", "1777", "--tmpfs", "/dev/shm", "--tmpfs", "/run", "--dir", "/run/lock"],
    ...["--ro-bind", plan.node, `${AGENT_DIR}/node`, "--ro-bind", plan.agentFile, `${AGENT_DIR}/agent.cjs`],
    ...["--bind", `${place}/ctl`, "/run/ctl", "--ro-bind", `${place}/net`, "/run/net"],
    ...["--perms", "0755", "--dir", "/run/host-certs"],
    ...(showsTools(plan) ? ["--tmpfs", "/opt/tools", "--perms", "0755", "--dir", "/opt/tools/bin"] : []),
    ...plan.views.filter(isLate).flatMap(({ source, target }) => ["--ro-bind", source, target]),
    ...plan.toolFiles.flatMap(({ name, source }) => ["--ro-bind", source, `/opt/tools/bin/${name}`]),
    ...plan.toolLinks.flatMap(({ name, target }) => ["--symlink", target, `/opt/tools/bin/${name}`]),
    ...(showsTools(plan) ? ["--remount-ro", "/opt/tools"] : []),
    ...["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try", "--unshare-net", "--hostname", plan.hostname],
    ...["--die-with-parent", "--new-session", "--clearenv"],
    ...Object.entries(plan.agentEnv).flatMap(([name, value]) => ["--setenv", name, value]),
    ...["--cap-drop", "ALL", ...KEPT_CAPABILITIES.flatMap((name) => ["--cap-add", `CAP_${name.toUpperCase()}`])],
    ...(plan.seccompFile === null ? [] : ["--seccomp", "9"]),
    ...["--chdir", "/", "--", `${AGENT_DIR}/node`, `${AGENT_DIR}/agent.cjs`, ...plan.agentArgs],
  ];
}

/** The same guest with util-linux alone. `sh` is PID 1 and reaps; only Perl can load the seccomp program. */
function unshareArgs(plan: LaunchPlan, place: string): string[] {
  const root = quote(`${place}/root`);
  const show = (source: string, target: string, file: boolean, writable = false) => [
    file
      ? `mkdir -p "$R"${quote(target.slice(0, target.lastIndexOf("/")))}; : >> "$R"${quote(target)}`
      : `mkdir -p "$R"${quote(target)}`,
    `mount --rbind ${quote(source)} "$R"${quote(target)}`,
    ...(writable
      ? []
      : [`mount -o remount,bind,ro "$R"${quote(target)} || mount -o remount,bind,ro,nosuid,nodev "$R"${quote(target)}`]),
  ];
  const agent = [`${AGENT_DIR}/node`, `${AGENT_DIR}/agent.cjs`, ...plan.agentArgs].map(quote).join(" ");
  const init = `trap : TERM INT HUP; exec 8<&0; ${agent} <&8 8<&- & exec 8<&- </dev/null; wait $!`;
  const script = [
    "set -e",
    `mount --rbind ${root} ${root}`,
    `R=${root}`,
    ...plan.views.filter((view) => !isLate(view)).flatMap((view) => show(view.source, view.target, view.kind === "file")),
    'mkdir -p "$R/proc" "$R/dev" "$R/run"',
    plan.proc === "own" ? 'mount -t proc -o nosuid,nodev,noexec proc "$R/proc"' : 'mount --rbind /proc "$R/proc"',
    'mount -t tmpfs -o mode=755,nosuid dev "$R/dev"; mkdir "$R/dev/pts" "$R/dev/shm"',
    'for n in null zero full random urandom tty; do : > "$R/dev/$n"; mount --bind "/dev/$n" "$R/dev/$n"; done',
    'mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$R/dev/pts"; ln -s pts/ptmx "$R/dev/ptmx"',
    'mount -t tmpfs -o mode=1777,nosuid,nodev shm "$R/dev/shm"; ln -s /proc/self/fd "$R/dev/fd"',
    'ln -s fd/0 "$R/dev/stdin"; ln -s fd/1 "$R/dev/stdout"; ln -s fd/2 "$R/dev/stderr"',
    'mount -t tmpfs -o mode=755,nosuid,nodev run "$R/run"; mkdir "$R/run/lock"',
    ...show(plan.node, `${AGENT_DIR}/node`, true),
    ...show(plan.agentFile, `${AGENT_DIR}/agent.cjs`, true),
    ...show(`${place}/ctl`, "/run/ctl", false, true),
    ...show(`${place}/net`, "/run/net", false),
    ...(showsTools(plan)
      ? ['mkdir -p "$R/opt/tools"; mount -t tmpfs -o mode=755,nosuid,nodev tools "$R/opt/tools"; mkdir "$R/opt/tools/bin"']
      : []),
    ...plan.views.filter(isLate).flatMap((view) => show(view.source, view.target, view.kind === "file")),
    ...plan.toolFiles.flatMap(({ name, source }) => show(source, `/opt/tools/bin/${name}`, true)),
    ...plan.toolLinks.map(({ name, target }) => `ln -s ${quote(target)} "$R"/opt/tools/bin/${quote(name)}`),
    ...(showsTools(plan) ? ['mount -o remount,bind,ro "$R/opt/tools"'] : []),
    `hostname ${quote(plan.hostname)}`,
    "ip link set lo up || ifconfig lo up",
    ...becomeInit(plan, `${place}/root`, ["/bin/sh", "-c", init]),
  ].join("\n");
  const namespaces = ["-m", "-p", "-i", "-u", "-n", "-C", "--fork", "--kill-child=KILL", "--propagation", "private"];
  return ["setpriv", "--pdeathsig", "KILL", "unshare", ...namespaces, "sh", "-c", script];
}

/** From the mounts of a guest, made but not entered, to its PID 1. */
function becomeInit(plan: LaunchPlan, root: string, argv: string[]): string[] {
  const { seccompFile: filterFile, agentEnv: env } = plan;
  const perl =
    filterFile === null ? null : perlLaunch(process.arch, { filterFile, root, capabilities: KEPT_CAPABILITIES, env, argv });
  if (perl !== null) return [`exec ${perl.map(quote).join(" ")}`];
  const caps = `-all,${KEPT_CAPABILITIES.map((name) => `+${name}`).join(",")}`;
  const words = [
    ...["env", "-i", ...Object.entries(env).map(([name, value]) => `${name}=${value}`)],
    ...["setpriv", "--bounding-set", caps, "--inh-caps", caps, "--no-new-privs", ...argv],
  ];
  return [
    'cd "$R"; mkdir run/.old; pivot_root . run/.old; cd /',
    "umount -l /run/.old; rmdir /run/.old",
    `exec ${words.map(quote).join(" ")}`,
  ];
}
