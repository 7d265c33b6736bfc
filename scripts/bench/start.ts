/**
 * How fast a session starts from its image: against a cold start of the same repository, and against the floor, which is
 * the least that any system on the same provider must do: create a bare sandbox from the image, `git fetch` and reset, and start the
 * agent until it is healthy, the last two side by side. Prebuilt and floor runs alternate, so that noise meets both.
 */
import { type ModalClient, type Sandbox } from "modal";
import { z } from "zod";
import { createApi, untilImageOf, untilReady } from "../api.ts";
import { type System } from "../system.ts";
import { modalClientFor } from "../witness.ts";

export interface BenchInput {
  system: System;
  /** for whatever the bench keeps; gone when it is over */
  dataDir: string;
  repository: string;
  /** prebuilt and floor runs each */
  runs: number;
  say: (line: string) => void;
}

const minute = 60_000;
/** the registry's answers vary by half from one install to the next */
const coldRuns = 3;

export async function benchStart({ system, repository, runs, say }: BenchInput) {
  const api = createApi(system.url);
  const modal = modalClientFor(system);
  const head = (await api.branches(repository)).branches[0]?.sha ?? "";

  const timed = async () => {
    const session = await untilReady(api, (await api.startSession({ repository })).id, 10 * minute);
    if (session.syncedSha !== head) throw new Error(`HEAD is ${session.syncedSha}, the branch is ${head}`);
    await api.stopSession(session.id);
    return session;
  };

  const cold: number[] = [];
  for (let run = 1; run <= coldRuns; run++) {
    cold.push((await timed()).receipt?.startMs ?? Number.NaN);
    say(`cold ${ms(cold.at(-1))}`);
  }
  await api.setImage(repository, true);
  const image = await untilImageOf(api, repository, head, 15 * minute);
  say(`build ${ms(image.active.buildMs)}`);
  const providerImageId = await newestSnapshot(system);

  const prebuilt: number[] = [];
  const floor: number[] = [];
  const phases: Record<string, number>[] = [];
  await timed();
  await floorRun(modal, system, repository, providerImageId, 0);
  for (let run = 1; run <= runs; run++) {
    const session = await timed();
    if (session.receipt?.startedFrom !== "image") throw new Error(`a start was cold: ${session.cold?.message}`);
    prebuilt.push(session.receipt.startMs);
    phases.push(session.receipt.phases);
    floor.push(await floorRun(modal, system, repository, providerImageId, run));
    say(`prebuilt ${ms(prebuilt.at(-1))}   floor ${ms(floor.at(-1))}   ${JSON.stringify(rounded(session.receipt.phases))}`);
  }
  const controlPlane = await controlPlaneTimes(system);
  const coldStartMs = median(cold);
  return {
    repository,
    ratio: round(coldStartMs / median(prebuilt)),
    overFloor: round(median(prebuilt) / median(floor)),
    controlPlaneMs: round(median(controlPlane)),
    coldStartMs: Math.round(coldStartMs),
    prebuiltStartMs: Math.round(median(prebuilt)),
    floorMs: Math.round(median(floor)),
    buildMs: Math.round(image.active.buildMs),
    runs,
    coldRuns,
    phases: Object.fromEntries(
      Object.keys(phases[0] ?? {}).map((phase) => [phase, Math.round(median(phases.map((one) => one[phase] ?? Number.NaN)))]),
    ),
  };
}

/** Nothing of ours runs in this sandbox: shell, git and the agent's binary, driven through the vendor's SDK. */
async function floorRun(modal: ModalClient, system: System, repository: string, imageId: string, run: number): Promise<number> {
  const app = await modal.apps.fromName("open-inspect-floor", { createIfMissing: true });
  const image = await modal.images.fromId(imageId);
  const startedAt = performance.now();
  const sandbox = await modal.sandboxes.create(app, image, { name: `floor-${run}`, cpu: 2, memoryMiB: 4096, timeoutMs: 120_000 });
  const url = `${system.githubUrl}/${repository}.git`;
  await Promise.all([
    runToEnd(sandbox, `cd /workspace/repo && git fetch -q ${url} HEAD && git reset -q --hard FETCH_HEAD && git clean -qfd`),
    runToEnd(sandbox, startAgent),
  ]);
  const tookMs = performance.now() - startedAt;
  await sandbox.terminate();
  return tookMs;
}

/** The agent's own routes hang when asked before the listen line, so that line is waited for first. */
const startAgent = `
cd /workspace/repo && export HOME=/tmp/floor-home OPENCODE_DISABLE_MODELS_FETCH=1 OPENCODE_DISABLE_AUTOUPDATE=1 OPENCODE_DISABLE_LSP_DOWNLOAD=1 OPENCODE_DISABLE_DEFAULT_PLUGINS=1 OPENCODE_MODELS_PATH=/tmp/floor-models.json
mkdir -p $HOME && echo '{}' > $OPENCODE_MODELS_PATH
opencode serve --hostname 127.0.0.1 --port 4096 > /tmp/floor.log 2>&1 &
until grep -q listening /tmp/floor.log; do sleep 0.01; done
until curl -fsS -m 1 http://127.0.0.1:4096/global/health > /dev/null; do sleep 0.01; done`;

async function runToEnd(sandbox: Sandbox, script: string) {
  const process = await sandbox.exec(["/bin/sh", "-c", script], { timeoutMs: 60_000 });
  const code = await process.wait();
  if (code !== 0) throw new Error(`the floor's own commands failed with ${code}: ${await process.stderr.readText()}`);
}

const imagesSchema = z.object({
  images: z.array(z.object({ id: z.string(), origin: z.object({ kind: z.string() }), createdAt: z.number() })),
});

async function newestSnapshot(system: System): Promise<string> {
  const answer = await fetch(`${system.modalAdminUrl}/images`);
  const { images } = imagesSchema.parse(await answer.json());
  const newest = images.filter((one) => one.origin.kind === "snapshot").sort((a, b) => b.createdAt - a.createdAt)[0];
  if (newest === undefined) throw new Error("the emulator knows no snapshot");
  return newest.id;
}

/** What the Worker itself measured: accepted POST → create request to the gateway. */
async function controlPlaneTimes(system: System): Promise<number[]> {
  const api = createApi(system.url);
  const { sessions } = await api.sessions();
  const times = await Promise.all(
    sessions.map(async ({ id }) => {
      const answer = await fetch(`${system.url}/api/sessions/${id}`);
      const match = /control-plane;dur=([\d.]+)/.exec(answer.headers.get("server-timing") ?? "");
      return match?.[1] === undefined ? null : Number(match[1]);
    }),
  );
  return times.filter((one) => one !== null);
}

function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? (sorted[middle] ?? Number.NaN)
    : ((sorted[middle - 1] ?? Number.NaN) + (sorted[middle] ?? Number.NaN)) / 2;
}
const round = (value: number) => Number(value.toFixed(2));
const ms = (value: number | undefined) => `${Math.round(value ?? Number.NaN)} ms`;
const rounded = (phases: Record<string, number>) =>
  Object.fromEntries(Object.entries(phases).map(([name, value]) => [name, Math.round(value)]));
