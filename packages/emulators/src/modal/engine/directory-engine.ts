/** placeholder */
import { EngineError, type EngineOptions, type SandboxEngine } from "./engine.ts";

export async function createDirectoryEngine(_options: EngineOptions & { log: (line: string) => void }): Promise<SandboxEngine> {
  throw new EngineError("failed", "not yet");
}
