/**
 * `npm run demo`: the product's main flow without a browser, on a system of its own that is gone afterwards.
 *
 * Cold session → image build → session from the image → push → session that pulls → tick → rebuild → session from the new image.
 * `--repository acme/notes-api` is quick; the default is the sample with a real `npm ci`. `--json` prints one object. Exits 0 only
 * if in every session HEAD is the branch's head, setup did not run in those from an image, and the files that it made are there.
 */
import { appendFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type SessionView } from "../packages/protocol/src/index.ts";
import { type Api, createApi, untilImageOf, untilReady } from "./api.ts";
import { onInterruption } from "./interruption.ts";
import { pushCommit } from "./person.ts";
import { type System, startSystem } from "./system.ts";
import { createWitness, type Witness } from "./witness.ts";

const { values } = parseArgs({
  options: {
    json: { type: "boolean", default: false },
    repository: { type: "string", default: "acme/storefront" },
    verbose: { type: "boolean", default: false },
  },
});
const repository = values.repository;
/** A file that the sample's setup makes and git ignores. */
const setupFile = repository === "acme/storefront" ? "node_modules/.package-lock.json" : "dist/manifest.json";
const minute = 60_000;
const say = (line: string) => process.stderr.write(`${line}\n`);
const seconds = (ms: number) => `${(ms / 1000).toFixed(2)} s`;

const dataDir = mkdtempSync(join(tmpdir(), "open-inspect-demo-"));
const logFile = join(tmpdir(), `open-inspect-demo-${process.pid}.log`);
let system: System | undefined;
let failed = false;
onInterruption(() => void finish(130));
try {
  say("Starting the system …");
  system = await startSystem({
    dataDir,
    port: 0,
    // The commit-diff tick is what is shown here: without webhooks nothing else sees the push.
    webhooks: false,
    log: (line, part) =>
      values.verbose ? say(`${part ?? "system"}: ${line}`) : appendFileSync(logFile, `${part ?? "system"}: ${line}\n`),
  });
  const result = await run(system, createApi(system.url), createWitness(system));
  if (values.json) process.stdout.write(`${JSON.stringify(result)}\n`);
  else printTable(result);
} catch (error) {
  failed = true;
  say(error instanceof Error ? error.message : String(error));
  if (!values.verbose) say(`Log: ${logFile}`);
}
await finish(failed ? 1 : 0);

async function finish(code: number) {
  await system?.stop();
  rmSync(dataDir, { recursive: true, force: true });
  if (code === 0) rmSync(logFile, { force: true });
  process.exit(code);
}

async function run(running: System, api: Api, witness: Witness) {
  const head = async () => (await api.branches(repository)).branches[0]?.sha ?? "";

  async function session(title: string, expected: { from: "image" | "base"; runs: number }): Promise<SessionView> {
    const started = await api.startSession({ repository });
    const ready = await untilReady(api, started.id, 10 * minute);
    const wanted = await head();
    const found = {
      head: await witness.head(ready.id),
      runs: await witness.setupRuns(ready.id),
      file: await witness.hasFile(ready.id, setupFile),
    };
    const problems = [
      ...(found.head === wanted && ready.syncedSha === wanted ? [] : [`HEAD is ${found.head}, the branch is ${wanted}`]),
      ...(ready.receipt?.startedFrom === expected.from
        ? []
        : [`started from ${ready.receipt?.startedFrom}, expected ${expected.from} (${ready.cold?.message ?? ""})`]),
      ...(ready.setupRanInSession === (expected.from === "base") ? [] : [`setup ran in the session: ${ready.setupRanInSession}`]),
      ...(found.runs === expected.runs
        ? []
        : [`setup has run ${found.runs} times in this filesystem, expected ${expected.runs}`]),
      ...(found.file ? [] : [`${setupFile} is missing`]),
    ];
    if (problems.length > 0) throw new Error(`${title}: ${problems.join("; ")}`);
    say(`${title}: ready in ${seconds(ready.receipt?.startMs ?? 0)} at ${wanted.slice(0, 7)}`);
    await api.stopSession(ready.id);
    return ready;
  }

  const cold = await session("Cold session", { from: "base", runs: 1 });
  await api.setImage(repository, true);
  const first = await untilImageOf(api, repository, await head(), 15 * minute);
  say(`Image of ${first.active.sha.slice(0, 7)} built in ${seconds(first.active.buildMs)}`);
  const fresh = await session("Session from the image", { from: "image", runs: 1 });

  await pushCommit(running, join(dataDir, "person"), repository, "Add a changelog", {
    "CHANGELOG.md": { content: "One more thing.\n" },
  });
  const behind = await session("Session from the image, one commit behind", { from: "image", runs: 1 });
  await running.tick();
  const second = await untilImageOf(api, repository, await head(), 15 * minute);
  say(`Tick saw the push; image of ${second.active.sha.slice(0, 7)} built in ${seconds(second.active.buildMs)}`);
  // A build on the previous image runs setup once more; a session never does.
  const runs = second.active.chainDepth + 1;
  const rebuilt = await session("Session from the new image", { from: "image", runs });
  if (rebuilt.bakedSha !== second.active.sha) throw new Error("the last session did not start from the rebuilt image");

  const startOf = (one: SessionView) => one.receipt?.startMs ?? Number.NaN;
  const prebuiltStartMs = [fresh, behind, rebuilt].map(startOf).sort((a, b) => a - b)[1] ?? Number.NaN;
  return {
    repository,
    coldStartMs: Math.round(startOf(cold)),
    prebuiltStartMs: Math.round(prebuiltStartMs),
    ratio: Number((startOf(cold) / prebuiltStartMs).toFixed(1)),
    buildMs: Math.round(first.active.buildMs),
    rebuildMs: Math.round(second.active.buildMs),
    phases: { cold: cold.receipt?.phases ?? {}, prebuilt: behind.receipt?.phases ?? {} },
    bakedSha: behind.bakedSha,
    syncedSha: behind.syncedSha,
    setupRanInSession: [fresh, behind, rebuilt].some((one) => one.setupRanInSession !== false),
  };
}

function printTable(result: Awaited<ReturnType<typeof run>>) {
  const rows = Object.entries({ ...result.phases.cold, ...result.phases.prebuilt }).map(([phase]) => {
    const at = (of: Record<string, number | undefined>) => (of[phase] === undefined ? "–" : seconds(of[phase]));
    return `  ${phase.padEnd(10)}${at(result.phases.cold).padStart(12)}${at(result.phases.prebuilt).padStart(12)}`;
  });
  process.stdout.write(
    [
      "",
      `${result.repository}`,
      `  ${"".padEnd(10)}${"cold".padStart(12)}${"prebuilt".padStart(12)}`,
      ...rows,
      `  ${"start".padEnd(10)}${seconds(result.coldStartMs).padStart(12)}${seconds(result.prebuiltStartMs).padStart(12)}   ${result.ratio} × faster`,
      "",
      `  build ${seconds(result.buildMs)}, rebuild ${seconds(result.rebuildMs)}`,
      `  baked ${result.bakedSha?.slice(0, 7)}, synced ${result.syncedSha?.slice(0, 7)}, setup ran in the session: ${result.setupRanInSession ? "yes" : "no"}`,
      "",
    ].join("\n"),
  );
}
