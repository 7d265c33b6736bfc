/** `POST /api/sessions/:id/pull-request`: pushes what a session has done and opens its pull request, or updates the one that is open. */
import { pullRequestRequestSchema, type RepositoryRef, sessionIdSchema } from "@open-inspect/protocol";
import { type Context, Hono } from "hono";
import { createRepositories } from "../adapters/d1/repositories.ts";
import { createLog } from "../adapters/log.ts";
import { sessionPageOf } from "../compose.ts";
import { readConfig } from "../env.ts";
import { newAttempt } from "../objects/ids.ts";
import { type App } from "./app-types.ts";
import { ApiError } from "./errors.ts";
import { personOf } from "./person.ts";
import { parse, readJson } from "./validation.ts";

const log = createLog({ part: "pull-requests" });

export const pullRequests = new Hono<App>().post("/:id/pull-request", async (c) => {
  const id = parse(sessionIdSchema, c.req.param("id"), "session id", "session_not_found");
  const request = await readJson(c, pullRequestRequestSchema);
  const object = c.env.SESSIONS.getByName(id);
  const found = await object.view();
  const answer =
    found &&
    (await object.requestPullRequest({
      request,
      person: personOf(c),
      githubId: c.var.caller.githubId,
      defaultBranch: await defaultBranchOf(c, found.view.repository),
      url: sessionPageOf(readConfig(c.env), id),
      pushId: newAttempt(),
    }));
  if (!answer) throw new ApiError("session_not_found", `There is no session ${id}.`, "GET /api/sessions lists them.");
  if ("view" in answer) return c.json(answer.view, 202);
  const { code, message, hint } = answer.refused;
  throw new ApiError(code, message, hint);
});

/** null: it is not known at the moment. The session's own branch is known in any case, and most often it is the same. */
async function defaultBranchOf(c: Context<App>, repository: RepositoryRef): Promise<string | null> {
  try {
    return (await createRepositories(c.env.DB).find(repository))?.target.branch ?? null;
  } catch (error) {
    log.warn("default_branch.unknown", { error });
    return null;
  }
}
