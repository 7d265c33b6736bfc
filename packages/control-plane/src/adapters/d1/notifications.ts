/** Where failures are told, and what became of it, in D1. Keeps addresses and secrets sealed; sends nothing. */
import { type NotificationTarget } from "@open-inspect/protocol";
import { asc, count, eq, lt, lte, max } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import { deadlines } from "../../domain/deadlines.ts";
import { type DeliveryOutcome } from "../../domain/notifications.ts";
import { notificationDeliveries, notificationTargets } from "./schema.ts";

export type TargetRow = typeof notificationTargets.$inferSelect;

export interface Delivery {
  notificationId: string;
  target: string;
  at: number;
  outcome: DeliveryOutcome;
  cause: string | null;
}

export function createNotificationRows(d1: D1Database) {
  const db = drizzle(d1);
  const { target, at, outcome, cause, notificationId } = notificationDeliveries;
  return {
    async list(): Promise<NotificationTarget[]> {
      // SQLite takes the other columns from the row that has the maximum.
      const newest = db
        .select({ target, at: max(at).as("newest_at"), outcome, cause })
        .from(notificationDeliveries)
        .groupBy(target)
        .as("newest");
      const rows = await db
        .select({ row: notificationTargets, at: newest.at, outcome: newest.outcome, cause: newest.cause })
        .from(notificationTargets)
        .leftJoin(newest, eq(newest.target, notificationTargets.name))
        .orderBy(asc(notificationTargets.name));
      return rows.map(({ row: { name, format, shownUrl, sealedSecret, createdAt, createdBy }, ...last }) => ({
        ...{ name, format, createdAt, createdBy },
        url: shownUrl,
        hasSecret: sealedSecret !== null,
        lastDelivery:
          last.at === null || last.outcome === null ? null : { at: last.at, outcome: last.outcome, cause: last.cause },
      }));
    },
    async find(name: string): Promise<TargetRow | null> {
      const [row] = await db.select().from(notificationTargets).where(eq(notificationTargets.name, name));
      return row ?? null;
    },
    async count(): Promise<number> {
      const [row] = await db.select({ targets: count() }).from(notificationTargets);
      return row?.targets ?? 0;
    },
    /** Those that were there at a moment. */
    async known(moment: number): Promise<TargetRow[]> {
      return db.select().from(notificationTargets).where(lte(notificationTargets.createdAt, moment));
    },
    async put(row: TargetRow): Promise<void> {
      const { name: _name, createdAt: _at, createdBy: _by, ...set } = row;
      await db.insert(notificationTargets).values(row).onConflictDoUpdate({ target: notificationTargets.name, set });
    },
    async remove(name: string): Promise<boolean> {
      const [removed] = await db.batch([
        db.delete(notificationTargets).where(eq(notificationTargets.name, name)),
        db.delete(notificationDeliveries).where(eq(target, name)),
      ]);
      return removed.meta.changes > 0;
    },
    async deliveriesOf(id: string): Promise<Map<string, DeliveryOutcome>> {
      const rows = await db.select({ target, outcome }).from(notificationDeliveries).where(eq(notificationId, id));
      return new Map(rows.map((row) => [row.target, row.outcome]));
    },
    async saveDelivery(delivery: Delivery): Promise<void> {
      const { notificationId: _id, target: _target, ...set } = delivery;
      await db.batch([
        db
          .insert(notificationDeliveries)
          .values(delivery)
          .onConflictDoUpdate({ target: [notificationId, target], set }),
        db.delete(notificationDeliveries).where(lt(at, delivery.at - deadlines.deliveriesKeptMs)),
      ]);
    },
  };
}
