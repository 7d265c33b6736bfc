/**
 * `npm run bench -- NAME [--json]`: measures, asserts nothing. Every figure is a ratio or a time of things run side by side in this one run.
 * Names: `start`, `warm`, `burst`, `rebuild`, `logs`, `tick`, `bridge`.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { benchBridge } from "./bench/bridge.ts";
import { benchBurst } from "./bench/burst.ts";
import { benchLogs } from "./bench/logs.ts";
import { benchRebuild } from "./bench/rebuild.ts";
import { type BenchInput, benchStart } from "./bench/start.ts";
import { benchTick } from "./bench/tick.ts";
import { benchWarm } from "./bench/warm.ts";
import { onInterruption } from "./interruption.ts";
import { startSystem } from "./system.ts";

const benches = {
  start: benchStart,
  warm: benchWarm,
  burst: (input: BenchInput) => benchBurst(input, { sessions: Number(values.sessions), rate: Number(values.rate) }),
  logs: benchLogs,
  rebuild: benchRebuild,
};
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: "boolean", default: false },
    repository: { type: "string" },
    runs: { type: "string", default: "7" },
    /** of `burst`: how many begin together, and how many creates the provider takes per second */
    sessions: { type: "string", default: "100" },
    rate: { type: "string", default: "0.4" },
  },
});
const name = positionals[0] ?? "";
/** They run a Worker of their own. */
const alone = { tick: benchTick, bridge: benchBridge };
const isAlone = (wanted: string): wanted is keyof typeof alone => wanted in alone;
if (!(name in benches) && !isAlone(name)) {
  console.error(`Unknown bench "${name}". There are: ${[...Object.keys(benches), ...Object.keys(alone)].join(", ")}`);
  process.exit(2);
}

const dataDir = mkdtempSync(join(tmpdir(), "open-inspect-bench-"));
const say = (line: string) => process.stderr.write(`${line}\n`);
const print = (result: object) => (values.json ? process.stdout.write(`${JSON.stringify(result)}\n`) : console.table(result));
let code = 0;
let ending = false;
async function finish(status: number) {
  if (ending) return;
  ending = true;
  await system.stop();
  rmSync(dataDir, { recursive: true, force: true });
  process.exit(status);
}
if (isAlone(name)) {
  try {
    print(await alone[name]({ dataDir, say }));
  } catch (error) {
    say(error instanceof Error ? (error.stack ?? error.message) : String(error));
    code = 1;
  }
  rmSync(dataDir, { recursive: true, force: true });
  process.exit(code);
}
const system = await startSystem({ dataDir, port: 0, webhooks: false, log: (line, part) => part === null && say(line) });
onInterruption(() => void finish(130));
try {
  const result = await benches[name as keyof typeof benches]({
    system,
    dataDir,
    repository: values.repository ?? (name === "burst" ? "acme/notes-api" : "acme/storefront"),
    runs: Number(values.runs),
    say,
  });
  print(result);
} catch (error) {
  say(error instanceof Error ? (error.stack ?? error.message) : String(error));
  code = 1;
}
await finish(code);
