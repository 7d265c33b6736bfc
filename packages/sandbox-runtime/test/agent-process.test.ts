/** How patient the runtime is with an agent that is slow but alive. A small server stands in for OpenCode. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type Agent, createAgent } from "../src/adapters/agent-process.ts";
import { writeStubAgent } from "./support/stub-agent.ts";

let root: string;
let agent: Agent | null = null;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "runtime-agent-"));
});
afterEach(async () => {
  await agent?.stop();
  rmSync(root, { recursive: true, force: true });
});

test("an agent that answers slowly on a crowded machine is waited for, not started again", async () => {
  const restarts: string[] = [];
  const up = new Promise<string>((resolve, reject) => {
    agent = createAgent({
      command: writeStubAgent(root, 900),
      port: 0,
      cwd: root,
      env: { PATH: process.env.PATH },
      log: () => undefined,
      listener: {
        up: (_client, version) => resolve(version),
        down: () => undefined,
        restarted: (_attempt, reason) => restarts.push(reason),
        failed: (failure) => reject(new Error(failure.message)),
      },
    });
  });
  expect(await up).toBe("0.0.0");
  expect(restarts).toEqual([]);
});
