/** `/bridge/…`: sandboxes come in with their token. A refusal is a socket that closes with its final code, so that clients see it. */
import { bridgeCloseCodes } from "@open-inspect/protocol";
import { type Context, Hono } from "hono";
import { findBuild } from "../adapters/d1/builds.ts";
import { verifyToken } from "../adapters/sandbox-tokens.ts";
import { refuseSocket } from "../adapters/sockets.ts";
import { readConfig } from "../env.ts";
import { type App } from "./app-types.ts";
import { ApiError } from "./errors.ts";
import { attachmentAnswer } from "./prompts.ts";
import { requireUpgrade, upgradeRequest } from "./upgrade.ts";

/** The attempt of the token, when it is genuine and for this build or session. */
async function attemptOf(c: Context<App>, ownerId: string): Promise<string | null> {
  const [scheme, token = ""] = (c.req.header("authorization") ?? "").split(" ");
  if (scheme?.toLowerCase() !== "bearer") return null;
  const claim = await verifyToken(readConfig(c.env).MODAL_API_SECRET, "bridge", token);
  return claim?.ownerId === ownerId ? claim.attempt : null;
}

const refused = () => refuseSocket(bridgeCloseCodes.unauthorized, "unknown token");

export const bridge = new Hono<App>()
  .get("/builds/:id", async (c) => {
    requireUpgrade(c);
    const id = c.req.param("id");
    const attempt = await attemptOf(c, id);
    const found = attempt && (await findBuild(c.env.DB, id));
    if (!found) return refused();
    return c.env.IMAGES.getByName(found.scope).fetch(upgradeRequest(`/bridge/${attempt}?build=${id}`));
  })
  .get("/sessions/:id", async (c) => {
    requireUpgrade(c);
    const id = c.req.param("id");
    const attempt = await attemptOf(c, id);
    return attempt ? c.env.SESSIONS.getByName(id).fetch(upgradeRequest(`/bridge/${attempt}`)) : refused();
  })
  .get("/sessions/:id/attachments/:attachmentId", async (c) => {
    const id = c.req.param("id");
    const attempt = await attemptOf(c, id);
    if (attempt === null) throw new ApiError("unauthorized", "The token is not this session's.", "Use the bridge's token.");
    const found = await c.env.SESSIONS.getByName(id).attachment(c.req.param("attachmentId"), attempt);
    if (!found) {
      throw new ApiError("attachment_not_found", "There is no such attachment for this sandbox.", "Its prompt names them.");
    }
    return attachmentAnswer(found);
  });
