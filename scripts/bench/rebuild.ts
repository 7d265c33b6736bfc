/**
 * How much faster a build on the previous image is than a full one, when one source file has changed. Full and incremental builds of the
 * same repository alternate, so that noise meets both; the times are the builds' own, from their slot to the active image.
 */
import { join } from "node:path";
import { type BuildView, type ImageSettings } from "../../packages/protocol/src/index.ts";
import { createApi, until, untilImageOf } from "../api.ts";
import { pushCommit } from "../person.ts";
import { type BenchInput } from "./start.ts";

const minute = 60_000;
/** A full build is dear, and one differs little from the next. */
const maxRuns = 3;

export async function benchRebuild({ system, dataDir, repository, runs, say }: BenchInput) {
  const api = createApi(system.url);
  const pairs = Math.min(runs, maxRuns);
  const settings: Omit<ImageSettings, "rebuildMode"> = { limitMinutes: 30, keptImages: 2 };

  async function build(rebuildMode: ImageSettings["rebuildMode"], change: number): Promise<BuildView> {
    await api.setSettings(repository, { ...settings, rebuildMode });
    const files = { "src/changed.ts": { content: `export const changed = ${change};\n` } };
    const sha = await pushCommit(system, join(dataDir, "person"), repository, `Change ${change}`, files);
    const { id } = (await api.rebuild(repository)).build;
    const ended = await until(`the end of build ${id}`, 15 * minute, async () => {
      const one = await api.build(id);
      return one.finishedAt === null ? null : one;
    });
    if (ended.status !== "ready" || ended.sha !== sha)
      throw new Error(`build ${id} is ${ended.status}: ${ended.failure?.message}`);
    say(`${ended.mode} (${ended.modeReason}) ${ended.durationMs} ms ${JSON.stringify(phasesOf(ended))}`);
    return ended;
  }

  const head = (await api.branches(repository)).branches[0]?.sha ?? "";
  await api.setImage(repository, true);
  // Makes the base image, too, which no build of a running installation waits for.
  const first = await untilImageOf(api, repository, head, 15 * minute);
  say(`first ${first.active.buildMs} ms`);
  const full: BuildView[] = [];
  const incremental: BuildView[] = [];
  for (let pair = 0; pair < pairs; pair++) {
    full.push(await build("clean", 2 * pair + 1));
    incremental.push(await build("auto", 2 * pair + 2));
  }
  for (const one of incremental)
    if (one.mode !== "incremental") throw new Error(`a build that should be incremental was ${one.mode}: ${one.modeReason}`);
  const fullMs = median(full.map((one) => one.durationMs ?? Number.NaN));
  const incrementalMs = median(incremental.map((one) => one.durationMs ?? Number.NaN));
  return {
    repository,
    ratio: Number((fullMs / incrementalMs).toFixed(2)),
    fullMs,
    incrementalMs,
    pairs,
    fullPhases: medians(full),
    incrementalPhases: medians(incremental),
  };
}

const phasesOf = (build: BuildView): Record<string, number> =>
  Object.fromEntries(build.phases.map(({ phase, durationMs }) => [phase, Math.round(durationMs ?? 0)]));

function medians(builds: BuildView[]): Record<string, number> {
  const all = builds.map(phasesOf);
  return Object.fromEntries(
    Object.keys(all[0] ?? {}).map((phase) => [phase, median(all.map((one) => one[phase] ?? Number.NaN))]),
  );
}

function median(values: number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}
