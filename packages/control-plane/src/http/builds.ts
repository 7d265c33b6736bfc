/** `/api/builds`: one build, its log, and both live. */
import {
  type BuildAccepted,
  type BuildList,
  buildIdSchema,
  buildListQuerySchema,
  imageScopeOf,
  logCursorQuerySchema,
} from "@open-inspect/protocol";
import { type Context, Hono } from "hono";
import { findBuild, listBuilds } from "../adapters/d1/builds.ts";
import { type App } from "./app-types.ts";
import { ApiError } from "./errors.ts";
import { answerEvents, answerText, buildLogSource, endSuffix } from "./log-stream.ts";
import { repositoryOfQuery } from "./repositories.ts";
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
  .get("/", async (c) => {
    const { limit, before } = parse(
      buildListQuerySchema,
      { limit: c.req.query("limit"), before: c.req.query("before") },
      "query",
    );
    const repository = await repositoryOfQuery(c);
    const found = await listBuilds(c.env.DB, imageScopeOf(repository), { limit: limit + 1, before: before ?? null });
    const page = found.slice(0, limit);
    const last = found.length > limit ? page.at(-1) : undefined;
    return c.json({ builds: page, next: last ? `${last.requestedAt}.${last.id}` : null } satisfies BuildList);
  })
  .post("/:id/cancel", async (c) => {
    const { scope, build } = await find(c);
    const cancelled = await c.env.IMAGES.getByName(scope).cancel(build.id);
    if (cancelled) return c.json({ build: cancelled } satisfies BuildAccepted);
    throw new ApiError("build_ended", "The build is over already.", "Only a build that runs or waits can be cancelled.");
  })
  .get("/:id", async (c) => c.json((await find(c)).build))
  .get("/:id/logs", async (c) => {
    const after = readAfter(c);
    const { scope, build } = await find(c);
    return c.json(await c.env.IMAGES.getByName(scope).readLogs(build.id, after));
  })
  .get("/:id/stream", async (c) => {
    // What a browser's EventSource sends when it comes back counts more than the address that it began with.
    const seen = c.req.header("last-event-id");
    const { scope, build } = await find(c);
    if (seen?.endsWith(endSuffix)) return c.body(null, 204);
    const { after } =
      seen === undefined ? { after: readAfter(c) } : parse(logCursorQuerySchema, { after: seen }, "header last-event-id");
    return answerEvents(buildLogSource(c.env, scope, build.id), build, after);
  })
  .get("/:id/logs.txt", async (c) => {
    const { scope, build } = await find(c);
    return answerText(buildLogSource(c.env, scope, build.id), build.id);
  })
  .get("/:id/events", async (c) => {
    requireUpgrade(c);
    const after = readAfter(c);
    const { scope, build } = await find(c);
    return c.env.IMAGES.getByName(scope).fetch(upgradeRequest(`/events?build=${build.id}&after=${after}`));
  });
