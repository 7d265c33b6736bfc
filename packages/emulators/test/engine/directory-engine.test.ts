import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { execSpec, ok, openEngine, run, type TestEngine } from "./harness.ts";

// Nothing confines these guests: every command here runs on the machine of whoever runs the tests.
describe("the directory engine", () => {
  let test: TestEngine;
  beforeAll(async () => {
    test = await openEngine({ engine: "directory" });
  });
  afterAll(() => test.close());

  it("says that it does not isolate", () => {
    expect(test.engine.describe()).toMatchObject({ isolation: "none", detail: expect.stringContaining("NOT confined") });
  });

  it("paths of a sandbox lead into the guest's directory", async () => {
    const guest = await test.guest({ workdir: "/workspace" });
    await ok(guest, "echo mine > /workspace/file && mkdir -p /opt/openinspect");
    expect(existsSync("/workspace/file")).toBe(false);
    expect(await ok(guest, "cat file")).toBe("mine\n");
    expect(await ok(guest, 'cat "$WHERE"/file', { env: { WHERE: "/workspace" } })).toBe("mine\n");
    await guest.kill();
  });

  it("processes speak as in the other engine: codes, streams, limits", async () => {
    const guest = await test.guest();
    expect((await run(guest, ["no-such-program-here"])).code).toBe(127);
    expect(await run(guest, ["sh", "-c", "echo out; echo err >&2; exit 3"])).toEqual({
      code: 3,
      stdout: "out\n",
      stderr: "err\n",
    });
    expect((await run(guest, ["sleep", "20"], { timeoutMs: 200 })).code).toBe(137);
    await guest.kill();
  });

  it("a snapshot is a copy: later changes of the guest are not in it", async () => {
    const guest = await test.guest();
    await ok(guest, "echo one > /workspace/file; ln /workspace/file /workspace/hard; ln -s file /workspace/soft");
    const id = await test.engine.snapshot(guest.id);
    await ok(guest, "echo two > /workspace/file");
    await guest.kill();
    const restored = await test.guest({ filesystem: id });
    expect(await ok(restored, "cat /workspace/soft; stat -c %h /workspace/hard 2>/dev/null || stat -f %l /workspace/hard")).toBe(
      "one\n2\n",
    );
    await restored.kill();
    await test.engine.deleteFilesystem(id);
    expect(test.engine.filesystemExists(id)).toBe(false);
  });

  it("kill reaches daemons that left group, session and parent", async () => {
    const guest = await test.guest();
    await ok(guest, "(setsid sh -c 'trap \"\" TERM; exec sleep 51.25' > /dev/null 2>&1 &)");
    const count = () => spawnSync("pgrep", ["-cf", "^sleep 51.25"], { encoding: "utf8" }).stdout.trim();
    await expect.poll(count).toBe("1");
    const running = await guest.exec(execSpec(["sleep", "100"]));
    await guest.kill();
    expect(count()).toBe("0");
    expect(await running.exit).toBe(137);
    expect(await guest.ended).toEqual({ reason: "killed" });
  });

  it("filesystems survive a restart", async () => {
    const own = await openEngine({ engine: "directory" });
    const guest = await own.guest();
    await ok(guest, "echo kept > /workspace/kept");
    const id = await own.engine.snapshot(guest.id);
    await own.engine.close();
    const next = await openEngine({ engine: "directory", stateDir: own.stateDir });
    const restored = await next.guest({ filesystem: id });
    expect(await ok(restored, "cat /workspace/kept")).toBe("kept\n");
    await next.close();
  });
});
