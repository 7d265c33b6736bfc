/**
 * `npm test`: everything that decides whether main is good: checks, unit, workerd, emulator-contract and end-to-end tests. Ends with
 * `N passed, N failed`. `npm test -- unit` and `npm test -- e2e` run one half.
 */
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { runChecks } from "./check.ts";
import { onInterruption } from "./interruption.ts";
import { buildDashboard } from "./prepared.ts";
import { checkNode, ensurePrograms, root } from "./prerequisites.ts";
import { createScratch } from "./scratch.ts";
import { bundleWorker } from "./worker-bundle.ts";

const [half] = process.argv.slice(2);
const scratch = createScratch();
onInterruption(() => process.exit(130));
const totals = { passed: 0, failed: 0, skipped: 0 };

try {
  checkNode();
  ensurePrograms(["git", "bwrap", "tini", "rg", "chromium"], ["git", "tini", "chromium"], console.log);
  buildDashboard(console.log);
  await bundleWorker();
  // End-to-end tests wait more than they compute: the others fill the gaps. Many small files come last, so that no core idles at the end.
  await Promise.all([half === "unit" ? null : vitest("end to end", ["scripts"], 2), half === "e2e" ? null : allOthers()]);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  totals.failed++;
} finally {
  scratch.remove();
}
console.log(`\n${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`);
process.exit(totals.failed === 0 && totals.passed > 0 ? 0 : 1);

async function allOthers() {
  await check();
  await vitest("workerd and browser", ["protocol", "control-plane", "web"], 1);
  await vitest("sandboxes", ["modal-client", "sandbox-runtime", "emulators"], 3);
}

async function check() {
  const { passed, failed } = await runChecks();
  totals.passed += passed;
  totals.failed += failed;
}

/** Runs projects in one vitest process and prints its output in one piece, so that groups do not mix. */
async function vitest(name: string, projects: string[], workers: number) {
  const outputFile = join(scratch.folder, `${name.replaceAll(" ", "-")}.json`);
  const selection = projects.flatMap((project) => ["--project", project]);
  const child = spawn(
    process.execPath,
    [
      join(root, "node_modules/vitest/vitest.mjs"),
      ...[
        "run",
        ...selection,
        `--max-workers=${workers}`,
        "--reporter=default",
        "--reporter=json",
        `--outputFile.json=${outputFile}`,
      ],
    ],
    {
      cwd: root,
      stdio: ["ignore", "pipe", "pipe"],
      env: {
        ...process.env,
        TMPDIR: scratch.folder,
        NO_COLOR: "1",
        WRANGLER_SEND_METRICS: "false",
        CLOUDFLARE_CF_FETCH_ENABLED: "false",
      },
    },
  );
  const output: Buffer[] = [];
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => output.push(chunk));
  const code = await new Promise<number>((resolve) => child.once("close", (status) => resolve(status ?? 1)));
  console.log(`\n── ${name}`);
  process.stdout.write(Buffer.concat(output));
  const report: { numPassedTests: number; numFailedTests: number; numPendingTests: number; numTodoTests: number } = JSON.parse(
    readFileSync(outputFile, "utf8"),
  );
  totals.passed += report.numPassedTests;
  totals.failed += report.numFailedTests;
  totals.skipped += report.numPendingTests + report.numTodoTests;
  // A file that cannot be loaded, or an error outside of a test, fails the run without a failed test.
  if (code !== 0 && report.numFailedTests === 0) totals.failed++;
}
