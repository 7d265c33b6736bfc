/** Deliveries that were accepted, so that a repeated one changes nothing. */
import { eq, lt } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import { webhookDeliveries } from "./schema.ts";

/** GitHub keeps deliveries for redelivery for three days. */
const keepMs = 7 * 24 * 60 * 60_000;

export function createWebhookDeliveries(d1: D1Database) {
  const db = drizzle(d1);
  return {
    async has(id: string): Promise<boolean> {
      return (await db.select().from(webhookDeliveries).where(eq(webhookDeliveries.id, id))).length > 0;
    },
    async accept(id: string, now: number): Promise<void> {
      await db.insert(webhookDeliveries).values({ id, receivedAt: now }).onConflictDoNothing();
    },
    async prune(now: number): Promise<void> {
      await db.delete(webhookDeliveries).where(lt(webhookDeliveries.receivedAt, now - keepMs));
    },
  };
}
