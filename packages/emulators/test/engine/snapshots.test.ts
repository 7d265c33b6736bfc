import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { EngineError, type Guest } from "../../src/modal/engine/engine.ts";
import { hasNamespaces, listTree, ok, openEngine, shell, type TestEngine } from "./harness.ts";

/** Everything a filesystem can hold that a careless copy loses. */
const BUILD_TREE = `
set -e
cd /workspace
mkdir -p a/b/c empty sticky
echo one > a/one; ln a/one a/b/hard; ln -s ../one a/b/soft; ln -s nowhere dangling
chmod 4755 a/one; chmod 1777 sticky; echo secret > a/private; chmod 0400 a/private
mkfifo pipe; truncate -s 10M sparse; printf 'ü' > 'ümläut ☃'
touch -d '2001-02-03 04:05:06.789' a/b/c/old; touch -d '2001-02-03 04:05:06.789' a/b/c
[ -z "$OTHER_USERS" ] || { echo x > owned; chown 1000:1000 owned; chown 33:33 empty; }
`;
const CHANGE_TREE = `
set -e
cd /workspace
rm -r a/b; mkdir a/b; echo new > a/b/new        # an opaque directory
rm dangling; mkdir dangling; echo x > dangling/x  # link → directory
rm -r empty; echo file > empty                     # directory → file
rm 'ümläut ☃'                                     # a whiteout
echo more >> a/one; chmod 0700 sticky
`;

