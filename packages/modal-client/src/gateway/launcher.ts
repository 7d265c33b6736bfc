/**
 * The few lines of shell that the gateway runs inside a sandbox. Knows the runtime's paths; nothing of Modal or HTTP.
 *
 * The config is one line on standard input and stays in memory: `read` and `printf` are the shell's own, so it is in no
 * argument list, no environment and no file. (A here-document would be a file in some shells.)
 */
import { runtimeNodeArgs, sandboxPaths } from "@open-inspect/protocol";

const { stateDir, runtimeBundle, runtimeLog } = sandboxPaths;

/** What the launcher's exit code says. */
export const launchOutcomes = {
  0: "started",
  10: "already_started",
  20: "config_incomplete",
  21: "tools_missing",
  22: "runtime_missing",
  23: "died_at_once",
  24: "state_dir_unusable",
} as const;
export type LaunchOutcome = (typeof launchOutcomes)[keyof typeof launchOutcomes];

/**
 * Argument 1 is the sandbox's id. It names the lock: a lock that a snapshot brought along belongs to another sandbox and
 * is swept away with everything else that was running there. A lock without a pid is a launcher that died half-way.
 * It waits until tini runs: before `setsid` the child would share the fate of this script's own process group.
 */
export const launchScript = `set -u
dir=${stateDir} lock=${stateDir}/started.$1
IFS= read -r config || exit 20
case $config in '{'*'}') ;; *) exit 20 ;; esac
mkdir -p "$dir" || exit 24
if ! mkdir "$lock" 2>/dev/null; then
  [ -d "$lock" ] || exit 24
  for wait in 0.1 0.2 0.4 0.8; do
    [ -s "$lock/pid" ] && exit 10
    sleep $wait
  done
  [ -s "$lock/pid" ] && exit 10
  rm -rf "$lock"
  mkdir "$lock" 2>/dev/null || exit 10
fi
fail() { rmdir "$lock" 2>/dev/null; exit "$1"; }
for entry in "$dir"/* "$dir"/.[!.]*; do
  [ "$entry" = "$lock" ] || [ ! -e "$entry" ] || rm -rf "$entry"
done
for tool in setsid tini node; do command -v "$tool" >/dev/null || fail 21; done
[ -r ${runtimeBundle} ] || fail 22
umask 077
: >${runtimeLog} || fail 24
umask 022
cd /
printf '%s\\n' "$config" 2>/dev/null | setsid tini -s -- node ${runtimeNodeArgs.join(" ")} ${runtimeBundle} >>${runtimeLog} 2>&1 &
pid=$!
config=
printf '%s\\n' "$pid" >"$lock/pid"
tries=0
while [ $tries -lt 400 ]; do
  tries=$((tries + 1))
  [ $tries -lt 200 ] || sleep 0.01
  kill -0 "$pid" 2>/dev/null || exit 23
  name=
  { IFS= read -r name </proc/$pid/comm; } 2>/dev/null || exit 0
  [ "$name" = tini ] && exit 0
done
exit 0
`;

/** What the exit code of `aliveScript` says; any other one says nothing. */
export const aliveOutcomes = { 10: "running", 11: "gone" } as const;

/**
 * Looks for the runtime that `launchScript` started in the sandbox of argument 1. A process that is only waiting for its
 * parent to notice, or another one that has its number now, is not it.
 */
export const aliveScript = `set -u
[ -r /proc/self/stat ] || exit 12
{ IFS= read -r pid <${stateDir}/started.$1/pid; } 2>/dev/null || exit 12
{ read -r id name state rest </proc/$pid/stat; } 2>/dev/null || exit 11
[ "$name" = '(tini)' ] && [ "$state" != Z ] && exit 10
exit 11
`;

/** Prints at most argument 2 bytes of the runtime's log from the byte after argument 1 on. */
export const logScript = `[ -e ${runtimeLog} ] || exit 0
tail -c +$(($1 + 1)) ${runtimeLog} | head -c $2
`;

/** What the exit code 75 of `beforeSnapshotScript` says: a snapshot was begun here, by another gateway process or long ago. */
export const snapshotBegunCode = 75;

/**
 * Run before a snapshot, so that the sandbox has proved to be reachable and its files are on disk. Arguments: the sandbox's
 * id, and an id of this gateway process, which is left as a mark: a process that comes later cannot know how it ended.
 */
export const beforeSnapshotScript = `set -u
mark=${stateDir}/snapshot.$1
mkdir -p ${stateDir} || exit 1
for other in "$mark".*; do
  [ "$other" = "$mark.$2" ] || [ ! -e "$other" ] || exit ${snapshotBegunCode}
done
mkdir -p "$mark.$2" || exit 1
sync -f / 2>/dev/null || sync
`;

/** the longest note that `noteReadScript` prints */
const noteMaxBytes = 256;

/**
 * Run after a snapshot, in the sandbox that it was taken of: leaves argument 2 for a gateway that comes later and finds the mark. By
 * way of another name, so that a note is there as a whole or not at all.
 */
export const noteWriteScript = `set -u
note=${stateDir}/snapshot.$1.note
umask 077
printf '%s\\n' "$2" >"$note.new" && mv -f "$note.new" "$note"
`;

/** Prints what `noteWriteScript` left in the sandbox of argument 1. */
export const noteReadScript = `head -c ${noteMaxBytes} ${stateDir}/snapshot.$1.note 2>/dev/null
exit 0
`;
