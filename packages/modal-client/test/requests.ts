/** What the gateway's tests ask for: requests and a config whose secrets are easy to search for. */
import { type CreateSandboxRequest, createId, type RuntimeConfig } from "@open-inspect/protocol";

export const secret = "the-secret-between-worker-and-gateway";
export const controlPlaneHost = "127.0.0.1:18787";
export const bridgeToken = "bridge-token-0123456789abcdef0123456789abcdef";
export const modelToken = "model-token-0123456789abcdef";

export const config: Extract<RuntimeConfig, { mode: "session" }> = {
  mode: "session",
  sessionId: createId("session", 1, new Uint8Array(16)),
  bridgeUrl: `ws://${controlPlaneHost}/bridge/sessions/x`,
  bridgeToken,
  cloneUrl: "http://127.0.0.1:18788/acme/app.git",
  branch: "main",
  gitTimeoutMs: 60_000,
  startFrom: "image",
  agent: { modelBaseUrl: `http://${controlPlaneHost}/model`, modelToken, model: "m" },
  startHookTimeoutMs: 60_000,
};

let count = 0;
export const freshName = (): string => `test.${count++}`;

export const fromBase = (tags: Record<string, string> = {}): CreateSandboxRequest => ({
  source: { kind: "base" },
  tags,
  cpu: 0.5,
  memoryMiB: 256,
  timeoutMs: 600_000,
});
export const fromImage = (providerImageId: string): CreateSandboxRequest => ({
  ...fromBase(),
  source: { kind: "image", providerImageId },
});
