/** Sessions for tests: the real program and the real agent in folders of their own, prompts to them and what came of them. */
import { readdirSync, readFileSync } from "node:fs";
import { type ModelEmulator } from "@open-inspect/emulators/model";
import { type BridgeDown, bridgeCloseCodes } from "@open-inspect/protocol";
import { expect, vi } from "vitest";
import { startBridge, type TestBridge } from "./bridge-server.ts";
import { type TestGitServer, type TestRepository } from "./git-server.ts";
import { createSandbox, newPromptId, type RunningRuntime, sessionConfig, type TestSandbox } from "./sandbox.ts";

export interface Session {
  bridge: TestBridge;
  sandbox: TestSandbox;
  repository: TestRepository;
  sha: string;
  run: RunningRuntime;
}

export const script = (text: string) => ({ text: `#!/bin/sh\n${text}`, mode: 0o755 });
let repositories = 0;
export const newRepository = (server: TestGitServer): TestRepository => server.create(`app${repositories++}`);

/** A cold session of a new repository with these files. */
export async function beginSession(
  { server, model }: { server: TestGitServer; model: ModelEmulator },
  files: Parameters<TestRepository["commit"]>[0],
  more: Parameters<typeof sessionConfig>[3] = {},
  options: Parameters<typeof createSandbox>[0] = {},
): Promise<Session> {
  const repository = newRepository(server);
  const sha = repository.commit({ "README.md": "hello", ".gitignore": "made/\n", ...files });
  const bridge = await startBridge();
  const sandbox = createSandbox(options);
  const run = sandbox.run(sessionConfig(bridge, repository.url, model.url, more));
  return { bridge, sandbox, repository, sha, run };
}

/** Ends a session from the outside and insists that nothing of it is left. */
export async function endSession({ bridge, sandbox, run }: Omit<Session, "repository" | "sha">): Promise<void> {
  if (run.child.exitCode === null) bridge.close(bridgeCloseCodes.ended);
  await run.exit;
  await vi.waitFor(() => expect(sandbox.processes()).toEqual([]), { timeout: 5_000, interval: 20 });
  sandbox.remove();
  await bridge.stop();
}

type PromptFrame = Extract<BridgeDown, { type: "prompt" }>;

/** Sends a prompt and gives what came of it. */
export const ask = (
  bridge: TestBridge,
  text: string,
  promptId = newPromptId(),
  modelId: string | null = null,
  more: Partial<PromptFrame> = {},
) => {
  const prompt: PromptFrame = { type: "prompt", promptId, text, model: modelId, createdAt: Date.now(), ...more };
  bridge.send(prompt);
  return {
    promptId,
    prompt,
    end: () => bridge.waitFor("prompt.finished", (event) => event.promptId === promptId, 40_000),
    /** the parts as a page would hold them */
    parts: () => {
      const parts = new Map<string, string>();
      for (const { event } of bridge.events) {
        if (event.type === "prompt.delta" && event.promptId === promptId)
          parts.set(event.partId, (parts.get(event.partId) ?? "") + event.delta);
        else if (event.type === "prompt.part" && event.promptId === promptId) {
          const { part } = event;
          parts.set(part.id, part.kind === "tool" ? `${part.tool}:${part.status}:${part.output.trim()}` : part.text);
        }
      }
      return [...parts.values()].filter((part) => part !== "");
    },
  };
};
export const scripted = (...steps: unknown[]) => `Please. SCRIPT=${JSON.stringify(steps)}`;
export const bash = (command: string) => ({ tool: { name: "bash", args: { command, description: "Runs it" } } });

/** Processes of that name which `under` has started. */
export const pidsOf = (name: string, under: number | undefined): number[] =>
  readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
    .filter((pid) => {
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
        return stat.includes(`(${name})`) && Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]) === under;
      } catch {
        return false;
      }
    });
