/** What the agent needs before it starts: its configuration, the model's token, and stubs that keep it off the network. */

import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type AgentConfig } from "@open-inspect/protocol";
import { priceOf } from "../domain/model-prices.ts";

export const agentProvider = "anthropic";
const contextTokens = 200_000;
const outputTokens = 32_000;
/** A model stream that is silent for longer is cut and tried again. */
const chunkTimeoutMs = 120_000;

/**
 * Lets nothing else run before it is done: the agent's start takes longer than all that could. Throws when a file cannot be written.
 * @returns the agent's environment. The token itself is only in a 0600 file of the state directory.
 */
export function prepareAgent(options: {
  agent: AgentConfig;
  stateDir: string;
  home: string;
  env: NodeJS.ProcessEnv;
  /** `file:` URL of a plugin that the agent must load */
  plugin: string;
  /** what the agent is told besides what the repository tells it */
  instructions: string;
}): NodeJS.ProcessEnv {
  const { agent, stateDir, home } = options;
  const tokenPath = join(stateDir, "model-token");
  const modelsPath = join(stateDir, "models.json");
  const instructionsPath = join(stateDir, "instructions.md");
  for (const folder of agentFolders(home, options.env)) mkdirSync(folder, { recursive: true });
  writeFileSync(instructionsPath, options.instructions);
  writeFileSync(tokenPath, agent.modelToken, { mode: 0o600 });
  // An empty catalogue: what may be used is declared below, and the bundled catalogue costs memory and time.
  writeFileSync(modelsPath, "{}");
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
    plugin: [options.plugin],
    instructions: [instructionsPath],
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
    // A repository's own packages for its agent: where there is no network the start must not wait for more tries.
    npm_config_fetch_retries: "0",
    ...lateOptimization,
  };
}

/** Where OpenCode keeps its things. Without one of them it ends at each start: made here, what is wrong is known before the first. */
const agentFolders = (home: string, env: NodeJS.ProcessEnv): string[] =>
  [
    join(home, ".config"),
    env.XDG_DATA_HOME || join(home, ".local/share"),
    env.XDG_STATE_HOME || join(home, ".local/state"),
    env.XDG_CACHE_HOME || join(home, ".cache"),
  ].map((folder) => join(folder, "opencode"));

/**
 * OpenCode runs much code a few times each. Its engine would spend a quarter of a start and its first prompts on compiling that, so it
 * waits forty times as long before it compiles a function at all and ten times as long before it optimizes one; what is really hot
 * passes both within milliseconds. Uncompiled code is smaller, too. The plugin takes these out of the environment again, as it does
 * with the line above.
 */
const lateOptimization = {
  BUN_JSC_thresholdForJITAfterWarmUp: "20000",
  BUN_JSC_thresholdForJITSoon: "4000",
  BUN_JSC_thresholdForOptimizeAfterWarmUp: "10000",
  BUN_JSC_thresholdForOptimizeAfterLongWarmUp: "10000",
  BUN_JSC_thresholdForOptimizeSoon: "10000",
  BUN_JSC_thresholdForFTLOptimizeAfterWarmUp: "1000000",
  BUN_JSC_thresholdForFTLOptimizeSoon: "100000",
};

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

/**
 * OpenCode installs its plugin package into every configuration directory unless a lockfile says that it is there, and with a plugin
 * nothing answers before that has ended. A directory with packages of its own is left to OpenCode. To be called before each start
 * of an instance: a repository's directory can come with a sync.
 */
export async function stubConfigDirs(options: { home: string; workspace: string; env: NodeJS.ProcessEnv }): Promise<void> {
  const { home, workspace, env } = options;
  const inRepository = join(workspace, ".opencode");
  const others = [join(home, ".opencode"), inRepository, ...(env.OPENCODE_CONFIG_DIR ? [env.OPENCODE_CONFIG_DIR] : [])];
  for (const dir of [join(home, ".config", "opencode"), ...others.filter((dir) => existsSync(dir))]) {
    const lockfile = join(dir, "package-lock.json");
    if (existsSync(lockfile) || existsSync(join(dir, "package.json"))) continue;
    const dependencies = { "@opencode-ai/plugin": pluginVersion };
    await mkdir(join(dir, "node_modules"), { recursive: true });
    await writeFile(lockfile, JSON.stringify({ lockfileVersion: 3, packages: { "": { dependencies } } }));
    if (dir === inRepository) await hideFromGit(workspace, ["/.opencode/package-lock.json", "/.opencode/node_modules/"]);
  }
}
const pluginVersion = "1.18.33";

/**
 * OpenCode writes its `$schema` into a configuration that has none, which would show as work of the session. To be called before an
 * instance starts; what it gives puts the repository's own text back, unless more has changed.
 */
export async function keepRepositoryConfig(workspace: string): Promise<() => Promise<void>> {
  const names = ["opencode.json", "opencode.jsonc", ".opencode/opencode.json", ".opencode/opencode.jsonc"];
  const read = async (file: string) => ({ file, text: await readFile(file, "utf8").catch(() => null) });
  const before = await Promise.all(names.map((name) => read(join(workspace, name))));
  return async () => {
    for (const { file, text } of before) {
      const now = text === null || text.includes('"$schema"') ? null : (await read(file)).text;
      if (text === null || now === null || now === text) continue;
      if (squeeze(now.replace(/"\$schema":\s*"[^"]*",?/, "")) === squeeze(text)) await writeFile(file, text);
    }
  };
}
const squeeze = (text: string): string => text.replace(/\s+/g, "");

/** As `.gitignore` would, for this clone alone. */
async function hideFromGit(workspace: string, patterns: readonly string[]): Promise<void> {
  const file = join(workspace, ".git/info/exclude");
  const text = await readFile(file, "utf8").catch(() => "");
  const missing = patterns.filter((pattern) => !text.split("\n").includes(pattern));
  if (missing.length === 0) return;
  await mkdir(join(workspace, ".git/info"), { recursive: true });
  const begin = text === "" || text.endsWith("\n") ? text : `${text}\n`;
  await writeFile(file, `${begin}${missing.join("\n")}\n`);
}
