/** Counts the sandboxes that are reserved while people type. It knows nothing of what they are; a row ends by its time alone at the latest. */
import { eq } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import { limits } from "../../domain/deadlines.ts";
import { reservations } from "./schema.ts";

export function createReservations(d1: D1Database) {
  const db = drizzle(d1);
  return {
    /** Answers whether there was room for one more; asked and noted in one step, so that many at once do not pass. */
    async admit({ id, person, expiresAt }: { id: string; person: string; expiresAt: number }, now: number): Promise<boolean> {
      const [, added] = await d1.batch([
        d1.prepare("DELETE FROM reservations WHERE expires_at <= ?").bind(now),
        d1
          .prepare(
            `INSERT INTO reservations (id, person, expires_at)
             SELECT ?1, ?2, ?3 FROM (SELECT count(*) AS everybody, coalesce(sum(person = ?2), 0) AS own FROM reservations)
             WHERE everybody < ?4 AND own < ?5`,
          )
          .bind(id, person, expiresAt, limits.reservations, limits.reservationsPerPerson),
      ]);
      return (added?.meta.changes ?? 0) > 0;
    },
    async keep(id: string, expiresAt: number): Promise<void> {
      await db.update(reservations).set({ expiresAt }).where(eq(reservations.id, id));
    },
    /** Another session stands for it. */
    async rename(id: string, to: string): Promise<void> {
      await db.update(reservations).set({ id: to }).where(eq(reservations.id, id));
    },
    async forget(id: string): Promise<void> {
      await db.delete(reservations).where(eq(reservations.id, id));
    },
  };
}
