/** The digest of everything that an image is made of besides the commit. Pure. */
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";
import { type BuildInputs, type ImageSettings, type WorkspaceInputs } from "@open-inspect/protocol";
import { limits } from "./deadlines.ts";
import { type BuildGround } from "./image-scope-state.ts";

/** Two images with the same digest were made of the same parts. The order of `files` is part of it; the runtime sorts them by path. */
export function buildInputsOf(workspace: WorkspaceInputs, ground: BuildGround): BuildInputs {
  const parts = {
    ...workspace,
    base: ground.base ?? "",
    runtimeVersion: ground.runtimeVersion,
    secretsVersion: ground.secretsVersion,
    ...(ground.settings === undefined ? {} : { settings: ground.settings }),
  };
  const { setup, refresh, files, omittedFiles, omittedDigest, base, runtimeVersion, secretsVersion, settings } = parts;
  const statement = JSON.stringify([
    "open-inspect inputs 2",
    base,
    runtimeVersion,
    secretsVersion,
    setup,
    refresh,
    files.map(({ path, digest }) => [path, digest]),
    omittedFiles,
    omittedDigest ?? null,
    settings ?? null,
  ]);
  return { ...parts, digest: digestOf(statement) };
}

/**
 * Of the settings that decide what an image holds: whether it may stand on other images, and the sandbox that it is built in. How long
 * a build may take and how many images are kept change nothing in them.
 */
export const settingsDigestOf = ({ rebuildMode }: ImageSettings): string =>
  digestOf(JSON.stringify(["open-inspect settings 1", rebuildMode, limits.buildCpu, limits.buildMemoryMiB]));

const digestOf = (statement: string): string => bytesToHex(sha256(utf8ToBytes(statement)));
