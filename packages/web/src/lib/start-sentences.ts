/** What a start will cost, and what it did cost, in sentences. Pure: the present is passed in. */
import { type RepositoryView, type SessionView, type StartReceipt } from "@open-inspect/protocol";
import { formatAge, formatDuration, shortSha } from "./time.ts";

/** What will happen when a session of this branch is started now. The server decides; this is the forecast. */
export function describeForecast(repository: RepositoryView, branch: string, now: number): { warm: boolean; sentence: string } {
  const { image } = repository;
  const cold = (why: string) => ({ warm: false, sentence: `Starts cold: ${why}` });
  if (!image.enabled) return cold("pre-built images are switched off for this repository.");
  if (image.active !== null && image.active.branch === branch) {
    const base = `Starts from the image of ${shortSha(image.active.sha)}, built ${formatAge(image.active.createdAt, now)}`;
    if (image.status === "building") return { warm: true, sentence: `${base}. A newer one is being built.` };
    if (image.status === "failed") return { warm: true, sentence: `${base}. The newest build failed; this one goes on serving.` };
    return { warm: true, sentence: `${base}.` };
  }
  if (image.active !== null) return cold(`the image is of ${image.active.branch}, not of ${branch}.`);
  if (image.status === "building") return cold("the first image is still being built.");
  if (image.status === "failed") return cold("the first image could not be built.");
  return cold("no image has been built yet.");
}

/** How many times faster, as people say it: `23.9×`, `112×`. */
function formatRatio(ratio: number): string {
  return `${ratio >= 100 ? Math.round(ratio) : ratio.toFixed(1)}×`;
}

/** A cold start below this has so little clone and setup in it that an image cannot be expected to save much. */
const quickColdMs = 10_000;

function describeGain(startMs: number, coldMs: number): string {
  const ratio = startMs > 0 ? coldMs / startMs : 0;
  if (ratio > 1.05) return `${formatRatio(ratio)} faster`;
  if (coldMs < quickColdMs) return "too quick for an image to make it much faster";
  return "this start was no faster than a cold start: the phases show where its time went";
}

/** What a session is starting from, while it does. */
export function describeStart({ image, snapshot, fallbacks }: Pick<SessionView, "image" | "snapshot" | "fallbacks">): string {
  const tried = new Set(fallbacks.map(({ from }) => from));
  if (snapshot !== null && !tried.has("snapshot")) return "Resuming from the session's snapshot";
  if (image !== null && !tried.has("image")) return "Starting from the image";
  return "Starting cold";
}

/** The receipt's line, in pieces that are joined by a middle dot. */
export function describeReceipt(receipt: StartReceipt): string[] {
  const started = `Started in ${formatDuration(receipt.startMs)}`;
  const { cold } = receipt;
  if (receipt.startedFrom === "base") {
    const sparedMs = (receipt.phases.clone ?? 0) + (receipt.phases.setup ?? 0);
    return [
      `${started} from the base, without an image`,
      sparedMs > 0
        ? `an image would have saved the clone and setup: ${formatDuration(sparedMs)}`
        : "an image would have saved the clone and setup",
    ];
  }
  if (receipt.startedFrom === "snapshot")
    return [`Resumed in ${formatDuration(receipt.startMs)} from the session's own snapshot`];
  if (cold === null) return [started, "no cold start measured yet"];
  const comparison =
    cold.source === "build"
      ? `a cold start of this repository takes about ${formatDuration(cold.ms, true)}, estimated from the last build`
      : `a cold start of this repository takes ${formatDuration(cold.ms, true)}`;
  return [started, comparison, describeGain(receipt.startMs, cold.ms)];
}

/** Whether setup ran here, and if not, why not. null while it is not known. */
export function describeSetup({
  setupRanInSession,
  image,
  phases,
  receipt,
}: Pick<SessionView, "setupRanInSession" | "image" | "phases" | "receipt">): string | null {
  if (setupRanInSession === null) {
    const runs = phases.some(({ phase, outcome }) => phase === "setup" && outcome === "running");
    return runs ? "Setup is running in this session" : null;
  }
  if (setupRanInSession) return "Setup ran in this session";
  // A sandbox that waited has done it before there was a session.
  if (receipt?.warm && phases.some(({ phase, outcome }) => phase === "setup" && outcome === "done")) {
    return "Setup ran while the sandbox waited";
  }
  if (receipt?.startedFrom === "snapshot") return "Setup was not re-run: the workspace is as it was left";
  return image !== null
    ? "Setup was not re-run: it ran when the image was built"
    : "Setup did not run: the repository has no setup script";
}
