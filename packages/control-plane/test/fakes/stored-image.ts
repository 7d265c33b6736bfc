/** An image as the control plane stores it, for tests that care about a field or two. */
import { bridgeProtocolVersion } from "@open-inspect/protocol";
import { type StoredImage } from "../../src/domain/image-selection.ts";

export const storedImage = (over: Partial<StoredImage> = {}): StoredImage => ({
  id: "img_1",
  buildId: "bld_1",
  providerImageId: "im-1",
  sha: "a".repeat(40),
  branch: "main",
  createdAt: 0,
  expiresAt: 1e15,
  buildMs: 1,
  runtimeVersion: "r1",
  runtimeRevision: 1,
  bridgeProtocol: bridgeProtocolVersion,
  order: 1,
  mode: "full",
  modeReason: "first_image",
  chainDepth: 0,
  fullAt: 0,
  inputs: null,
  ignorePaths: [],
  sizeBytes: null,
  ...over,
});
