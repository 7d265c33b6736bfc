/** Decides whether a build starts from the base or from the previous image. Pure. */
import { type BuildMode, type ImageSettings, type ModeReason } from "@open-inspect/protocol";
import { deadlines, limits } from "./deadlines.ts";
import { type BuildGround } from "./image-scope-state.ts";
import { type StoredImage } from "./image-selection.ts";

export interface ModeDecision {
  mode: BuildMode;
  reason: ModeReason;
  /** what an incremental build starts from */
  previous: StoredImage | null;
}

/** @param previous the newest good image, or null. Whether setup.sh is the same is seen in the sandbox alone. */
export function decideMode(
  setting: ImageSettings["rebuildMode"],
  previous: StoredImage | null,
  ground: BuildGround,
  now: number,
): ModeDecision {
  const full = (reason: ModeReason): ModeDecision => ({ mode: "full", reason, previous: null });
  if (setting === "clean") return full("clean_setting");
  if (!previous?.inputs) return full("first_image");
  if (ground.base === null || previous.inputs.base !== ground.base) return full("base_changed");
  if (previous.runtimeVersion !== ground.runtimeVersion) return full("runtime_changed");
  if (previous.inputs.secretsVersion !== ground.secretsVersion) return full("secrets_changed");
  if (!hasSettings(previous, ground)) return full("settings_changed");
  if (now - previous.fullAt >= deadlines.fullRebuildMs) return full("daily");
  if (previous.chainDepth >= limits.chainDepth) return full("chain_too_deep");
  return { mode: "incremental", reason: "same_inputs", previous };
}

const hasSettings = ({ inputs }: StoredImage, ground: BuildGround): boolean =>
  inputs?.settings === undefined || inputs.settings === ground.settings;

/** Whether an image that was kept while the scope was switched off can serve again as it is. */
export function isCurrent(image: StoredImage, head: string | null, branch: string, ground: BuildGround, now: number): boolean {
  return (
    head !== null &&
    image.sha === head &&
    image.branch === branch &&
    image.inputs?.base === ground.base &&
    image.inputs?.secretsVersion === ground.secretsVersion &&
    hasSettings(image, ground) &&
    image.runtimeVersion === ground.runtimeVersion &&
    image.expiresAt - deadlines.imageRenewMs > now
  );
}
