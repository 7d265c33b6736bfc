/** The dashboard's five words for a repository's image. Pure: a function of settings, active image and latest build. */
import { type BuildStatus, type ImageStatus } from "@open-inspect/protocol";

/** What goes on now is said first; then what serves; then what went wrong. A failure shows although an older image serves. */
export function evaluateImageStatus(facts: {
  enabled: boolean;
  hasImage: boolean;
  latestBuild: BuildStatus | null;
}): ImageStatus {
  if (!facts.enabled) return "disabled";
  switch (facts.latestBuild) {
    case "queued":
    case "provisioning":
    case "running":
    case "snapshotting":
    case "verifying":
      return "building";
    case "failed":
      return "failed";
    case "ready":
    case "cancelled":
    case "superseded":
    case "skipped":
    case null:
      return facts.hasImage ? "ready" : "none";
  }
}
