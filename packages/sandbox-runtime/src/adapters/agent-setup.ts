/** What the agent needs before it starts: its configuration, the model's token, and stubs that keep it off the network. */

import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type AgentConfig } from "@open-inspect/protocol";
import { priceOf } from "../domain/model-prices.ts";

export const agentProvider = "anthropic";
const contextTokens = 200_000;
const outputTokens = 32_000;
/** A model stream that is silent for longer is cut and tried again. */
const chunkTimeoutMs = 120_000;

/** @returns the agent's environment. The token itself is only in a 0600 file of the state directory. */
export async function prepareAgent(options: {
  agent: AgentConfig;
  stateDir: string;
  home: string;
  env: NodeJS.ProcessEnv;
}): Promise<NodeJS.ProcessEnv> {
  const { agent, stateDir, home } = options;
  const tokenPath = join(stateDir, "model-token");
  const modelsPath = join(stateDir, "models.json");
  const configDir = join(home, ".config", "opencode");
  await mkdir(join(configDir, "node_modules"), { recursive: true });
  await Promise.all([
    writeFile(tokenPath, agent.modelToken, { mode: 0o600 }),
    // An empty catalogue: what may be used is declared below, and the bundled catalogue costs memory and time.
    writeFile(modelsPath, "{}"),
    writeLockfileStub(configDir),
  ]);
  const model = `${agentProvider}/${agent.model}`;
  const modelIds = new Set([agent.model, ...(agent.models ?? [])]);
  const config = {
    autoupdate: false,
    share: "disabled",
    snapshot: false,
    lsp: false,
    formatter: false,
    // A question would wait for ever: nobody sits at this terminal.
    permission: { "*": "allow", question: "deny" },
    enabled_providers: [agentProvider],
    model,
    small_model: model,
    provider: {
      [agentProvider]: {
        npm: "@ai-sdk/anthropic",
        name: "Open-Inspect",
        options: { baseURL: `${agent.modelBaseUrl}/v1`, apiKey: `{file:${tokenPath}}`, chunkTimeout: chunkTimeoutMs },
        models: Object.fromEntries([...modelIds].map((id) => [id, declareModel(id)])),
      },
    },
  };
  return {
    ...options.env,
    OPENCODE_CONFIG_CONTENT: JSON.stringify(config),
    OPENCODE_MODELS_PATH: modelsPath,
    OPENCODE_DISABLE_MODELS_FETCH: "1",
    OPENCODE_DISABLE_AUTOUPDATE: "1",
    OPENCODE_DISABLE_LSP_DOWNLOAD: "1",
    OPENCODE_DISABLE_DEFAULT_PLUGINS: "1",
    OPENCODE_DISABLE_EMBEDDED_WEB_UI: "1",
    OPENCODE_DISABLE_SHARE: "1",
  };
}

function declareModel(name: string) {
  const price = priceOf(name);
  const cost = price && {
    input: price.input,
    output: price.output,
    cache_read: price.cacheRead,
    cache_write: price.cacheWrite,
  };
  return {
    name,
    attachment: true,
    tool_call: true,
    modalities: { input: ["text", "image"], output: ["text"] },
    limit: { context: contextTokens, output: outputTokens },
    ...(cost ? { cost } : {}),
  };
}

/** OpenCode installs its plugin package into every configuration directory unless a lockfile says that it is there. */
async function writeLockfileStub(configDir: string): Promise<void> {
  const lockfile = join(configDir, "package-lock.json");
  if (existsSync(lockfile)) return;
  const dependencies = { "@opencode-ai/plugin": "1.18.33" };
  await writeFile(lockfile, JSON.stringify({ lockfileVersion: 3, packages: { "": { dependencies } } }));
}
