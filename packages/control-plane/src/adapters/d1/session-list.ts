/** Pages of the list of sessions, newest first, along the indexes of what is asked for. It writes nothing but takes away what nobody ever claimed. */
import { imageScopeOf, type SessionSummary, type sessionListQuerySchema, sessionSummarySchema } from "@open-inspect/protocol";
import { and, desc, eq, isNotNull, isNull, lt, or, type SQL, sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import { type SQLiteColumn } from "drizzle-orm/sqlite-core";
import { type z } from "zod";
import { sessions } from "./schema.ts";

export type SessionListQuery = z.output<typeof sessionListQuerySchema>;

/** `%` and `_` stand for themselves. */
const contains = (column: SQL | SQLiteColumn, text: string): SQL =>
  sql`${column} like ${`%${text.replace(/[\\%_]/g, "\\$&")}%`} escape '\\'`;

const ended: ReadonlySet<string> = new Set(["stopped", "failed"]);

function conditionsOf({ q, repository, status, author, parent, archived, before }: SessionListQuery): (SQL | undefined)[] {
  const [owner = "", name = ""] = repository?.split("/") ?? [];
  return [
    eq(sessions.isReserved, false),
    repository === undefined ? undefined : eq(sessions.scope, imageScopeOf({ owner, name })),
    // Whatever has a sandbox is few, and has an index of its own.
    status === undefined || ended.has(status) ? undefined : isNull(sessions.endedAt),
    status === undefined || status === "active" ? undefined : eq(sessions.status, status),
    author === undefined ? undefined : eq(sessions.authorName, author),
    parent === undefined ? undefined : eq(sessions.parentId, parent),
    archived === "all" ? undefined : archived === "true" ? isNotNull(sessions.archivedAt) : isNull(sessions.archivedAt),
    before && or(lt(sessions.createdAt, before.at), and(eq(sessions.createdAt, before.at), lt(sessions.id, before.id))),
    // Keeps the walk along the index from beginning at its end.
    before && sql`${sessions.createdAt} <= ${before.at}`,
    q === undefined || q === ""
      ? undefined
      : or(
          contains(sessions.title, q),
          contains(sessions.branch, q),
          contains(sessions.firstPrompt, q),
          contains(sql`${sessions.owner} || '/' || ${sessions.name}`, q),
        ),
  ];
}

export function createSessionList(d1: D1Database) {
  const db = drizzle(d1);
  const select = (query: SessionListQuery) =>
    db
      .select()
      .from(sessions)
      .where(and(...conditionsOf(query)))
      .orderBy(desc(sessions.createdAt), desc(sessions.id))
      .limit(query.limit + 1);
  return {
    /** for whoever asks how it is planned */
    statementOf: (query: SessionListQuery): { sql: string; params: unknown[] } => select(query).toSQL(),
    async page(query: SessionListQuery): Promise<{ sessions: SessionSummary[]; next: string | null }> {
      const rows = await select(query);
      const shown = rows.slice(0, query.limit);
      const last = shown.at(-1);
      return {
        sessions: shown.map((row) => sessionSummarySchema.parse({ ...row, repository: { owner: row.owner, name: row.name } })),
        next: rows.length > query.limit && last ? `${last.createdAt}.${last.id}` : null,
      };
    },
    /** Reserved sandboxes that ended before that time and never became a session. */
    async forgetReserved(before: number): Promise<void> {
      await db.delete(sessions).where(and(eq(sessions.isReserved, true), lt(sessions.endedAt, before)));
    },
  };
}
