/**
 * Stands in for `/__modal/.bin/modal-sandbox-fs-tools`, the program behind the SDK's filesystem calls, by shell scripts that run
 * in the guest: sh, coreutils and GNU find are all it needs there, and Node for `watch`. Knows nothing of gRPC.
 */
import { z } from "zod";
import { type Guest, type GuestProcess } from "./engine/engine.ts";
import { watchScript } from "./fs-watch.ts";
import { createOutputTail } from "./output-tail.ts";

export const fsToolsPath = "/__modal/.bin/modal-sandbox-fs-tools";
/** The SDK reads a file only after the tool has ended, so all of it has to fit into what is retained. */
const largestReadBytes = 64 * 1024 * 1024;

const path = z.string().startsWith("/");
const commandSchema = z.union([
  z.object({ ReadFile: z.object({ path }) }).transform((c) => ({ kind: "read" as const, ...c.ReadFile })),
  z.object({ WriteFile: z.object({ path }) }).transform((c) => ({ kind: "write" as const, ...c.WriteFile })),
  z.object({ ListFiles: z.object({ path }) }).transform((c) => ({ kind: "list" as const, ...c.ListFiles })),
  z.object({ Stat: z.object({ path }) }).transform((c) => ({ kind: "stat" as const, ...c.Stat })),
  z
    .object({ MakeDirectory: z.object({ path, parents: z.boolean() }) })
    .transform((c) => ({ kind: "mkdir" as const, ...c.MakeDirectory })),
  z.object({ Remove: z.object({ path, recursive: z.boolean() }) }).transform((c) => ({ kind: "remove" as const, ...c.Remove })),
  z
    .object({
      Watch: z.object({
        path,
        recursive: z.boolean(),
        filter: z.array(z.string()).nullable(),
        timeout_secs: z.number().nonnegative().nullable(),
      }),
    })
    .transform((c) => ({ kind: "watch" as const, ...c.Watch })),
]);
type Command = z.infer<typeof commandSchema>;

/** Exit codes of the scripts → what the SDK makes an error class of. */
const failures: Record<number, { error_kind: string; message: string }> = {
  101: { error_kind: "NotFound", message: "No such file or directory" },
  102: { error_kind: "NotDirectory", message: "Not a directory" },
  103: { error_kind: "PermissionDenied", message: "Permission denied" },
  104: { error_kind: "IsDirectory", message: "Is a directory" },
  105: { error_kind: "PathAlreadyExists", message: "Path already exists" },
  106: { error_kind: "DirectoryNotEmpty", message: "Directory not empty" },
  107: { error_kind: "FileTooLarge", message: `File is larger than ${largestReadBytes} bytes` },
  108: { error_kind: "NotSupported", message: "The emulator does not support this" },
};

// `up` finds the nearest ancestor that exists; `reach` says why $1 cannot be reached
const prelude = `p=$1
exists() { [ -e "$1" ] || [ -L "$1" ]; }
up() { d=$(dirname "$1"); while ! exists "$d"; do d=$(dirname "$d"); done; [ -d "$d" ] || exit 102; [ -x "$d" ] || exit 103; }
reach() { exists "$p" && return; up "$p"; exit 101; }
`;
const entryFormat = "%f\\0%y\\0%s\\0%m\\0%M\\0%u\\0%g\\0%T@\\0%l\\0";

const scripts: Record<Command["kind"], string> = {
  read: `reach; [ -d "$p" ] && exit 104; [ -r "$p" ] || exit 103
[ "$(stat -L -c %s "$p")" -le ${largestReadBytes} ] || exit 107
exec cat -- "$p"`,
  // written beside and moved: a stream that breaks off leaves the old file as it was
  write: `[ -d "$p" ] && exit 104; up "$p"; d=$(dirname "$p"); mkdir -p -- "$d" || exit 103; [ -w "$d" ] || exit 103
t="$d/.modal-write.$$"; cat > "$t" || { rm -f -- "$t"; exit 1; }
if exists "$p"; then cat "$t" > "$p"; c=$?; rm -f -- "$t"; [ $c = 0 ] || exit 103; else mv -f -- "$t" "$p"; fi`,
  list: `reach; [ -d "$p" ] || exit 102; [ -r "$p" ] || exit 103
exec find "$p/" -mindepth 1 -maxdepth 1 -printf '${entryFormat}'`,
  stat: `reach; exec find "$p" -maxdepth 0 -printf '${entryFormat}'`,
  mkdir: `if [ "$2" = true ]; then [ -d "$p" ] && exit 0; exists "$p" && exit 102; up "$p"; mkdir -p -- "$p" || exit 103
else exists "$p" && exit 105; d=$(dirname "$p"); exists "$d" || { up "$d"; exit 101; }; [ -d "$d" ] || exit 102; mkdir -- "$p" || exit 103; fi`,
  remove: `reach; if [ -d "$p" ] && [ ! -L "$p" ] && [ "$2" != true ]; then
[ -z "$(ls -A -- "$p")" ] || exit 106; rmdir -- "$p" || exit 103; else rm -rf -- "$p" || exit 103; fi`,
  watch: watchScript,
};

