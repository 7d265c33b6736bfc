/** Before each test of the Worker: the real time, empty objects, an empty migrated database, a fresh world outside. The domain's tests touch none of it. */
import { applyD1Migrations, listDurableObjectIds, reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { beforeEach, expect, vi } from "vitest";

beforeEach(async () => {
  vi.useRealTimers();
  if (!expect.getState().testPath?.includes("/test/workerd/")) return;
  await wakeUsed();
  await reset();
  await applyD1Migrations(env.DB, env.TEST_MIGRATIONS);
  await fetch("http://world.test/reset");
});

/** objects that were emptied and whose ids no later test uses again: ids of sessions are new each time */
const done = new Set<string>();

/**
 * `reset` empties what is in memory. An object that its test killed, or that nobody asked for ten seconds, would keep its rows and
 * its alarm and meet the next test with them. So would the database, which is such an object, too.
 */
async function wakeUsed(): Promise<void> {
  await env.DB.prepare("SELECT 1").run();
  const wake = async <T extends Rpc.DurableObjectBranded>(namespace: DurableObjectNamespace<T>, reused: string) => {
    const again = namespace.idFromName(reused).toString();
    const ids = (await listDurableObjectIds(namespace)).filter((id) => id.toString() === again || !done.has(id.toString()));
    await Promise.all(ids.map((id) => runInDurableObject(namespace.get(id), () => done.add(id.toString()))));
  };
  await Promise.all([
    wake(env.IMAGES, "repo:acme/shop"),
    wake(env.SESSIONS, ""),
    wake(env.FEED, "feed"),
    wake(env.BUILD_SLOTS, "slots"),
    wake(env.POOLS, "repo:acme/shop"),
  ]);
}
