/** Chooses what a session starts from: the active image, or the reason why there is none. Pure: no clock, no look-ups. */
import {
  type BuildInputs,
  type BuildMode,
  type BuildStatus,
  bridgeProtocolVersion,
  type ColdReasonCode,
  type ModeReason,
} from "@open-inspect/protocol";
import { deadlines } from "./deadlines.ts";

/** An image as the provider can start it. Times in milliseconds since the epoch. */
export interface StoredImage {
  id: string;
  buildId: string;
  providerImageId: string;
  sha: string;
  branch: string;
  createdAt: number;
  expiresAt: number;
  buildMs: number;
  runtimeVersion: string;
  runtimeRevision: number;
  bridgeProtocol: number;
  /** order of the request that it was built for */
  order: number;
  mode: BuildMode;
  modeReason: ModeReason;
  /** snapshots that it stands on since the last full build */
  chainDepth: number;
  /** when the full build at the ground of its chain ended */
  fullAt: number;
  inputs: BuildInputs | null;
  /** globs of paths that alone are no reason to build */
  ignorePaths: string[];
  sizeBytes: number | null;
}

export interface SelectionFacts {
  enabled: boolean;
  active: StoredImage | null;
  latestBuild: BuildStatus | null;
  /** the lowest `runtimeRevision` that sessions may start from */
  runtimeFloor: number;
}

export type Selection = { kind: "image"; image: StoredImage } | { kind: "cold"; reason: ColdReasonCode };

/** @param facts null when they could not be read */
export function selectImage(facts: SelectionFacts | null, branch: string, now: number): Selection {
  const cold = (reason: ColdReasonCode): Selection => ({ kind: "cold", reason });
  if (!facts) return cold("lookup_failed");
  if (!facts.enabled) return cold("images_disabled");
  const { active } = facts;
  if (!active) return cold(missingReason(facts.latestBuild));
  if (active.branch !== branch) return cold("other_branch");
  if (active.expiresAt - deadlines.imageUseMarginMs <= now) return cold("image_expired");
  const outdated = active.bridgeProtocol !== bridgeProtocolVersion || active.runtimeRevision < facts.runtimeFloor;
  if (outdated) return cold("runtime_outdated");
  return { kind: "image", image: active };
}

function missingReason(latestBuild: BuildStatus | null): ColdReasonCode {
  switch (latestBuild) {
    case "queued":
    case "provisioning":
    case "running":
    case "snapshotting":
    case "verifying":
      return "first_build_running";
    case "failed":
      return "first_build_failed";
    case "ready":
    case "cancelled":
    case "superseded":
    case "skipped":
    case null:
      return "no_image_yet";
  }
}
