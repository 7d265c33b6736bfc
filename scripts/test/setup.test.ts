/** The first step of every command: it installs when something is not as the last install left it, and costs nothing otherwise. */
import { spawnSync } from "node:child_process";
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";

let top: string;
let project: string;
beforeEach(() => {
  top = mkdtempSync(join(tmpdir(), "open-inspect-setup-"));
  project = join(top, "project");
  write("scripts/setup.mjs", readFileSync(join(import.meta.dirname, "../setup.mjs"), "utf8"));
  write("package.json", JSON.stringify({ packageManager: "pnpm@1.2.3" }));
  write("pnpm-lock.yaml", "zod: 1\n");
  write("packages/web/package.json", "{}");
  // What pnpm does, as far as it is seen: a store, links to it, and its own notes at the end.
  writeFileSync(
    join(top, "npx"),
    `#!/bin/sh
echo "$@" >> ${top}/installs
[ -e ${top}/broken ] && { mkdir -p node_modules/.pnpm/half; exit 7; }
mkdir -p node_modules/.pnpm/zod@1/node_modules/zod packages/web/node_modules
[ -e node_modules/zod ] || ln -s .pnpm/zod@1/node_modules/zod node_modules/zod
[ -e packages/web/node_modules/zod ] || ln -s ../../../node_modules/zod packages/web/node_modules/zod
date +%N > node_modules/.modules.yaml
echo "pnpm says this"
`,
  );
  chmodSync(join(top, "npx"), 0o755);
});
afterEach(() => rmSync(top, { recursive: true, force: true }));

function write(path: string, text: string) {
  mkdirSync(dirname(join(project, path)), { recursive: true });
  writeFileSync(join(project, path), text);
}

/** How often the command installed, its exit code, and what it left on standard output. */
function setup() {
  const log = join(top, "installs");
  rmSync(log, { force: true });
  const env = { ...process.env, PATH: `${top}:${process.env.PATH}` };
  const done = spawnSync(process.execPath, [join(project, "scripts/setup.mjs")], { env, encoding: "utf8" });
  const commands = existsSync(log) ? readFileSync(log, "utf8").trim().split("\n") : [];
  return { commands, status: done.status, stdout: done.stdout };
}
const installed = { commands: ["-y pnpm@1.2.3 install --frozen-lockfile"], status: 0, stdout: "" };
const nothing = { commands: [], status: 0, stdout: "" };

it("installs once, as the lockfile says, and says nothing on standard output", () => {
  expect(setup()).toEqual(installed);
  expect(setup()).toEqual(nothing);
  // What tools keep beside the packages is no change.
  write("node_modules/.vitest-cache/x", "1");
  write("packages/web/node_modules/.vite/x", "1");
  expect(setup()).toEqual(nothing);
});

it("installs again when something is not as the last install left it", () => {
  expect(setup()).toEqual(installed);
  const changes: [string, () => void][] = [
    ["a new lockfile", () => write("pnpm-lock.yaml", "zod: 2\n")],
    ["a package's changed dependencies", () => write("packages/web/package.json", '{"dependencies":{}}')],
    ["a new package", () => write("packages/new/package.json", "{}")],
    ["a package's node_modules that is gone", () => rmSync(join(project, "packages/web/node_modules"), { recursive: true })],
    ["a dependency that is gone from the store", () => rmSync(join(project, "node_modules/.pnpm/zod@1"), { recursive: true })],
    ["a link that is gone", () => rmSync(join(project, "node_modules/zod"))],
    [
      "a link that leads elsewhere",
      () => {
        rmSync(join(project, "packages/web/node_modules/zod"));
        symlinkSync("/", join(project, "packages/web/node_modules/zod"));
      },
    ],
    ["everything gone", () => rmSync(join(project, "node_modules"), { recursive: true })],
  ];
  for (const [what, change] of changes) {
    change();
    expect(setup(), what).toEqual(installed);
  }
  expect(setup()).toEqual(nothing);
});

it("does not take a copy for an installation, as it may have come from another machine", () => {
  setup();
  const original = project;
  project = join(top, "copy");
  cpSync(original, project, { recursive: true, verbatimSymlinks: true });
  expect(setup()).toEqual(installed);
  rmSync(original, { recursive: true });
  cpSync(project, original, { recursive: true, verbatimSymlinks: true });
  project = original;
  expect(setup()).toEqual(installed);
});

it("fails with the install, and tries again, also when everything looks as it did before it", () => {
  setup();
  write("pnpm-lock.yaml", "zod: 2\n");
  writeFileSync(join(top, "broken"), "");
  expect(setup()).toMatchObject({ status: 7, stdout: "" });
  rmSync(join(top, "broken"));
  // As after `git checkout` of what was there before.
  write("pnpm-lock.yaml", "zod: 1\n");
  rmSync(join(project, "node_modules/.pnpm/half"), { recursive: true });
  expect(setup()).toEqual(installed);
  expect(setup()).toEqual(nothing);
});
