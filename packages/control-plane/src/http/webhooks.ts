/** `POST /api/webhooks/github`: a signed push to the default branch starts a build. Everything else is acknowledged and ignored. */
import { githubPushSchema, imageScopeOf, shaSchema, type webhookAcceptedSchema } from "@open-inspect/protocol";
import { type Context } from "hono";
import { type z } from "zod";
import { createRepositories } from "../adapters/d1/repositories.ts";
import { createWebhookDeliveries } from "../adapters/d1/webhook-deliveries.ts";
import { gitHubOf } from "../compose.ts";
import { limits } from "../domain/deadlines.ts";
import { readConfig } from "../env.ts";
import { type App } from "./app-types.ts";
import { ApiError } from "./errors.ts";
import { parse, readText } from "./validation.ts";

type Accepted = z.infer<typeof webhookAcceptedSchema>;

export async function githubWebhook(c: Context<App>): Promise<Response> {
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
  const ignored = (reason: string) => c.json({ accepted: false, reason } satisfies Accepted, 202);
  if (c.req.header("x-github-event") !== "push") return ignored("only push events start builds");
  const push = parse(githubPushSchema, parseJson(body), "push event");
  const delivery = c.req.header("x-github-delivery");
  if (!delivery) throw new ApiError("invalid_request", "The delivery has no id.", "Send the header x-github-delivery.");
  const head = shaSchema.safeParse(push.after);
  if (push.ref !== `refs/heads/${push.repository.default_branch}`) return ignored("not the default branch");
  if (push.deleted || !head.success) return ignored("the branch was deleted");
  const { name, owner } = push.repository;
  const known = createRepositories(c.env.DB);
  const found = await known.find({ owner: owner.login, name });
  if (!found) return ignored("the repository is not known");
  if (!found.view.image.enabled) return ignored("pre-built images are switched off for the repository");
  const deliveries = createWebhookDeliveries(c.env.DB);
  if (await deliveries.has(delivery)) return ignored("this delivery was accepted before");
  const branch = push.repository.default_branch;
  const target = { ...found.target, branch };
  if (found.target.branch !== branch) await known.setDefaultBranch(imageScopeOf(target), branch);
  const build = await c.env.IMAGES.getByName(imageScopeOf(target)).trigger("push", target, head.data, null);
  // Noted last: a delivery that failed half-way is done again when GitHub sends it again, and a second build request is harmless.
  await deliveries.accept(delivery, Date.now());
  return c.json({ accepted: true, reason: build ? `build ${build.id}` : "nothing to build" } satisfies Accepted, 202);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
