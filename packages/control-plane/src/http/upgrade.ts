/** WebSocket upgrades of browsers: checked here, served by the object that owns the socket. */
import { type Context } from "hono";
import { z } from "zod";
import { ApiError } from "./errors.ts";
import { parse } from "./validation.ts";

export function requireUpgrade(c: Context): void {
  if (c.req.header("upgrade")?.toLowerCase() === "websocket") return;
  throw new ApiError("upgrade_required", "This address speaks WebSocket only.", "Open it with a WebSocket client.");
}

const afterSchema = z.object({ after: z.coerce.number().int().nonnegative().default(0) });

/** The log cursor of `?after=`. */
export const readAfter = (c: Context): number => parse(afterSchema, { after: c.req.query("after") }, "query").after;

/** An upgrade request for an object: no headers of the caller but the upgrade itself. */
export function upgradeRequest(path: string): Request {
  return new Request(`http://object${path}`, { headers: { upgrade: "websocket" } });
}
