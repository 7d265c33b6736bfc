/** `/api/builds`: one build, its log, and both live. */
import { buildIdSchema } from "@open-inspect/protocol";
import { type Context, Hono } from "hono";
import { findBuild } from "../adapters/d1/builds.ts";
import { type App } from "./app-types.ts";
import { ApiError } from "./errors.ts";
import { readAfter, requireUpgrade, upgradeRequest } from "./upgrade.ts";
import { parse } from "./validation.ts";

async function find(c: Context<App>) {
  const id = parse(buildIdSchema, c.req.param("id"), "build id", "build_not_found");
  const found = await findBuild(c.env.DB, id);
  if (found) return found;
  throw new ApiError(
    "build_not_found",
    `There is no build ${id}.`,
    "GET /api/repositories shows each repository's latest build.",
  );
}

export const builds = new Hono<App>()
  .get("/:id", async (c) => c.json((await find(c)).build))
  .get("/:id/logs", async (c) => {
    const after = readAfter(c);
    const { scope, build } = await find(c);
    return c.json(await c.env.IMAGES.getByName(scope).readLogs(build.id, after));
  })
  .get("/:id/events", async (c) => {
    requireUpgrade(c);
    const after = readAfter(c);
    const { scope, build } = await find(c);
    return c.env.IMAGES.getByName(scope).fetch(upgradeRequest(`/events?build=${build.id}&after=${after}`));
  });
