/** The tick: every enabled repository becomes a message, and each batch of messages is one reading of heads per installation. */
import { createHeadChecks } from "./adapters/d1/head-checks.ts";
import { createRepositories } from "./adapters/d1/repositories.ts";
import { createWebhookDeliveries } from "./adapters/d1/webhook-deliveries.ts";
import { createLog } from "./adapters/log.ts";
import { gitHubOf } from "./compose.ts";
import { limits } from "./domain/deadlines.ts";
import { type HeadCheckMessage } from "./domain/ports.ts";
import { type Env, readConfig } from "./env.ts";

const log = createLog({ part: "scheduler" });
/** most messages that one send takes */
const sendMax = 100;

export async function tick(env: Env): Promise<void> {
  const messages = await createRepositories(env.DB).enabled();
  for (let index = 0; index < messages.length; index += sendMax) {
    await env.HEAD_CHECKS.sendBatch(messages.slice(index, index + sendMax).map((body) => ({ body })));
  }
  await createWebhookDeliveries(env.DB).prune(Date.now());
  log.info("tick", { repositories: messages.length });
}

/** One batch of the queue. A message is acknowledged when its scope knows what was found, also when GitHub did not answer. */
export async function checkHeads(batch: MessageBatch<HeadCheckMessage>, env: Env): Promise<void> {
  const byInstallation = Map.groupBy(batch.messages, (message) => message.body.installationId);
  for (const [installationId, messages] of byInstallation) {
    for (let index = 0; index < messages.length; index += limits.headsPerRequest) {
      await checkSome(env, installationId, messages.slice(index, index + limits.headsPerRequest));
    }
  }
}

async function checkSome(env: Env, installationId: number, messages: readonly Message<HeadCheckMessage>[]): Promise<void> {
  const result = await gitHubOf(readConfig(env)).readHeads(
    installationId,
    messages.map(({ body: { owner, name } }) => ({ owner, name })),
  );
  if (!result.ok) log.warn("heads.unavailable", { installationId, kind: result.error.kind, message: result.error.message });
  const heads = new Map(
    (result.ok ? result.value : []).map((head) => [`${head.repository.owner}/${head.repository.name}`, head]),
  );
  await Promise.all(
    messages.map(async (message) => {
      const { scope, owner, name, defaultBranch } = message.body;
      const head = heads.get(`${owner}/${name}`);
      try {
        const known = head?.sha && head.defaultBranch ? { branch: head.defaultBranch, sha: head.sha, archived: false } : null;
        if (head && head.defaultBranch !== defaultBranch)
          await createRepositories(env.DB).setDefaultBranch(scope, head.defaultBranch);
        const outcome = await env.IMAGES.getByName(scope).checkHead(known);
        if (outcome) await createHeadChecks(env.DB).save([{ scope, at: Date.now(), sha: known?.sha ?? null, outcome }]);
        message.ack();
      } catch (error) {
        log.error("check.failed", { scope, error });
        message.retry();
      }
    }),
  );
}
