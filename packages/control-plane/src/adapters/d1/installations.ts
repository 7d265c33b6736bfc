/** What GitHub said last of an installation: its rate limit, and whether it is still there. Written by the scheduler and the sync. */
import { eq, isNotNull, sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import { type Allowance, unknownAllowance } from "../../domain/allowance.ts";
import { installations } from "./schema.ts";

export interface KnownInstallation {
  /** of GraphQL */
  allowance: Allowance;
  rest: Allowance;
  resumesAt: number | null;
  lostAt: number | null;
}

export function createInstallations(d1: D1Database) {
  const db = drizzle(d1);
  const write = async (id: number, set: Partial<typeof installations.$inferInsert>): Promise<void> => {
    await db
      .insert(installations)
      .values({ ...set, id })
      .onConflictDoUpdate({ target: installations.id, set: { ...set, id } });
  };
  return {
    async find(id: number): Promise<KnownInstallation> {
      const [row] = await db.select().from(installations).where(eq(installations.id, id));
      if (!row) return { allowance: unknownAllowance, rest: unknownAllowance, resumesAt: null, lostAt: null };
      const { rateRemaining: remaining, rateLimit: limit, rateResetAt: resetAt, blockedUntil, resumesAt, lostAt } = row;
      const rest = { remaining: row.restRemaining, limit: row.restLimit, resetAt: row.restResetAt, blockedUntil };
      return { allowance: { remaining, limit, resetAt, blockedUntil }, rest, resumesAt, lostAt };
    },
    /** For the next messages of this installation: they go on with what is left. */
    saveAllowance: (id: number, { remaining, limit, resetAt, blockedUntil }: Allowance, rest: Allowance) =>
      write(id, {
        ...{ rateRemaining: remaining, rateLimit: limit, rateResetAt: resetAt, blockedUntil },
        ...{ restRemaining: rest.remaining, restLimit: rest.limit, restResetAt: rest.resetAt },
      }),
    resumesAt: (id: number, at: number | null) => write(id, { resumesAt: at }),
    /** The first moment is kept. */
    async lost(id: number, at: number): Promise<void> {
      const set = { lostAt: sql`coalesce(${installations.lostAt}, ${at})` };
      await db.insert(installations).values({ id, lostAt: at }).onConflictDoUpdate({ target: installations.id, set });
    },
    found: (id: number) => write(id, { lostAt: null }),
    async lostIds(): Promise<number[]> {
      const rows = await db.select({ id: installations.id }).from(installations).where(isNotNull(installations.lostAt));
      return rows.map(({ id }) => id);
    },
  };
}
