/** What the agent's start says of itself: what it waited for, and which of its folders it could not write. */
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { bridgeCloseCodes } from "@open-inspect/protocol";
import { afterEach, expect, test } from "vitest";
import { startBridge } from "./support/bridge-server.ts";
import { startGitServer } from "./support/git-server.ts";
import { createSandbox, sessionConfig, type TestSandbox } from "./support/sandbox.ts";
import { loadPlugins } from "./support/stub-agent.ts";

const nowhere = "http://127.0.0.1:9";
const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function begin(setup: string, options: { agentCommand?: string; prepare?: (sandbox: TestSandbox) => void } = {}) {
  const server = await startGitServer();
  const repository = server.create("app");
  repository.commit({ ".openinspect/setup.sh": { text: `#!/bin/sh\n${setup}`, mode: 0o755 } });
  const bridge = await startBridge();
  const sandbox = createSandbox(options);
  mkdirSync(sandbox.home, { recursive: true });
  options.prepare?.(sandbox);
  const run = sandbox.run(sessionConfig(bridge, repository.url, nowhere));
  cleanups.push(async () => {
    if (run.child.exitCode === null) bridge.close(bridgeCloseCodes.ended);
    await run.exit;
    await expect.poll(sandbox.processes, { timeout: 5_000 }).toEqual([]);
    sandbox.remove();
    await bridge.stop();
    await server.stop();
  });
  return { bridge, run };
}

/** Serves health and an empty status at once, as an agent does that has long been up. */
const quickAgent = `#!${process.execPath}
${loadPlugins}
const port = Number(process.argv[process.argv.indexOf("--port") + 1]);
require("node:http")
  .createServer((request, response) =>
    loadPlugins(request).then(() => response.end(JSON.stringify({ healthy: true, version: "0.0.0" }))))
  .listen(port, "127.0.0.1", () => console.log("listening on " + port));
`;

test.each([
  ["sleep 2", /^OpenCode 0\.0\.0; \d\.\d s of it waited for the workspace and setup$/],
  ["true", /^OpenCode 0\.0\.0$/],
])("an agent that was up before setup (%s) had ended says how long it waited for it", async (setup, detail) => {
  const folder = createSandbox();
  cleanups.push(folder.remove);
  const agentCommand = join(folder.home, "../agent.cjs");
  writeFileSync(agentCommand, quickAgent);
  chmodSync(agentCommand, 0o755);
  const { bridge } = await begin(setup, { agentCommand });
  const agent = await bridge.waitFor("phase.finished", ({ phase }) => phase === "agent");
  expect(agent).toMatchObject({ outcome: "done", detail: expect.stringMatching(detail) });
});

test.each([".config", ".local", ".cache"])(
  "a folder of the agent that cannot be written, %s, is named in the cause, without a start in vain",
  async (name) => {
    const { bridge, run } = await begin("true", { prepare: ({ home }) => writeFileSync(join(home, name), "in the way") });
    const { failure } = await bridge.waitFor("failed");
    expect(failure).toMatchObject({ code: "agent_failed", phase: "agent" });
    expect([failure.message, ...failure.lines].join("\n")).toContain(name);
    expect(bridge.all("agent.restarted")).toEqual([]);
    expect(await run.exit).toBe(1);
  },
);
