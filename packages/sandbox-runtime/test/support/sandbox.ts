/** Runs the runtime as a child process in folders of its own; what a sandbox is to it, without the isolation. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createId, type RuntimeConfig, runtimeNodeArgs } from "@open-inspect/protocol";
import { inject } from "vitest";
import { type TestBridge } from "./bridge-server.ts";

export const agentBinary = join(
  import.meta.dirname,
  `../../../emulators/node_modules/opencode-linux-${process.arch}/bin/opencode`,
);
const randomBytes = (): Uint8Array => crypto.getRandomValues(new Uint8Array(16));
export const newPromptId = (): string => createId("prompt", Date.now(), randomBytes());

export interface TestSandbox {
  workspace: string;
  home: string;
  stateDir: string;
  /** stands for the kernel's: empty, so that it says nothing of memory */
  cgroupDir: string;
  run(config: RuntimeConfig): RunningRuntime;
  /** pids of what still runs in the workspace */
  processes(): number[];
  remove(): void;
}
export interface RunningRuntime {
  child: ChildProcess;
  exit: Promise<number | null>;
  output(): string;
}

export function createSandbox(options: { agentCommand?: string; env?: NodeJS.ProcessEnv } = {}): TestSandbox {
  const root = mkdtempSync(join(tmpdir(), "runtime-box-"));
  const paths = {
    workspace: join(root, "workspace/repo"),
    home: join(root, "home"),
    runtimeDir: join(root, "opt"),
    runtimeBundle: join(root, "opt/runtime.mjs"),
    stateDir: join(root, "run"),
    runtimeLog: join(root, "run/runtime.log"),
  };
  const optionsPath = join(root, "options.json");
  const cgroupDir = join(root, "cgroup");
  mkdirSync(cgroupDir, { recursive: true });
  writeFileSync(optionsPath, JSON.stringify({ paths, cgroupDir, agentCommand: options.agentCommand ?? agentBinary }));
  const children: ChildProcess[] = [];
  return {
    workspace: paths.workspace,
    home: paths.home,
    stateDir: paths.stateDir,
    cgroupDir,
    run(config) {
      const child = spawn(process.execPath, [...runtimeNodeArgs, inject("runtimeEntry"), optionsPath], {
        env: { PATH: process.env.PATH, ...options.env },
        stdio: ["pipe", "pipe", "pipe"],
      });
      children.push(child);
      let output = "";
      const read = (chunk: Buffer) => {
        output += chunk.toString();
      };
      child.stdout.on("data", read);
      child.stderr.on("data", read);
      child.stdin.end(JSON.stringify(config));
      return {
        child,
        exit: new Promise((resolve) => child.once("exit", (code) => resolve(code))),
        output: () => output,
      };
    },
    processes: () =>
      readdirSync("/proc")
        .filter((name) => /^\d+$/.test(name))
        .map(Number)
        .filter((pid) => {
          try {
            return readlinkSync(`/proc/${pid}/cwd`).startsWith(paths.workspace);
          } catch {
            return false;
          }
        }),
    remove() {
      for (const child of children) if (child.exitCode === null) child.kill("SIGKILL");
      rmSync(root, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
    },
  };
}

type BuildConfig = Extract<RuntimeConfig, { mode: "build" }>;

export function buildConfig(
  bridge: TestBridge,
  cloneUrl: string,
  more: { branch?: string; gitTimeoutMs?: number; previous?: BuildConfig["previous"] } = {},
): BuildConfig {
  return {
    mode: "build",
    buildId: createId("build", Date.now(), randomBytes()),
    bridgeUrl: bridge.url,
    bridgeToken: bridge.token,
    cloneUrl,
    branch: "main",
    gitTimeoutMs: 20_000,
    ...more,
  };
}

export function verifyConfig(bridge: TestBridge, cloneUrl: string, sha: string, verifyHookTimeoutMs: number): RuntimeConfig {
  return { ...buildConfig(bridge, cloneUrl), mode: "verify", sha, verifyHookTimeoutMs };
}

type SessionConfig = Extract<RuntimeConfig, { mode: "session" }>;

export function sessionConfig(
  bridge: TestBridge,
  cloneUrl: string,
  modelBaseUrl: string,
  more: Partial<Pick<SessionConfig, "startFrom" | "startHookTimeoutMs" | "gitTimeoutMs" | "sessionId">> = {},
): RuntimeConfig {
  return {
    mode: "session",
    sessionId: createId("session", Date.now(), randomBytes()),
    bridgeUrl: bridge.url,
    bridgeToken: bridge.token,
    cloneUrl,
    branch: "main",
    gitTimeoutMs: 20_000,
    startFrom: "base",
    agent: {
      modelBaseUrl,
      modelToken: "sandbox-model-token-0123456789",
      model: "claude-sonnet-4-5",
      models: ["claude-haiku-4-5"],
    },
    startHookTimeoutMs: 5_000,
    ...more,
  };
}
