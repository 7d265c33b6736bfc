/** What a page shows of the work: against real git, in real folders. */
import { execFileSync } from "node:child_process";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { diffFilesMax, diffMaxBytes, workspaceDiffSchema } from "@open-inspect/protocol";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { readWorkspaceDiff } from "../src/adapters/workspace-diff.ts";
import { git } from "./support/git-server.ts";

let root: string;
let folder: string;
let base: string;
const env = { PATH: process.env.PATH, HOME: tmpdir() };
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "runtime-diff-"));
  const made = join(root, "made");
  mkdirSync(join(made, "src"), { recursive: true });
  git(made, "init", "--quiet");
  const lines = (count: number) => Array.from({ length: count }, (_, line) => `line ${line}\n`).join("");
  for (const name of ["a.ts", "b.ts", "old name.ts"]) writeFileSync(join(made, "src", name), `${name}\n${lines(30)}`);
  writeFileSync(join(made, ".gitignore"), "made/\n");
  writeFileSync(join(made, "logo.png"), Buffer.from([0, 1, 2, 3]));
  git(made, "add", "-A");
  git(made, "commit", "--quiet", "-m", "Base");
  base = git(made, "rev-parse", "HEAD");
});
afterAll(() => rmSync(root, { recursive: true, force: true }));
let copies = 0;
beforeEach(() => {
  folder = join(root, `copy${copies++}`);
  cpSync(join(root, "made"), folder, { recursive: true, preserveTimestamps: true });
});

const write = (path: string, text: string | Buffer) => {
  mkdirSync(join(folder, path, ".."), { recursive: true });
  writeFileSync(join(folder, path), text);
};
const read = async (path = env.PATH, timeoutMs = 20_000) =>
  readWorkspaceDiff(folder, base, { env: { ...env, PATH: path }, timeoutMs, signal: new AbortController().signal });
/** The diff, proved to keep the protocol's limits. */
const diff = async () => {
  const found = workspaceDiffSchema.parse(await read());
  expect(Buffer.byteLength(JSON.stringify(found))).toBeLessThanOrEqual(diffMaxBytes);
  return found;
};

test("a workspace as it was has nothing", async () => {
  expect(await diff()).toEqual({ base, files: [], additions: 0, deletions: 0, isCut: false });
});

test("committed, staged, edited and new files show as what they are, with hunks that apply", async () => {
  write("src/a.ts", readFileSync(join(folder, "src/a.ts"), "utf8").replace("line 3\n", "line three\n"));
  git(folder, "commit", "--quiet", "-am", "Work");
  git(folder, "rm", "--quiet", "src/b.ts");
  git(folder, "mv", "src/old name.ts", "src/new näme.ts");
  write("src/c.ts", "one\ntwo");
  write("empty.ts", "");
  write("made/ignored.ts", "never");
  write("logo.png", Buffer.from([0, 9]));
  write("photo.png", Buffer.from([0, 9]));
  symlinkSync("src/a.ts", join(folder, "link"));
  const found = await diff();
  expect(found.files.map(({ path, from, change, additions, deletions }) => [path, from, change, additions, deletions])).toEqual([
    ["empty.ts", undefined, "added", 0, 0],
    ["link", undefined, "added", 1, 0],
    ["logo.png", undefined, "modified", 0, 0],
    ["photo.png", undefined, "added", 0, 0],
    ["src/a.ts", undefined, "modified", 1, 1],
    ["src/b.ts", undefined, "deleted", 0, 31],
    ["src/c.ts", undefined, "added", 2, 0],
    ["src/new näme.ts", "src/old name.ts", "renamed", 0, 0],
  ]);
  const hunks = Object.fromEntries(found.files.map((file) => [file.path, file.hunks]));
  expect(hunks["src/a.ts"]).toMatch(/^@@ -2,7 \+2,7 @@.*\n line 0\n line 1\n line 2\n-line 3\n\+line three\n line 4\n/);
  expect(hunks["src/c.ts"]).toBe("@@ -0,0 +1,2 @@\n+one\n+two\n\\ No newline at end of file\n");
  expect([hunks["empty.ts"], hunks["logo.png"], hunks["photo.png"], hunks["src/new näme.ts"]]).toEqual(["", null, null, ""]);
  expect(found).toMatchObject({ additions: 4, deletions: 32, isCut: false });

  const again = join(root, "again");
  cpSync(join(root, "made"), again, { recursive: true });
  for (const path of ["src/a.ts", "src/c.ts"]) {
    const header = `--- ${path === "src/c.ts" ? "/dev/null" : `a/${path}`}\n+++ b/${path}\n`;
    execFileSync("git", ["apply", "-"], { cwd: again, input: header + hunks[path] });
    expect(readFileSync(join(again, path), "utf8")).toBe(readFileSync(join(folder, path), "utf8"));
  }
});

test("a file that became a link and one that was taken out of git are told without mixing up hunks", async () => {
  rmSync(join(folder, "src/a.ts"));
  symlinkSync("b.ts", join(folder, "src/a.ts"));
  write("src/b.ts", "changed\n");
  git(folder, "rm", "--quiet", "--cached", "src/old name.ts");
  const found = await diff();
  expect(found.files.map(({ path, change }) => [path, change])).toEqual([
    ["src/a.ts", "modified"],
    ["src/b.ts", "modified"],
    ["src/old name.ts", "modified"],
  ]);
  expect(found.files[0]?.hunks).toContain("+b.ts");
  expect(found.files[1]?.hunks).toContain("+changed");
});

test("never writes: a stale index, and one that another git has locked, stay as they are", async () => {
  const index = join(folder, ".git/index");
  utimesSync(join(folder, "src/a.ts"), new Date(), new Date());
  writeFileSync(`${index}.lock`, "");
  const before = { bytes: readFileSync(index), at: statSync(index).mtimeMs };
  write("src/b.ts", "x\n");
  expect((await diff()).files.map(({ path }) => path)).toEqual(["src/b.ts"]);
  expect(readFileSync(index).equals(before.bytes)).toBe(true);
  expect(statSync(index).mtimeMs).toBe(before.at);
});

describe("what is too much is cut, and says so", () => {
  test("hunks, the largest first", async () => {
    write("huge.txt", "x".repeat(80).concat("\n").repeat(4_000));
    write("src/a.ts", "small\n");
    write("src/b.ts", "long line\n".repeat(6_000));
    const found = await diff();
    expect(found).toMatchObject({ isCut: true, additions: 10_001 });
    expect(found.files.map(({ path, hunks }) => [path, hunks === null])).toEqual([
      ["huge.txt", true],
      ["src/a.ts", false],
      ["src/b.ts", true],
    ]);
  });

  test("files above the limit", async () => {
    for (let file = 0; file < diffFilesMax + 5; file++) write(`many/${file}.txt`, "x\n");
    const found = await diff();
    expect(found.files).toHaveLength(diffFilesMax);
    expect(found.isCut).toBe(true);
  });

  test("long paths with escapes still fit", async () => {
    renameSync(join(folder, "src"), join(folder, "gone"));
    for (let file = 0; file < 400; file++) write(`${"\u0001".repeat(200)}/${file}`, '"\u0002\n'.repeat(20));
    expect((await diff()).isCut).toBe(true);
  });

  test("git that takes too long gives nothing", async () => {
    const slow = join(root, "slow");
    mkdirSync(slow);
    writeFileSync(join(slow, "git"), "#!/bin/sh\nexec sleep 30", { mode: 0o755 });
    expect(await read(`${slow}:${env.PATH}`, 200)).toBeNull();
  });
});
