/** Keeps two engines off one state directory. Knows one file. */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { EngineError } from "./engine.ts";
import { processStartTick } from "./host-process.ts";

/** One that is just being killed still holds it for a moment. */
const PATIENCE_MS = 1000;

/** @returns how to give it back. A lock whose process is gone does not count. */
export async function lockStateDir(stateDir: string): Promise<() => void> {
  const file = join(stateDir, "engine.lock");
  const own = `${process.pid} ${processStartTick(process.pid) ?? "-"}`;
  for (const deadline = Date.now() + PATIENCE_MS; ; await delay(10)) {
    try {
      writeFileSync(file, own, { flag: "wx" });
      return () => rmSync(file, { force: true });
    } catch {
      const [pid = "0", tick = ""] = readOrEmpty(file).split(" ");
      const inUse = tick !== "" && processStartTick(Number(pid)) === tick;
      if (!inUse) rmSync(file, { force: true });
      if (Date.now() < deadline) continue;
      throw new EngineError(
        "failed",
        `The state directory ${stateDir} is in use by process ${pid}: stop that one, or choose another directory.`,
      );
    }
  }
}

function readOrEmpty(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
