/** `/api/sessions`: start one, look at one, watch it. What is done with a whole session is in `session-life.ts`. */
import { createSessionRequestSchema, sessionIdSchema } from "@open-inspect/protocol";
import { type Context, Hono } from "hono";
import { readConfig } from "../env.ts";
import { newAttempt, newId } from "../objects/ids.ts";
import { type App } from "./app-types.ts";
import { ApiError } from "./errors.ts";
import { claimWarm } from "./reservations.ts";
import { branchOf, orderOf, readStart, titleOf } from "./session-start.ts";
import { readAfter, requireUpgrade, upgradeRequest } from "./upgrade.ts";
import { parse, readJson } from "./validation.ts";

const idOf = (c: Context<App>): string => parse(sessionIdSchema, c.req.param("id"), "session id", "session_not_found");
const notFound = (id: string): ApiError =>
  new ApiError("session_not_found", `There is no session ${id}.`, "GET /api/sessions lists them.");

const modelNotAllowed = (model: string, allowed: readonly string[]): ApiError =>
  new ApiError("model_not_allowed", `This installation does not offer the model ${model}.`, `Use one of ${allowed.join(", ")}.`);

export const sessions = new Hono<App>()
  .post("/", async (c) => {
    const acceptedAt = Date.now();
    const { repository, branch: wanted, prompt, model, reservation } = await readJson(c, createSessionRequestSchema);
    const { MODELS } = readConfig(c.env);
    if (model !== undefined && !MODELS.includes(model)) throw modelNotAllowed(model, MODELS);
    const facts = await readStart(c, repository);
    const branch = await branchOf(c, facts, wanted);
    const { owner, name } = facts.target;
    const claim = {
      ...{ acceptedAt, branch, model: model ?? null, attemptId: newAttempt() },
      title: titleOf(prompt, `${owner}/${name}`),
      author: { name: c.var.person, email: null, login: null },
    };
    const first = prompt === undefined ? null : { id: newId("prompt", acceptedAt), text: prompt };
    const id = newId("session", acceptedAt);
    const begun =
      (await claimWarm(c, facts, { reservation, claim, prompt: first })) ??
      (await c.env.SESSIONS.getByName(id).create(orderOf(c, facts, { ...claim, id, wanted }), first));
    const { view, controlPlaneMs } = begun;
    if (controlPlaneMs !== null) c.header("server-timing", `control-plane;dur=${controlPlaneMs}`);
    return c.json(view, 201);
  })
  .get("/:id", async (c) => {
    const id = idOf(c);
    const found = await c.env.SESSIONS.getByName(id).view();
    if (!found) throw notFound(id);
    if (found.controlPlaneMs !== null) c.header("server-timing", `control-plane;dur=${found.controlPlaneMs}`);
    return c.json(found.view);
  })
  .get("/:id/events", async (c) => {
    requireUpgrade(c);
    const id = idOf(c);
    const after = readAfter(c);
    const object = c.env.SESSIONS.getByName(id);
    if (!(await object.view())) throw notFound(id);
    return object.fetch(upgradeRequest(`/events?after=${after}`));
  });
