/** The Worker's routes put together: API, bridge, model proxy, and the single page for everything else. */
import { methodsByPath } from "@open-inspect/protocol";
import { Hono } from "hono";
import { type App } from "./app-types.ts";
import { requireJson, requirePerson, requireSameOrigin } from "./auth.ts";
import { bridge } from "./bridge.ts";
import { builds } from "./builds.ts";
import { ApiError, answerError, onError, onNotFound } from "./errors.ts";
import { health } from "./health.ts";
import { images } from "./images.ts";
import { insights } from "./insights.ts";
import { login } from "./login.ts";
import { modelProxy } from "./model-proxy.ts";
import { notifications } from "./notifications.ts";
import { openApi } from "./openapi.ts";
import { prompts } from "./prompts.ts";
import { pullRequests } from "./pull-requests.ts";
import { repositories } from "./repositories.ts";
import { reservations } from "./reservations.ts";
import { securityHeaders } from "./security.ts";
import { sessionLife } from "./session-life.ts";
import { sessionSettings } from "./session-settings.ts";
import { sessions } from "./sessions.ts";
import { requireUpgrade, upgradeRequest } from "./upgrade.ts";
import { githubWebhook } from "./webhooks.ts";

const person = new Hono<App>()
  .use(requireSameOrigin, requirePerson, requireJson)
  .get("/feed", (c) => {
    requireUpgrade(c);
    return c.env.FEED.getByName("feed").fetch(upgradeRequest("/"));
  })
  .route("/repositories", repositories)
  .route("/repositories", sessionSettings)
  .route("/builds", builds)
  .route("/images", images)
  .get("/insights", insights)
  .route("/notifications", notifications)
  .route("/sessions", reservations)
  .route("/sessions", prompts)
  .route("/sessions", sessions)
  .route("/sessions", sessionLife)
  .route("/sessions", pullRequests);

const api = new Hono<App>()
  .get("/health", health)
  .get("/openapi.json", openApi)
  .post("/webhooks/github", githubWebhook)
  .route("/", login)
  .route("/", person);

export const app = new Hono<App>()
  .use(securityHeaders)
  .route("/api", api)
  .route("/bridge", bridge)
  .route("/model", modelProxy)
  .onError(onError)
  .notFound(onNotFound);

/** The methods that each path knows, for an honest 405. */
const known: readonly [RegExp, readonly string[]][] = [
  ...methodsByPath(),
  [/^\/bridge\/(builds|sessions)\/[^/]+\/?$/, ["GET"]],
  [/^\/bridge\/sessions\/[^/]+\/attachments\/[^/]+\/?$/, ["GET"]],
  [/^\/model\/v1\/messages(\/count_tokens)?\/?$/, ["POST"]],
];

app.all("*", (c) => {
  const { path, method } = c.req;
  const methods = known.find(([pattern]) => pattern.test(path))?.[1];
  if (methods && !methods.includes(method)) {
    c.header("allow", methods.join(", "));
    return answerError(c, new ApiError("method_not_allowed", `${method} is not possible here.`, `Use ${methods.join(" or ")}.`));
  }
  if (/^\/(api|bridge|model)(\/|$)/.test(path)) return c.notFound() as Response;
  return c.env.ASSETS.fetch(c.req.raw);
});
