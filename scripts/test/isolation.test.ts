/** A machine without Linux namespaces: the system works, and everybody who looks at it is told that sandboxes are not confined. */
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { untilImageOf } from "../api.ts";
import { pushCommit } from "../person.ts";
import { isolationNotice } from "../system.ts";
import { startTestSystem, type TestSystem } from "./support.ts";

let running: TestSystem;
beforeAll(async () => {
  running = await startTestSystem({ engine: "directory" });
});
afterAll(() => running?.close());

it("says isolation: none to every page that opens, and to the terminal", async () => {
  const socket = new WebSocket(`${running.system.url.replace("http", "ws")}/api/feed`);
  const hello = await new Promise<string>((resolve, reject) => {
    socket.addEventListener("message", (event) => resolve(String(event.data)), { once: true });
    socket.addEventListener("error", () => reject(new Error("the feed cannot be opened")), { once: true });
  }).finally(() => socket.close());
  expect(JSON.parse(hello)).toMatchObject({ type: "hello", notice: expect.stringMatching(/^isolation: none\b.*trust/) });
  expect(running.system.isolation).toMatch(/^none \(/);
});

it("builds images all the same", async () => {
  const repository = await running.createRepository("unconfined");
  const sha = await pushCommit(running.system, join(running.dataDir, "person"), repository, "Begin", {
    ".openinspect/setup.sh": { content: "#!/bin/sh\necho made > made.txt\n", executable: true },
  });
  await running.api.setImage(repository, true);
  const { active } = await untilImageOf(running.api, repository, sha, 60_000);
  expect(active.sha).toBe(sha);
  await running.api.setImage(repository, false);
  await running.untilNoSandboxes();
});

it("says which part of the isolation is missing, and nothing where none is", () => {
  expect(isolationNotice("namespaces", "bwrap")).toBeNull();
  expect(isolationNotice("namespaces, no seccomp", "bwrap")).toMatch(
    /^isolation: namespaces, no seccomp\. .*system calls.*trust/,
  );
});
