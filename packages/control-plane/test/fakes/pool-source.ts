/** What a warm pool's members are made of, for tests. */
import { type PoolSource } from "../../src/domain/warm-pool-state.ts";
import { storedImage } from "./stored-image.ts";

export const poolSource = (imageId: string): PoolSource => ({
  repository: { owner: "acme", name: "shop", cloneUrl: "http://github.test/acme/shop.git", installationId: 1 },
  branch: "main",
  image: storedImage({ id: imageId, providerImageId: `im-${imageId}` }),
  history: { measured: null, build: null },
});
