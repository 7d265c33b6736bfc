/** Who is logged in with GitHub, and with which browsers, in D1. It knows neither cookies nor GitHub; tokens come and go sealed. */
import { and, eq, gt, lt, lte, notExists, sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import { limits } from "../../domain/deadlines.ts";
import { logins, people } from "./schema.ts";

export type PersonRow = typeof people.$inferSelect;

export function createPeople(d1: D1Database) {
  const db = drizzle(d1);
  const is = (githubId: number) => eq(people.githubId, githubId);
  /** Nobody has put newer tokens there meanwhile. */
  const still = (row: PersonRow) => and(is(row.githubId), eq(people.sealedTokens, row.sealedTokens));
  const isNobody = notExists(db.select({ one: sql`1` }).from(logins).where(eq(logins.githubId, people.githubId)));

  return {
    /** Whoever is logged in with a browser. */
    async find(hash: string, now: number): Promise<PersonRow | null> {
      const [found] = await db
        .select({ person: people })
        .from(logins)
        .innerJoin(people, eq(people.githubId, logins.githubId))
        .where(and(eq(logins.hash, hash), gt(logins.expiresAt, now)));
      return found?.person ?? null;
    },
    async byId(githubId: number): Promise<PersonRow | null> {
      const [found] = await db.select().from(people).where(is(githubId));
      return found ?? null;
    },
    /** One more browser; the oldest ones above the limit are logged out. @param replaces the login that this browser had */
    async logIn(
      person: Omit<PersonRow, "busyUntil" | "retryAt">,
      login: { hash: string; createdAt: number; expiresAt: number },
      replaces: string | null,
    ): Promise<void> {
      const row: PersonRow = { ...person, busyUntil: 0, retryAt: 0 };
      const { githubId, ...set } = row;
      await db.batch([
        db.insert(people).values(row).onConflictDoUpdate({ target: people.githubId, set }),
        db.delete(logins).where(eq(logins.hash, replaces ?? "")),
        db.insert(logins).values({ ...login, githubId }),
        db.delete(logins).where(sql`${logins.githubId} = ${githubId} AND ${logins.hash} NOT IN (
          SELECT hash FROM logins WHERE github_id = ${githubId} ORDER BY created_at DESC, rowid DESC LIMIT ${limits.loginsPerPerson})`),
      ]);
    },
    /** @returns whether there was such a login, and the person whose last one it was */
    async logOut(hash: string): Promise<{ loggedOut: boolean; last: PersonRow | null }> {
      const [gone] = await db.delete(logins).where(eq(logins.hash, hash)).returning({ githubId: logins.githubId });
      if (!gone) return { loggedOut: false, last: null };
      const [last] = await db
        .delete(people)
        .where(and(is(gone.githubId), isNobody))
        .returning();
      return { loggedOut: true, last: last ?? null };
    },
    /** One request at a time speaks with GitHub for a person. */
    async take(githubId: number, now: number, busyUntil: number): Promise<boolean> {
      const taken = await db
        .update(people)
        .set({ busyUntil })
        .where(and(is(githubId), lte(people.busyUntil, now)));
      return taken.meta.changes > 0;
    },
    /** GitHub's word is taken for no newer than `checkedAt`, so that it is asked again. @param githubId null: for everybody */
    async doubt(githubId: number | null, checkedAt: number): Promise<void> {
      const isOne = githubId === null ? undefined : is(githubId);
      await db
        .update(people)
        .set({ checkedAt })
        .where(and(isOne, gt(people.checkedAt, checkedAt)));
    },
    /** New tokens in the place of those in `row`. @returns the row as it is then; null: somebody else has put others there */
    async renew(row: PersonRow, tokens: Pick<PersonRow, "sealedTokens" | "tokenEndsAt">): Promise<PersonRow | null> {
      const [renewed] = await db.update(people).set(tokens).where(still(row)).returning();
      return renewed ?? null;
    },
    /** The end of a turn: when GitHub said that they may be here, or when it may be asked again. */
    async release(row: PersonRow, said: { checkedAt: number } | { retryAt: number }): Promise<void> {
      await db
        .update(people)
        .set({ ...said, busyUntil: 0 })
        .where(still(row));
    },
    /** Logs a person out everywhere, unless they have logged in anew. */
    async forget(row: PersonRow): Promise<boolean> {
      const isStill = sql`EXISTS (SELECT 1 FROM people WHERE github_id = ${row.githubId} AND sealed_tokens = ${row.sealedTokens})`;
      const [, gone] = await db.batch([
        db.delete(logins).where(and(eq(logins.githubId, row.githubId), isStill)),
        db.delete(people).where(still(row)),
      ]);
      return gone.meta.changes > 0;
    },
    /** Logins that are over, and people without any. */
    async prune(now: number): Promise<void> {
      await db.batch([db.delete(logins).where(lt(logins.expiresAt, now)), db.delete(people).where(isNobody)]);
    },
  };
}
