/** `/api/repositories/:owner/:name/session-settings`: what a repository sets for its sessions, and how its warm pool is. */
import { defaultSessionSettings, imageScopeOf, type PoolView, sessionSettingsSchema } from "@open-inspect/protocol";
import { Hono } from "hono";
import { createSessionSettings } from "../adapters/d1/session-settings.ts";
import { isTimeZone } from "../domain/local-hour.ts";
import { type App } from "./app-types.ts";
import { ApiError } from "./errors.ts";
import { findTarget } from "./repositories.ts";
import { readJson } from "./validation.ts";

export const sessionSettings = new Hono<App>()
  .get("/:owner/:name/session-settings", async (c) => {
    const scope = imageScopeOf((await findTarget(c)).target);
    const settings = (await createSessionSettings(c.env.DB).find(scope)) ?? defaultSessionSettings;
    // An object is not made for a repository that has never set anything.
    const view = settings.poolSize > 0 ? await c.env.POOLS.getByName(scope).view() : { ready: 0, starting: 0, problem: null };
    return c.json({ ...view, settings } satisfies PoolView);
  })
  .put("/:owner/:name/session-settings", async (c) => {
    const { poolHours, ...settings } = await readJson(c, sessionSettingsSchema);
    const { poolTimeZone } = settings;
    if (!isTimeZone(poolTimeZone)) {
      throw new ApiError(
        "invalid_request",
        `There is no time zone ${poolTimeZone}: poolTimeZone is not valid.`,
        "Use a name like Europe/Berlin or UTC.",
      );
    }
    const scope = imageScopeOf((await findTarget(c)).target);
    const hours = [...new Set(poolHours)].sort((a, b) => a - b);
    return c.json(await c.env.POOLS.getByName(scope).changeSettings(scope, { ...settings, poolHours: hours }));
  });