function flagOf(command: Command): string[] {
  if (command.kind === "mkdir") return [String(command.parents)];
  if (command.kind === "remove") return [String(command.recursive)];
  if (command.kind === "watch")
    return [command.recursive, command.filter, command.timeout_secs].map((each) => JSON.stringify(each));
  return [];
}

/** The fields of `find -printf` → the entries of the SDK's `FileInfo`. */
function parseEntries(output: string, folder: string | null): object[] {
  const fields = output.split("\0");
  const entries = [];
  for (let at = 0; at + 8 < fields.length; at += 9) {
    const [name = "", type = "", size = "", mode = "", permissions = "", owner = "", group = "", time = "", target = ""] =
      fields.slice(at, at + 9);
    entries.push({
      name,
      path: folder === null ? null : `${folder.replace(/\/+$/, "")}/${name}`,
      type: type === "d" ? "directory" : type === "l" ? "symlink" : "file",
      size: Number(size),
      mode: Number.parseInt(mode, 8),
      permissions: permissions.slice(1),
      owner,
      group,
      modified_time: Number(time),
      symlink_target: type === "l" ? target : null,
    });
  }
  return entries.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

function parseCommand(json: string): Command | null {
  try {
    return commandSchema.safeParse(JSON.parse(json)).data ?? null;
  } catch {
    return null;
  }
}

/** Starts one filesystem call in the guest. The returned process speaks the tool's contract on stdout, stderr and exit code. */
export async function startFsTool(guest: Guest, json: string): Promise<GuestProcess> {
  const command = parseCommand(json);
  const script = command ? prelude + scripts[command.kind] : "exit 108";
  const inner = await guest.exec({
    argv: ["/bin/sh", "-c", script, "fs-tools", command?.path ?? "/", ...(command ? flagOf(command) : [])],
    env: { LC_ALL: "C" },
    workdir: "/",
    timeoutMs: null,
    pty: false,
  });
  // the script may be through before anyone listens
  const early: [fd: 1 | 2, bytes: Uint8Array][] = [];
  const listener: { push: (fd: 1 | 2, bytes: Uint8Array) => void } = { push: (fd, bytes) => void early.push([fd, bytes]) };
  const listing: Uint8Array[] = [];
  const noise = createOutputTail(5);
  const isListing = command?.kind === "list" || command?.kind === "stat";
  inner.onOutput((fd, bytes) => {
    if (fd === 2) noise.add(bytes);
    else if (isListing) listing.push(bytes);
    else listener.push(1, bytes);
  });
  const exit = inner.exit.then((code) => {
    if (code !== 0) {
      const failure = failures[code] ?? { error_kind: "Other", message: `The filesystem call failed: ${noise.text()}` };
      listener.push(2, Buffer.from(JSON.stringify({ ...failure, detail: noise.text() })));
      return 1;
    }
    if (isListing && command) {
      const output = Buffer.concat(listing).toString("utf8");
      const isList = command.kind === "list";
      const entries = parseEntries(output, isList ? command.path : null);
      listener.push(1, Buffer.from(JSON.stringify(isList ? entries : { ...entries[0], path: command.path })));
    }
    return 0;
  });
  return {
    write: (bytes) => inner.write(bytes),
    closeStdin: () => inner.closeStdin(),
    onOutput: (push) => {
      listener.push = push;
      for (const [fd, bytes] of early.splice(0)) push(fd, bytes);
    },
    exit,
    kill: () => inner.kill(),
  };
}