describe.skipIf(!hasNamespaces)("snapshots", () => {
  let test: TestEngine;
  beforeAll(async () => {
    test = await openEngine({ maxLayers: 5 });
  });
  afterAll(() => test.close());
  const otherUsers = { OTHER_USERS: process.getuid?.() === 0 ? "1" : "" };

  const storeDir = () => join(test.stateDir, readdirSync(test.stateDir).find((name) => /^(trusted|user)-/.test(name)) ?? "");
  const snapshotAndKill = async (guest: Guest) => {
    const id = await test.engine.snapshot(guest.id);
    await guest.kill();
    return id;
  };

  it.for(["kill follows at once", "the guest goes on"] as const)(
    "a restored tree is identical in every attribute, over two generations (%s)",
    async (what) => {
      const first = await test.guest();
      await ok(first, BUILD_TREE, { env: otherUsers });
      const before = await listTree(first, "/workspace", "/home", "/etc/passwd");
      const id = await test.engine.snapshot(first.id);
      if (what === "kill follows at once") await first.kill();
      else expect(await listTree(first, "/workspace", "/home", "/etc/passwd")).toBe(before);
      const second = await test.guest({ filesystem: id });
      expect(await listTree(second, "/workspace", "/home", "/etc/passwd")).toBe(before);

      await ok(second, CHANGE_TREE);
      const changed = await listTree(second, "/workspace");
      const next = await test.engine.snapshot(second.id);
      if (what === "kill follows at once") await second.kill();
      const third = await test.guest({ filesystem: next });
      expect(await listTree(third, "/workspace")).toBe(changed);
      const again = await test.guest({ filesystem: id });
      expect(await listTree(again, "/workspace", "/home", "/etc/passwd")).toBe(before);
      await Promise.all([first, second, third, again].map((guest) => guest.kill()));
    },
  );

  it("extended attributes and capabilities of files are kept", async () => {
    const guest = await test.guest();
    await ok(guest, 'echo x > /workspace/x; python3 -c \'import os; os.setxattr("/workspace/x", "user.note", b"kept")\'');
    const copied = await test.engine.snapshot(guest.id);
    const read = 'python3 -c \'import os; print(os.getxattr("/workspace/x", "user.note"))\'';
    const restored = await test.guest({ filesystem: copied });
    expect(await ok(restored, read)).toBe("b'kept'\n");
    await Promise.all([guest.kill(), restored.kill()]);
  });

  it("git mv and rename work on a directory that came from a snapshot, and again a generation later", async () => {
    const first = await test.guest();
    await ok(
      first,
      "mkdir -p /workspace/repo/src/deep && cd /workspace/repo && git init -q . && echo 1 > src/deep/a && git add . && git -c user.email=a@b -c user.name=n commit -qm one",
    );
    const second = await test.guest({ filesystem: await snapshotAndKill(first) });
    await ok(
      second,
      'cd /workspace/repo && git mv src moved && node -e \'require("fs").renameSync("moved","again")\' && git add -A',
    );
    expect(await ok(second, "cd /workspace/repo && git status --short")).toBe("R  src/deep/a -> again/deep/a\n");
    const third = await test.guest({ filesystem: await snapshotAndKill(second) });
    expect(await ok(third, "cd /workspace/repo && git mv again last && cat last/deep/a && git status --short")).toBe(
      "1\nR  src/deep/a -> last/deep/a\n",
    );
    await third.kill();
  });

  it("snapshot then kill takes well under a second, however much was written, and restoring it well under 100 ms", async () => {
    const guest = await test.guest();
    await ok(
      guest,
      "mkdir /workspace/big && cd /workspace/big && for d in $(seq 20); do mkdir $d; (cd $d; seq 1 100 | xargs touch); done; head -c 200000000 /dev/zero > blob",
    );
    const begun = performance.now();
    const id = await snapshotAndKill(guest);
    const taken = performance.now() - begun;
    const restoring = performance.now();
    const restored = await test.guest({ filesystem: id });
    const restoredMs = performance.now() - restoring;
    expect(await ok(restored, "find /workspace/big -type f | wc -l; stat -c %s /workspace/big/blob")).toBe("2001\n200000000\n");
    await restored.kill();
    expect(taken).toBeLessThan(1000);
    // The promise is 100 ms on an idle machine; tests share theirs.
    expect(restoredMs).toBeLessThan(1000);
  });

  it("a process sees no gap: what it wrote before the snapshot is in it, what it wrote after is not", async () => {
    const guest = await test.guest();
    await ok(guest, "nohup sh -c 'i=0; while :; do i=$((i+1)); echo $i >> /workspace/log; done' > /dev/null 2>&1 &");
    await new Promise((resolve) => setTimeout(resolve, 100));
    const id = await test.engine.snapshot(guest.id);
    const restored = await test.guest({ filesystem: id });
    const lines = (await ok(restored, "cat /workspace/log")).trim().split("\n").map(Number);
    expect(lines).toEqual(lines.map((_, index) => index + 1));
    const later = Number(await ok(guest, "sleep 0.05; wc -l < /workspace/log"));
    expect(later).toBeGreaterThan(lines.length);
    await Promise.all([guest.kill(), restored.kill()]);
  });

  it("exec on a guest that is frozen for its snapshot waits and works", async () => {
    const guest = await test.guest();
    await ok(guest, "head -c 50000000 /dev/urandom > /workspace/blob");
    const [id, printed] = await Promise.all([test.engine.snapshot(guest.id), ok(guest, "echo hello")]);
    expect(printed).toBe("hello\n");
    await test.engine.snapshot(guest.id);
    expect(await ok(guest, "echo thawed > /workspace/after && cat /workspace/after")).toBe("thawed\n");
    const restored = await test.guest({ filesystem: id });
    expect((await shell(restored, "test -e /workspace/after")).code).toBe(1);
    await Promise.all([guest.kill(), restored.kill()]);
  });

  it("a second snapshot of a frozen guest is another filesystem with the same content", async () => {
    const guest = await test.guest();
    await ok(guest, "echo x > /workspace/x");
    const [first, second] = await Promise.all([test.engine.snapshot(guest.id), test.engine.snapshot(guest.id)]);
    expect(first).not.toBe(second);
    await test.engine.deleteFilesystem(first);
    await guest.kill();
    const restored = await test.guest({ filesystem: second });
    expect(await ok(restored, "cat /workspace/x")).toBe("x\n");
    await restored.kill();
  });

  it("deleting a snapshot whose guest is still frozen lets the guest go on", async () => {
    const guest = await test.guest();
    const id = await test.engine.snapshot(guest.id);
    await test.engine.deleteFilesystem(id);
    expect(test.engine.filesystemExists(id)).toBe(false);
    expect(await ok(guest, "echo alive")).toBe("alive\n");
    await guest.kill();
  });

  it("a kill at any moment of a snapshot leaves either no snapshot or a whole one", async () => {
    for (const waitMs of [0, 1, 2, 4, 8, 30, 70, 90]) {
      const guest = await test.guest();
      await ok(guest, "cd /workspace && seq 100 | xargs touch && head -c 50000000 /dev/zero > blob; echo x > last");
      const snapshot = test.engine.snapshot(guest.id).catch((error: unknown) => error);
      await new Promise((resolve) => setTimeout(resolve, waitMs));
      await guest.kill();
      const id = await snapshot;
      if (typeof id !== "string") {
        expect(id).toMatchObject({ kind: "not_found" });
        continue;
      }
      const restored = await test.guest({ filesystem: id });
      const all = "ls /workspace | wc -l; stat -c %s /workspace/blob; cat /workspace/last";
      expect(await ok(restored, all)).toBe("102\n50000000\nx\n");
      await restored.kill();
      await test.engine.deleteFilesystem(id);
    }
  });

  it("a snapshot of a guest that is not there is not_found, and so is a guest on an unknown filesystem", async () => {
    await expect(test.engine.snapshot("nobody")).rejects.toMatchObject({ kind: "not_found" });
    await expect(test.guest({ filesystem: "snap_none" })).rejects.toMatchObject({ kind: "not_found" });
    await expect(test.engine.filesystemFromTag("no/such:tag")).rejects.toMatchObject({ kind: "not_found" });
    expect(new EngineError("not_found", "x").name).toBe("EngineError");
  });

  it("long chains are merged into one layer, and the content stays", async () => {
    let filesystem = test.base;
    for (let generation = 1; generation <= 7; generation++) {
      const guest = await test.guest({ filesystem });
      await ok(
        guest,
        `echo ${generation} > /workspace/g${generation}; rm -f /workspace/g${generation - 2}; ln -f /workspace/g${generation} /workspace/linked`,
      );
      const before = filesystem;
      filesystem = await snapshotAndKill(guest);
      if (before !== test.base) await test.engine.deleteFilesystem(before);
    }
    await expect
      .poll(() => test.log.some((line) => line.includes(`${filesystem}: `) || /layers merged/.test(line)), { timeout: 10_000 })
      .toBe(true);
    const guest = await test.guest({ filesystem });
    expect(await ok(guest, "ls /workspace; cat /workspace/linked; stat -c %h /workspace/g7; mount | grep ' / '")).toMatch(
      /^g6\ng7\nlinked\n7\n2\n/,
    );
    await guest.kill();
  });

  it("layers that nothing refers to are freed, and not before", async () => {
    const guest = await test.guest();
    await ok(guest, "echo x > /workspace/x");
    const id = await snapshotAndKill(guest);
    const user = await test.guest({ filesystem: id });
    const layers = () => readdirSync(join(storeDir(), "layers")).filter((name) => /^[0-9a-f]{12}$/.test(name)).length;
    const before = layers();
    await test.engine.deleteFilesystem(id);
    expect(test.engine.filesystemExists(id)).toBe(false);
    expect(await ok(user, "cat /workspace/x")).toBe("x\n");
    expect(layers()).toBe(before);
    await user.kill();
    await expect.poll(layers).toBe(before - 1);
    await expect.poll(() => readdirSync(join(storeDir(), "trash")).length).toBe(0);
    await test.engine.deleteFilesystem(id);
  });

  it("filesystems survive a restart of the engine; guests and their directories do not", async () => {
    const own = await openEngine();
    const guest = await own.guest();
    await ok(guest, "echo kept > /workspace/kept");
    const id = await own.engine.snapshot(guest.id);
    await own.engine.close();
    const next = await openEngine({ stateDir: own.stateDir });
    expect(next.engine.filesystemExists(id)).toBe(true);
    const restored = await next.guest({ filesystem: id });
    expect(await ok(restored, "cat /workspace/kept")).toBe("kept\n");
    await next.close();
    expect(existsSync(own.stateDir)).toBe(false);
  });

  it("two engines cannot share a state directory", async () => {
    await expect(openEngine({ stateDir: test.stateDir })).rejects.toThrow("in use by process");
  });
});
