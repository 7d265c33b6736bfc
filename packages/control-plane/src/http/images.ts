/** `/api/images`: the images that are kept, and which of them serves. */
import { activateImageRequestSchema, type ImageList, type ImageState, imageIdSchema, imageScopeOf } from "@open-inspect/protocol";
import { Hono } from "hono";
import { createKeptImages } from "../adapters/d1/kept-images.ts";
import { createRepositories } from "../adapters/d1/repositories.ts";
import { type App } from "./app-types.ts";
import { ApiError } from "./errors.ts";
import { repositoryOfQuery } from "./repositories.ts";
import { parse, readJson } from "./validation.ts";

export const images = new Hono<App>()
  .get("/", async (c) => {
    const repository = await repositoryOfQuery(c);
    return c.json({ images: await createKeptImages(c.env.DB).list(imageScopeOf(repository)) } satisfies ImageList);
  })
  .post("/:id/activate", async (c) => {
    const id = parse(imageIdSchema, c.req.param("id"), "image id", "image_not_found");
    const { reason, until } = await readJson(c, activateImageRequestSchema);
    const now = Date.now();
    if (until !== null && until <= now) {
      throw new ApiError("invalid_request", "The end of the pin is in the past.", "Leave `until` out, or name a time to come.");
    }
    const found = await createKeptImages(c.env.DB).find(id);
    if (!found) throw new ApiError("image_not_found", `There is no image ${id}.`, "GET /api/images lists those of a repository.");
    const unavailable = (message: string) =>
      new ApiError("image_unavailable", message, "GET /api/images shows which images are kept; refresh builds a new one.");
    if (found.deletedAt !== null || found.expiresAt <= now) throw unavailable("The image is not at the provider any more.");
    const pin = { imageId: id, reason, by: c.var.person, at: now, until };
    const state = await c.env.IMAGES.getByName(found.scope).pin(pin);
    if (!state) throw unavailable("The repository does not keep this image any more, or its images are switched off.");
    const lastCheck = (await createRepositories(c.env.DB).viewOf(found.scope))?.image.lastCheck ?? null;
    return c.json({ ...state, lastCheck } satisfies ImageState);
  });
