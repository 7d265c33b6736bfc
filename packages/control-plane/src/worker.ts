/** The Worker's entrypoints: requests, the Cron Trigger, the queue, and the objects. Each hands over at once. */
import { type HeadCheckMessage } from "./domain/ports.ts";
import { type Env } from "./env.ts";
import { app } from "./http/app.ts";
import { checkHeads, tick } from "./scheduler.ts";

export { BuildSlotsObject } from "./objects/build-slots-object.ts";
export { FeedObject } from "./objects/feed-object.ts";
export { ImageObject } from "./objects/image-object.ts";
export { PoolObject } from "./objects/pool-object.ts";
export { SessionObject } from "./objects/session-object.ts";

export default {
  fetch: app.fetch,
  scheduled: (_controller, env) => tick(env),
  queue: (batch, env) => checkHeads(batch, env),
} satisfies ExportedHandler<Env, HeadCheckMessage>;
