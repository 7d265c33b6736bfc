/** The tick: every installation with enabled repositories becomes a message of the queue; each message reads and settles pages of them. */
import { createHeadSightings } from "./adapters/d1/head-sightings.ts";
import { createTickRows } from "./adapters/d1/tick-rows.ts";
import { createWebhookDeliveries } from "./adapters/d1/webhook-deliveries.ts";
import { createLog } from "./adapters/log.ts";
import { type HeadCheckMessage } from "./domain/ports.ts";
import { type Env } from "./env.ts";
import { checkInstallation } from "./scheduler/check-installation.ts";
import { sweep } from "./scheduler/sweep.ts";

const log = createLog({ part: "scheduler" });
/** most messages that one send takes */
const sendMax = 100;

export async function tick(env: Env): Promise<void> {
  const tickAt = Date.now();
  const ids = await createTickRows(env.DB).installations();
  const messages = ids.map((installationId): HeadCheckMessage => ({ installationId, after: "", tickAt }));
  for (let index = 0; index < messages.length; index += sendMax) {
    await env.HEAD_CHECKS.sendBatch(messages.slice(index, index + sendMax).map((body) => ({ body })));
  }
  log.info("tick", { installations: ids.length });
  await createWebhookDeliveries(env.DB).prune(tickAt);
  await createHeadSightings(env.DB).prune(tickAt);
  await sweep(env, log);
}

/** One batch of the queue. A message is acknowledged when everything that it found is written, also when GitHub did not answer. */
export async function checkHeads(batch: MessageBatch<HeadCheckMessage>, env: Env): Promise<void> {
  for (const message of batch.messages) {
    try {
      await checkInstallation(env, message.body, log);
      message.ack();
    } catch (error) {
      log.error("check.failed", { installationId: message.body.installationId, error });
      message.retry();
    }
  }
}
