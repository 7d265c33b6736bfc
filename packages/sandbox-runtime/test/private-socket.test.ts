/** Sockets of the runtime are its user's alone, and making them changes nothing else of the process. */
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { closeSocket, listenPrivately } from "../src/adapters/private-socket.ts";

test("several that begin at once are each for their user alone, and the process goes on with the mask that it had", async () => {
  const folder = mkdtempSync(join(tmpdir(), "private-socket-"));
  const before = process.umask();
  const servers = ["a", "b", "c"].map((name) => ({ server: createServer(), path: join(folder, name) }));
  const begun = servers.map(({ server, path }) => listenPrivately(server, path));
  const during = Promise.resolve().then(() => process.umask());
  await Promise.all(begun);
  expect([await during, process.umask()]).toEqual([before, before]);
  for (const { path } of servers) expect((statSync(path).mode & 0o777).toString(8)).toBe("600");
  await Promise.all(servers.map(({ server, path }) => closeSocket(server, path)));
  rmSync(folder, { recursive: true });
});

test("a path that cannot be bound is told", async () => {
  await expect(listenPrivately(createServer(), join(tmpdir(), "no-such-folder", "x"))).rejects.toThrow(/ENOENT|EACCES|EINVAL/);
});
