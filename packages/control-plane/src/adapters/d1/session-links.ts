/** How sessions are found by what belongs to them: their pull request, the session that began them. Reads only. */
import { type SessionSummary, sessionSummarySchema } from "@open-inspect/protocol";
import { desc, eq, inArray } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import { sessions } from "./schema.ts";

const childrenMax = 50;

export function createSessionLinks(d1: D1Database) {
  const db = drizzle(d1);
  return {
    /** @param key `owner/name#number` in lower case */
    async byPullRequest(key: string): Promise<string[]> {
      const rows = await db.select({ id: sessions.id }).from(sessions).where(eq(sessions.pullRequestKey, key));
      return rows.map(({ id }) => id);
    },
    /** Those that the session began, newest first. */
    async childrenOf(parentId: string): Promise<SessionSummary[]> {
      const rows = await db
        .select()
        .from(sessions)
        .where(eq(sessions.parentId, parentId))
        .orderBy(desc(sessions.createdAt), desc(sessions.id))
        .limit(childrenMax);
      return rows.map((row) => sessionSummarySchema.parse({ ...row, repository: { owner: row.owner, name: row.name } }));
    },
    async workOf(ids: string[]): Promise<{ id: string; status: SessionSummary["status"]; isWorking: boolean }[]> {
      if (ids.length === 0) return [];
      const { id, status, isWorking } = sessions;
      return db.select({ id, status, isWorking }).from(sessions).where(inArray(id, ids));
    },
  };
}
