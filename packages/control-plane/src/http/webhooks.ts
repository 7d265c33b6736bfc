/**
 * `POST /api/webhooks/github`: checks who sent it and whether it came before. A push to the default branch starts a build, what happens to
 * a repository, an installation, a person's login or a session's pull request is followed, everything else is acknowledged and ignored.
 */
import {
  githubAppAuthorizationSchema,
  githubInstallationEventSchema,
  githubInstallationRepositoriesSchema,
  githubPullRequestEventSchema,
  githubPushSchema,
  githubRepositoryEventSchema,
} from "@open-inspect/protocol";
import { type Context } from "hono";
import { createWebhookDeliveries } from "../adapters/d1/webhook-deliveries.ts";
import { gitHubOf } from "../compose.ts";
import { limits } from "../domain/deadlines.ts";
import { readConfig } from "../env.ts";
import { type App } from "./app-types.ts";
import { ApiError } from "./errors.ts";
import {
  type Accepted,
  takeAppAuthorization,
  takeInstallationEvent,
  takeInstallationRepositories,
  takePullRequestEvent,
  takePush,
  takeRepositoryEvent,
} from "./github-events.ts";
import { parse, readText } from "./validation.ts";

export async function githubWebhook(c: Context<App>): Promise<Response> {
  const receivedAt = Date.now();
  const body = await readText(c, limits.webhookBodyBytes);
  const signature = c.req.header("x-hub-signature-256") ?? "";
  const genuine =
    signature !== "" &&
    (await gitHubOf(readConfig(c.env))
      .verifyWebhook(body, signature)
      .catch(() => false));
  if (!genuine) {
    throw new ApiError(
      "signature_invalid",
      "The signature does not fit the body.",
      "Set the same secret at the GitHub App and as GITHUB_WEBHOOK_SECRET.",
    );
  }
  const delivery = c.req.header("x-github-delivery");
  if (!delivery) throw new ApiError("invalid_request", "The delivery has no id.", "Send the header x-github-delivery.");
  const deliveries = createWebhookDeliveries(c.env.DB);
  const answer = (accepted: Accepted) => c.json(accepted, 202);
  if (await deliveries.has(delivery)) return answer({ accepted: false, reason: "this delivery was accepted before" });
  const accepted = await take(c, c.req.header("x-github-event") ?? "", parseJson(body), receivedAt);
  // Noted last: a delivery that failed half-way is done again when GitHub sends it again, and doing it twice is harmless.
  if (accepted.accepted) await deliveries.accept(delivery, receivedAt);
  return answer(accepted);
}

function take(c: Context<App>, event: string, body: unknown, receivedAt: number): Promise<Accepted> {
  switch (event) {
    case "push":
      return takePush(c.env, parse(githubPushSchema, body, "push event"), receivedAt);
    case "repository":
      return takeRepositoryEvent(c.env, parse(githubRepositoryEventSchema, body, "repository event"));
    case "pull_request":
      return takePullRequestEvent(c.env, parse(githubPullRequestEventSchema, body, "pull_request event"));
    case "installation":
      return takeInstallationEvent(c.env, parse(githubInstallationEventSchema, body, "installation event"), receivedAt);
    case "installation_repositories": {
      const background = (work: Promise<unknown>) => c.executionCtx.waitUntil(work);
      const change = parse(githubInstallationRepositoriesSchema, body, "installation_repositories event");
      return takeInstallationRepositories(c.env, change, background);
    }
    case "github_app_authorization":
      return takeAppAuthorization(c.env, parse(githubAppAuthorizationSchema, body, "github_app_authorization event"), receivedAt);
    default:
      return Promise.resolve({ accepted: false, reason: "nothing is done about such events" });
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
