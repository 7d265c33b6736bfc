/** The digest of everything that an image is made of besides the commit. Pure. */
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";
import { type BuildInputs, type WorkspaceInputs } from "@open-inspect/protocol";
import { type BuildGround } from "./image-scope-state.ts";

/** Two images with the same digest were made of the same parts. The order of `files` is part of it; the runtime sorts them by path. */
export function buildInputsOf(workspace: WorkspaceInputs, ground: BuildGround): BuildInputs {
  const parts = {
    ...workspace,
    base: ground.base ?? "",
    runtimeVersion: ground.runtimeVersion,
    secretsVersion: ground.secretsVersion,
  };
  const { setup, refresh, files, omittedFiles, base, runtimeVersion, secretsVersion } = parts;
  const statement = JSON.stringify([
    "open-inspect inputs 1",
    base,
    runtimeVersion,
    secretsVersion,
    setup,
    refresh,
    files.map(({ path, digest }) => [path, digest]),
    omittedFiles,
  ]);
  return { ...parts, digest: bytesToHex(sha256(utf8ToBytes(statement))) };
}
