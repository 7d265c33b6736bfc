/** WebSocket upgrades of browsers: checked here, served by the object that owns the socket. */
import { logCursorQuerySchema, sessionCursorQuerySchema } from "@open-inspect/protocol";
import { type Context } from "hono";
import { ApiError } from "./errors.ts";
import { parse } from "./validation.ts";

export function requireUpgrade(c: Context): void {
  if (c.req.header("upgrade")?.toLowerCase() === "websocket") return;
  throw new ApiError("upgrade_required", "This address speaks WebSocket only.", "Open it with a WebSocket client.");
}

/** The log cursor of `?after=`. */
export const readAfter = (c: Context): number => parse(logCursorQuerySchema, { after: c.req.query("after") }, "query").after;

/** The cursors of `?since=` and `?after=`; without `since` the whole view is wanted. `?together=`: whether lists of events are taken. */
export const readSince = (c: Context): { since: number | null; after: number; isTogether: boolean } => {
  const asked = { since: c.req.query("since"), after: c.req.query("after"), together: c.req.query("together") };
  const { since = null, after, together } = parse(sessionCursorQuerySchema, asked, "query");
  return { since, after, isTogether: together !== undefined };
};

/** An upgrade request for an object: no headers of the caller but the upgrade itself. */
export function upgradeRequest(path: string): Request {
  return new Request(`http://object${path}`, { headers: { upgrade: "websocket" } });
}
