/** `/api/sessions`: the list, and what a person does with a session as a whole: stop, resume, refresh, rename, archive, restore. Starts none. */
import {
  changeSessionRequestSchema,
  type SessionList,
  type SessionView,
  sessionIdSchema,
  sessionListQuerySchema,
} from "@open-inspect/protocol";
import { type Context, Hono } from "hono";
import { createSessionList } from "../adapters/d1/session-list.ts";
import { type App } from "./app-types.ts";
import { ApiError } from "./errors.ts";
import { parse, readJson } from "./validation.ts";

const idOf = (c: Context<App>): string => parse(sessionIdSchema, c.req.param("id"), "session id", "session_not_found");

/** Answers the view of a session, or 404 where there is none. */
function found(c: Context<App>, id: string, view: SessionView | null, status: 200 | 202 = 200): Response {
  if (!view) throw new ApiError("session_not_found", `There is no session ${id}.`, "GET /api/sessions lists them.");
  return c.json(view, status);
}

export const sessionLife = new Hono<App>()
  .get("/", async (c) => {
    const query = parse(sessionListQuerySchema, c.req.query(), "query");
    return c.json((await createSessionList(c.env.DB).page(query)) satisfies SessionList);
  })
  .patch("/:id", async (c) => {
    const id = idOf(c);
    const { title } = await readJson(c, changeSessionRequestSchema);
    return found(c, id, await c.env.SESSIONS.getByName(id).rename(title));
  })
  .post("/:id/stop", async (c) => {
    const id = idOf(c);
    return found(c, id, await c.env.SESSIONS.getByName(id).stop());
  })
  .post("/:id/resume", async (c) => {
    const id = idOf(c);
    const view = await c.env.SESSIONS.getByName(id).resume();
    if (view && view.archivedAt !== null) {
      throw new ApiError(
        "session_archived",
        `The session ${id} is archived.`,
        `Restore it first: POST /api/sessions/${id}/restore.`,
      );
    }
    return found(c, id, view);
  })
  .post("/:id/archive", async (c) => {
    const id = idOf(c);
    return found(c, id, await c.env.SESSIONS.getByName(id).archive());
  })
  .post("/:id/refresh", async (c) => {
    const id = idOf(c);
    const answer = await c.env.SESSIONS.getByName(id).refresh();
    if (answer === "not_ready") {
      throw new ApiError(
        "session_not_ready",
        `The session ${id} has no sandbox that could run it now.`,
        "Try again when it is ready.",
      );
    }
    return found(c, id, answer, 202);
  })
  .post("/:id/restore", async (c) => {
    const id = idOf(c);
    return found(c, id, await c.env.SESSIONS.getByName(id).restore());
  });
