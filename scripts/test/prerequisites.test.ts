import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { ensurePrograms, type Program } from "../prerequisites.ts";

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "open-inspect-programs-"));
  path = join(folder, "bin");
  mkdirSync(path);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function program(name: string, body = "exit 0") {
  writeFileSync(join(path, name), `#!/bin/sh\n${body}\n`);
  chmodSync(join(path, name), 0o755);
}
const wanted: Program[] = ["git", "bwrap", "tini", "rg"];
const person = () => ({ uid: 1000, path });
const silent = () => {};

it("tells a person who is not root what to type, by Debian's names, and installs nothing", () => {
  program("git");
  program("apt-get", `echo "$*" >> ${folder}/installed`);
  expect(() => ensurePrograms(wanted, ["git", "tini", "bwrap"], silent, person())).toThrow(
    /^Missing: bwrap, tini\. Install with: sudo apt-get install -y bubblewrap tini$/,
  );
  expect(() => readFileSync(join(folder, "installed"))).toThrow(/ENOENT/);
});

it("goes on without what is wanted only, and names it", () => {
  for (const name of ["git", "tini"]) program(name);
  expect(ensurePrograms(wanted, ["git", "tini"], silent, person())).toEqual(["bwrap", "rg"]);
  for (const name of ["bwrap", "rg"]) program(name);
  expect(ensurePrograms(wanted, ["git", "tini"], silent, person())).toEqual([]);
});

it("a file that cannot be executed is no program", () => {
  program("git");
  chmodSync(join(path, "git"), 0o644);
  expect(() => ensurePrograms(["git"], ["git"], silent, person())).toThrow("sudo apt-get install -y git");
});
