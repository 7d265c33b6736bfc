/** Whether a start that failed is the image's fault, and when that is proved. Pure; it knows neither sandboxes' steps nor builds. */
import { type Failure, type FailureCode, imageScopeOf } from "@open-inspect/protocol";
import { type SandboxLife } from "./sandbox.ts";
import { type SessionState } from "./session-state.ts";

/** tells the image's scope that the provider does not have the image any more, or that it is broken, with the cause */
export interface ImageReport {
  type: "image.report_missing";
  scope: string;
  imageId: string;
  cause?: string;
}

/** Failures for which the base is worth a try: they may be the image's. `inside`: what the image holds was at work. */
const imageMayBeTheCause: Partial<Record<FailureCode, "inside" | "outside">> = {
  image_missing: "outside",
  sandbox_create_failed: "outside",
  runtime_never_connected: "outside",
  sync_failed: "inside",
  disk_full: "inside",
  agent_failed: "inside",
  internal: "inside",
};

/** null: a start from the base would meet the same cause */
export function blameImage(failure: Failure, life: SandboxLife): "inside" | "outside" | null {
  // A restored sandbox that does not live until its runtime is there; later its own work may have ended it.
  if (failure.code === "sandbox_lost" || failure.code === "out_of_memory") return life.at === "up" ? null : "outside";
  return imageMayBeTheCause[failure.code] ?? null;
}

export const reportMissing = ({ repository }: SessionState, imageId: string): ImageReport => ({
  type: "image.report_missing",
  scope: imageScopeOf(repository),
  imageId,
});

/** The base got ready where what the image held did not: the image is broken for every session. */
export function convictImage(state: SessionState): ImageReport[] {
  if (!state.imageFailure?.isInside) return [];
  const { imageId, failure } = state.imageFailure;
  return [
    { ...reportMissing(state, imageId), cause: `A session could start from the base, but not from it: ${failure.message}` },
  ];
}
