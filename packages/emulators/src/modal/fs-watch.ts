/**
 * The program behind the SDK's `filesystem.watch`, run in the guest by the Node that the engine shows there. One JSON line per event;
 * ends with its input. Node does not tell of reads, and tells both ends of a rename apart: so there is no `Access`, and a
 * rename is a `Remove` and a `Create`. Knows nothing of gRPC.
 */

/** argv: path, recursive, filter as a JSON list or null, seconds or null */
const program = `
const fs = require("fs"), path = require("path");
const [given, recursive, filter, seconds] = process.argv.slice(1).map((each, at) => (at === 0 ? each : JSON.parse(each)));
const emit = (type, file) => {
  if (filter === null || filter.includes(type)) fs.writeSync(1, JSON.stringify({ event_type: type, paths: [file] }) + "\\n");
};
const look = (file) => { try { return fs.lstatSync(file); } catch { return null; } };
const root = fs.realpathSync(given);
const only = fs.statSync(root).isDirectory() ? null : path.basename(root);
function follow(folder, isNew) {
  const names = new Set();
  const found = (name) => {
    names.add(name);
    const stat = look(path.join(folder, name));
    if (isNew && stat) emit("Create", path.join(folder, name));
    if (recursive && only === null && stat?.isDirectory()) follow(path.join(folder, name), isNew);
  };
  let watcher;
  try {
    watcher = fs.watch(folder, (type, name) => {
      if (name === null || (only !== null && name !== only)) return;
      const file = path.join(folder, name);
      const stat = look(file);
      if (stat === null) {
        if (names.delete(name)) emit("Remove", file);
      } else if (names.has(name)) emit("Modify", file);
      else if (type === "rename") {
        emit("Create", file);
        names.add(name);
        if (recursive && stat.isDirectory()) follow(file, true);
      }
    });
    watcher.on("error", () => watcher.close());
    for (const name of fs.readdirSync(folder)) found(name);
  } catch (error) {
    if (folder === root || only !== null) process.exit(error.code === "EACCES" ? 103 : 1);
  }
}
follow(only === null ? root : path.dirname(root), false);
if (seconds !== null) setTimeout(() => process.exit(0), seconds * 1000);
process.stdin.on("end", () => process.exit(0)).on("error", () => process.exit(0)).resume();
`;

/** Follows the prelude of the filesystem scripts: `$1` is the path; the others as above. */
export const watchScript = `reach; [ -r "$p" ] || exit 103
n=/run/agent/node; [ -x "$n" ] || n=$(command -v node) || exit 108
exec "$n" -e '${program}' "$@"`;
