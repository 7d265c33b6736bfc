/** What of a workspace is an input of its image, against repositories of git itself. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { inputFilesMax, workspaceInputsSchema } from "@open-inspect/protocol";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { measureBytes, readImageInputs } from "../src/adapters/image-inputs.ts";
import { RuntimeFailure } from "../src/domain/failures.ts";
import { git } from "./support/git-server.ts";

const env = { PATH: process.env.PATH };
const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");
let workspace: string;

beforeEach(() => {
  workspace = mkdtempSync(join(tmpdir(), "runtime-inputs-"));
  git(workspace, "init", "--quiet");
});
afterEach(() => rmSync(workspace, { recursive: true, force: true }));

const write = (files: Record<string, string>) => {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(workspace, path)), { recursive: true });
    writeFileSync(join(workspace, path), text);
  }
};
const track = (files: Record<string, string>) => {
  write(files);
  git(workspace, "add", "-A");
};
const read = async () => (await readImageInputs(workspace, env)).inputs;
const paths = async () => (await read()).files.map(({ path }) => path);
const refusal = async (): Promise<RuntimeFailure["failure"]> => {
  const error: unknown = await readImageInputs(workspace, env).catch((thrown: unknown) => thrown);
  if (error instanceof RuntimeFailure) return error.failure;
  throw new Error(`not refused: ${JSON.stringify(error)}`);
};

describe("without an image.json", () => {
  test.each([
    ["npm", "package-lock.json"],
    ["npm", "npm-shrinkwrap.json"],
    ["pnpm", "pnpm-lock.yaml"],
    ["yarn", "yarn.lock"],
    ["bun", "bun.lock"],
    ["bun", "bun.lockb"],
    ["pip", "requirements.txt"],
    ["pip", "requirements-dev.txt"],
    ["pipenv", "Pipfile.lock"],
    ["uv", "uv.lock"],
    ["poetry", "poetry.lock"],
    ["cargo", "Cargo.lock"],
    ["go", "go.sum"],
    ["bundler", "Gemfile.lock"],
    ["composer", "composer.lock"],
  ])("the lockfile of %s is an input, at the top and in any folder: %s", async (_, name) => {
    track({ [name]: "1", [`deep/in a folder/${name}`]: "2", [`other-${name}`]: "3", "src/main.ts": "4" });
    expect((await read()).files).toEqual(
      [
        { path: `deep/in a folder/${name}`, digest: sha256("2") },
        { path: name, digest: sha256("1") },
      ].sort((a, b) => (a.path < b.path ? -1 : 1)),
    );
  });

  test("only what git tracks counts: what setup made and what nobody added is none", async () => {
    track({ ".gitignore": "node_modules/\n", "package-lock.json": "1" });
    write({ "node_modules/x/yarn.lock": "made", "vendor/go.sum": "not added" });
    expect(await paths()).toEqual(["package-lock.json"]);
  });

  test("the scripts count by their contents, and are null where there are none", async () => {
    expect(await read()).toEqual({ setup: null, refresh: null, files: [], omittedFiles: 0 });
    track({ ".openinspect/setup.sh": "one", ".openinspect/refresh.sh": "two" });
    expect(await read()).toMatchObject({ setup: sha256("one"), refresh: sha256("two") });
    chmodSync(join(workspace, ".openinspect/setup.sh"), 0o755);
    expect(await read()).toMatchObject({ setup: sha256("one") });
  });

  test("the same contents give the same inputs, in whatever order they were written; another content gives others", async () => {
    track({ "b/uv.lock": "2", "a/uv.lock": "1", "ä/uv.lock": "3" });
    const first = await read();
    rmSync(join(workspace, "a"), { recursive: true });
    track({ "a/uv.lock": "1" });
    expect(await read()).toEqual(first);
    track({ "a/uv.lock": "1 changed" });
    expect(await read()).not.toEqual(first);
  });

  test("a symbolic link and a tracked file that is gone are no inputs: nothing outside of the workspace is read", async () => {
    symlinkSync("/etc/passwd", join(workspace, "yarn.lock"));
    track({ "go.sum": "1", "Cargo.lock": "2" });
    rmSync(join(workspace, "Cargo.lock"));
    expect(await paths()).toEqual(["go.sum"]);
  });

  test("a repository with thousands of lockfiles still fits the protocol, and says how many are left out", async () => {
    track(Object.fromEntries(Array.from({ length: inputFilesMax + 30 }, (_, index) => [`p${index}/yarn.lock`, "1"])));
    const inputs = await read();
    expect(workspaceInputsSchema.parse(inputs)).toEqual(inputs);
    expect(inputs.files).toHaveLength(inputFilesMax);
    expect(inputs.omittedFiles).toBe(30);
  });

  test("what is in the files that are too many to be listed counts all the same, and where they are", async () => {
    const many = Array.from({ length: inputFilesMax + 3 }, (_, index) => `p${String(index).padStart(3, "0")}/yarn.lock`);
    track(Object.fromEntries(many.map((path) => [path, "1"])));
    const first = await read();
    expect(first.omittedDigest).toMatch(/^[0-9a-f]{64}$/);
    const last = many.at(-1) ?? "";
    track({ [last]: "2" });
    const changed = await read();
    expect(changed.omittedDigest).not.toBe(first.omittedDigest);
    expect({ ...changed, omittedDigest: "" }).toEqual({ ...first, omittedDigest: "" });
    track({ [last]: "1" });
    expect(await read()).toEqual(first);
    git(workspace, "mv", last, "p999.yarn.lock");
    git(workspace, "mv", "p999.yarn.lock", `p999-${last.replace("/", "-")}`);
    track({ "p998/yarn.lock": "1" });
    expect(await read()).toMatchObject({ omittedFiles: 3 });
    expect((await read()).omittedDigest).not.toBe(first.omittedDigest);
  });

  test("tens of thousands of input files are digested as they are listed", async () => {
    // Straight into git's index: the files themselves are not needed.
    const blob = git(workspace, "hash-object", "-w", "--stdin");
    const lines = Array.from({ length: 40_000 }, (_, index) => `100644 ${blob}\t${"deep/".repeat(20)}p${index}/yarn.lock`);
    execFileSync("git", ["update-index", "--index-info"], { cwd: workspace, input: `${lines.join("\n")}\n`, env });
    const inputs = await read();
    expect(inputs.omittedFiles).toBe(lines.length - inputFilesMax);
    expect(inputs.omittedDigest).toMatch(/^[0-9a-f]{64}$/);
  });
});

describe("with an image.json", () => {
  test("its globs take the place of the lockfiles: * stays within a folder, ** crosses folders", async () => {
    track({
      ".openinspect/image.json": JSON.stringify({ inputs: ["db/*.sql", "**/tool?.toml"], ignorePaths: ["docs/**"] }),
      "package-lock.json": "1",
      "db/a.sql": "1",
      "db/old/b.sql": "1",
      "tool1.toml": "1",
      "x/y/tool2.toml": "1",
      "x/y/tool22.toml": "1",
    });
    const { inputs, file } = await readImageInputs(workspace, env);
    expect(inputs.files.map(({ path }) => path)).toEqual(["db/a.sql", "tool1.toml", "x/y/tool2.toml"]);
    expect(file).toMatchObject({ ignorePaths: ["docs/**"] });
  });

  test("brackets and backslashes in a glob stand for themselves", async () => {
    track({
      ".openinspect/image.json": JSON.stringify({ inputs: ["pages/[id]/*.lock", "a\\b"] }),
      "pages/[id]/x.lock": "1",
      "pages/i/x.lock": "1",
      "a\\b": "1",
      ab: "1",
    });
    expect(await paths()).toEqual(["a\\b", "pages/[id]/x.lock"]);
  });

  test("an empty list means no files, and a file that fits two globs is listed once", async () => {
    track({ ".openinspect/image.json": '{ "inputs": [] }', "package-lock.json": "1" });
    expect(await paths()).toEqual([]);
    track({ ".openinspect/image.json": '{ "inputs": ["*.json", "package*"] }' });
    expect(await paths()).toEqual(["package-lock.json"]);
  });

  test.each([
    ["no JSON", '{ "inputs": [', /./],
    ["an unknown key", '{ "input": ["a"] }', /input/],
    ["a wrong type", '{ "inputs": "a" }', /^inputs: /],
    ["an empty glob", '{ "ignorePaths": ["a", ""] }', /^ignorePaths\.1: /],
    ["a list", "[]", /^the file: /],
    ["too much", `{ "$schema": "${"x".repeat(70_000)}" }`, /larger than/],
  ])("that is %s is refused, and the lines say where it is wrong", async (_, text, line) => {
    track({ ".openinspect/image.json": text });
    const failure = await refusal();
    expect(failure.code).toBe("configuration_invalid");
    expect(failure.lines.some((one) => line.test(one))).toBe(true);
  });

  test("a glob that leaves the repository is refused with what git says of it", async () => {
    track({ ".openinspect/image.json": '{ "inputs": ["../../etc/passwd"] }' });
    const failure = await refusal();
    expect(failure.code).toBe("configuration_invalid");
    expect(failure.lines.join("\n")).toContain("outside repository");
  });
});

test("the size of folders is what is on the disk, and null where a folder cannot be measured", async () => {
  write({ blob: "x".repeat(1_000_000) });
  const before = await measureBytes([workspace], env);
  expect(before).toBeGreaterThan(1_000_000);
  write({ more: "x".repeat(1_000_000) });
  expect(await measureBytes([workspace], env)).toBeGreaterThan((before ?? 0) + 990_000);
  expect(await measureBytes([workspace], { PATH: "/nowhere" })).toBeNull();
});
