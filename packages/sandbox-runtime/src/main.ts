/** The program in the sandbox: reads its RuntimeConfig from standard input, runs it, exits with its code. */
import { type RuntimeConfig, runtimeConfigSchema } from "@open-inspect/protocol";
import { exitCodes, runRuntime, versionOfFile } from "./runtime.ts";

const inputTimeoutMs = 30_000;
const inputMaxBytes = 1024 * 1024;

/** Throws with a sentence that holds no value of the input: it carries tokens. */
async function readConfig(): Promise<RuntimeConfig> {
  const timer = setTimeout(() => {
    console.error(`no configuration on standard input within ${inputTimeoutMs / 1000} s`);
    process.exit(exitCodes.invalidConfig);
  }, inputTimeoutMs);
  let text = "";
  for await (const chunk of process.stdin.setEncoding("utf8")) {
    text += chunk;
    if (text.length > inputMaxBytes) throw new Error("the configuration is too long");
  }
  clearTimeout(timer);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new Error("the configuration is not JSON");
  }
  const parsed = runtimeConfigSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  const fields = parsed.error.issues.map((issue) => `${issue.path.join(".") || "(root)"}: ${issue.code}`);
  throw new Error(`the configuration is invalid: ${fields.join(", ")}`);
}

async function main(): Promise<number> {
  const runtimeVersion = versionOfFile(import.meta.filename);
  try {
    return await runRuntime(await readConfig(), { runtimeVersion });
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    return exitCodes.invalidConfig;
  }
}

process.exit(await main());
