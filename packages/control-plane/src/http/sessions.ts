/** `/api/sessions`: start one, look at one, watch it. What is done with a whole session is in `session-life.ts`. */
import { createSessionRequestSchema, sessionIdSchema } from "@open-inspect/protocol";
import { type Context, Hono } from "hono";
import { limits } from "../domain/deadlines.ts";
import { newAttempt, newId } from "../objects/ids.ts";
import { type App } from "./app-types.ts";
import { ApiError } from "./errors.ts";
import { personOf } from "./person.ts";
import { createPromptOrder, requireModel } from "./prompts.ts";
import { claimWarm } from "./reservations.ts";
import { branchOf, orderOf, readStart, titleOf } from "./session-start.ts";
import { readSince, requireUpgrade, upgradeRequest } from "./upgrade.ts";
import { parse, readJson } from "./validation.ts";

const idOf = (c: Context<App>): string => parse(sessionIdSchema, c.req.param("id"), "session id", "session_not_found");
const notFound = (id: string): ApiError =>
  new ApiError("session_not_found", `There is no session ${id}.`, "GET /api/sessions lists them.");

export const sessions = new Hono<App>()
  .post("/", async (c) => {
    const acceptedAt = Date.now();
    const request = await readJson(c, createSessionRequestSchema, limits.promptBodyBytes);
    const { repository, branch: wanted, prompt, model, reservation, attachments = [] } = request;
    requireModel(c, model);
    const author = personOf(c);
    const asked = { id: newId("prompt", acceptedAt), model: model ?? null, author, attachments };
    const first = prompt === undefined ? null : createPromptOrder({ ...asked, text: prompt });
    const facts = await readStart(c, repository);
    const branch = await branchOf(c, facts, wanted);
    const { owner, name } = facts.target;
    const claim = {
      ...{ acceptedAt, branch, model: model ?? null, attemptId: newAttempt() },
      title: titleOf(prompt, `${owner}/${name}`),
      author,
    };
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
    const { since, after, isTogether } = readSince(c);
    const object = c.env.SESSIONS.getByName(id);
    if (!(await object.view())) throw notFound(id);
    const query = new URLSearchParams({ after: `${after}`, person: JSON.stringify(personOf(c)) });
    if (since !== null) query.set("since", `${since}`);
    if (isTogether) query.set("together", "1");
    return object.fetch(upgradeRequest(`/events?${query}`));
  });
