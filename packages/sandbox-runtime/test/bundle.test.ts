/** The one file that base images carry, run as they run it: under tini, in namespaces of its own, at the real paths. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sandboxPaths } from "@open-inspect/protocol";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { buildRuntimeBundle } from "../src/bundle.ts";
import { startBridge } from "./support/bridge-server.ts";
import { startGitServer } from "./support/git-server.ts";
import { buildConfig } from "./support/sandbox.ts";

let bundle: Awaited<ReturnType<typeof buildRuntimeBundle>>;
let file: string;
const cleanups: (() => unknown)[] = [];
beforeAll(async () => {
  bundle = await buildRuntimeBundle();
  const folder = mkdtempSync(join(tmpdir(), "runtime-bundle-"));
  file = join(folder, "runtime.mjs");
  writeFileSync(file, bundle.code);
  return () => rmSync(folder, { recursive: true, force: true });
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

describe("the bundle", () => {
  test("is the same bytes each time", async () => {
    expect((await buildRuntimeBundle()).sha256).toBe(bundle.sha256);
  });

  test.each([
    ["nothing", ""],
    ["no JSON", "{"],
    ["another shape", JSON.stringify({ mode: "build", bridgeToken: "short-secret" })],
  ])("refuses %s as its configuration with exit code 2, and repeats none of it", (_name, input) => {
    const result = spawnSync(process.execPath, [file], { input, encoding: "utf8", timeout: 20_000 });
    expect(result.status).toBe(2);
    expect(result.stderr).toMatch(/configuration/);
    expect(result.stdout + result.stderr).not.toContain("short-secret");
  });
});

const bubblewrap = "bwrap";
const launcher = [bubblewrap, "tini"].every((tool) => spawnSync(tool, ["--version"]).error === undefined);

describe.skipIf(!launcher)("under tini in a pid namespace of its own", () => {
  const start = (config: unknown, binds: string[]): ChildProcess => {
    const node = process.execPath;
    const child = spawn(
      bubblewrap,
      [
        ...["--die-with-parent", "--unshare-pid", "--proc", "/proc", "--dev", "/dev"],
        ...["--ro-bind", "/usr", "/usr", "--ro-bind", "/etc", "/etc"],
        ...["--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64"],
        ...["--ro-bind", node, "/opt/tools/bin/node", "--ro-bind", file, sandboxPaths.runtimeBundle],
        ...["--tmpfs", "/run", "--tmpfs", "/tmp", "--tmpfs", "/home", ...binds],
        ...["--clearenv", "--setenv", "PATH", "/opt/tools/bin:/usr/bin:/bin"],
        ...["tini", "-s", "--", "node", sandboxPaths.runtimeBundle],
      ],
      { stdio: ["pipe", "pipe", "pipe"] },
    );
    child.stdin?.end(JSON.stringify(config));
    return child;
  };

  test("it reports its hash, builds at the real paths, and leaves nothing running that setup hid", async () => {
    const server = await startGitServer();
    const bridge = await startBridge();
    const folder = mkdtempSync(join(tmpdir(), "runtime-workspace-"));
    mkdirSync(join(folder, "repo"));
    cleanups.push(() => rmSync(folder, { recursive: true, force: true }), bridge.stop, server.stop);
    const repository = server.create("app");
    // Without its environment, in a session of its own, orphaned: only the reaper still knows it.
    const hidden = "env -i setsid sh -c '(while :; do echo alive >> beat; sleep 0.05; done) </dev/null >/dev/null 2>&1 & '";
    const text = `#!/bin/sh\n${hidden}\nwhile [ ! -s beat ]; do sleep 0.05; done\n`;
    const sha = repository.commit({ ".gitignore": "beat\n", ".openinspect/setup.sh": { text, mode: 0o755 } });
    const child = start(buildConfig(bridge, repository.url), ["--bind", folder, "/workspace"]);
    cleanups.push(() => child.kill("SIGKILL"));
    let said = "";
    child.stderr?.on("data", (chunk: Buffer) => {
      said += chunk.toString();
    });
    await bridge
      .waitFor("build.finished", (event) => event.sha === sha)
      .catch((error: Error) => {
        throw new Error(`${error.message}\n${said}`);
      });
    expect(bridge.hellos[0]?.runtimeVersion).toBe(bundle.sha256.slice(0, 16));
    const beats = () => readFileSync(join(folder, "repo/beat"), "utf8").length;
    const before = beats();
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(beats()).toBe(before);
    const exit = new Promise((resolve) => child.once("exit", resolve));
    bridge.send({ type: "shutdown", reason: "done" });
    expect(await exit).toBe(0);
  });
});
