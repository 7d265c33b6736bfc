/** Keeps two engines off one state directory. Knows one file. */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { EngineError } from "./engine.ts";
import { processStartTick } from "./host-process.ts";

/** @returns how to give it back. A lock whose process is gone does not count. */
export function lockStateDir(stateDir: string): () => void {
  const file = join(stateDir, "engine.lock");
  const own = `${process.pid} ${processStartTick(process.pid) ?? "-"}`;
  for (let attempt = 0; attempt < 3; attempt++) {
    try {
      writeFileSync(file, own, { flag: "wx" });
      return () => rmSync(file, { force: true });
    } catch {
      const [pid = "0", tick = ""] = readOrEmpty(file).split(" ");
      if (tick !== "" && processStartTick(Number(pid)) === tick) {
        throw new EngineError(
          "failed",
          `The state directory ${stateDir} is in use by process ${pid}: stop that one, or choose another directory.`,
        );
      }
      rmSync(file, { force: true });
    }
  }
  throw new EngineError("failed", `The state directory ${stateDir} cannot be locked.`);
}

function readOrEmpty(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
