/** Builds in D1, for whoever looks one up by its id. Written by `image-rows.ts`. */
import { type BuildView, buildViewSchema } from "@open-inspect/protocol";
import { and, desc, eq, lt, or } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import { type SQLiteColumn } from "drizzle-orm/sqlite-core";
import { builds, skippedChecks } from "./schema.ts";

export async function findBuild(d1: D1Database, id: string): Promise<{ scope: string; build: BuildView } | null> {
  const [row] = await drizzle(d1).select().from(builds).where(eq(builds.id, id));
  if (row) return { scope: row.scope, build: toBuildView(row) };
  const [skipped] = await drizzle(d1).select().from(skippedChecks).where(eq(skippedChecks.id, id));
  return skipped ? { scope: skipped.scope, build: skippedView(skipped) } : null;
}

/**
 * Newest first, comparisons that built nothing among them.
 * @param before the cursor of an earlier page: builds that were asked for before that time, or then with a smaller id
 */
export async function listBuilds(
  d1: D1Database,
  scope: string,
  { limit, before }: { limit: number; before: { at: number; id: string } | null },
): Promise<BuildView[]> {
  const db = drizzle(d1);
  const [built, skipped] = await Promise.all([
    db
      .select()
      .from(builds)
      .where(and(eq(builds.scope, scope), before ? earlier(builds.requestedAt, builds.id, before) : undefined))
      .orderBy(desc(builds.requestedAt), desc(builds.id))
      .limit(limit),
    db
      .select()
      .from(skippedChecks)
      .where(and(eq(skippedChecks.scope, scope), before ? earlier(skippedChecks.firstAt, skippedChecks.id, before) : undefined))
      .orderBy(desc(skippedChecks.firstAt), desc(skippedChecks.id))
      .limit(limit),
  ]);
  const all = [...built.map(toBuildView), ...skipped.map(skippedView)];
  return all.sort((a, b) => b.requestedAt - a.requestedAt || (a.id < b.id ? 1 : -1)).slice(0, limit);
}

function earlier(at: SQLiteColumn, id: SQLiteColumn, before: { at: number; id: string }) {
  return or(lt(at, before.at), and(eq(at, before.at), lt(id, before.id)));
}

function skippedView(row: typeof skippedChecks.$inferSelect): BuildView {
  const { id, owner, name, branch, sha, fromSha, reason, count, firstAt, lastAt } = row;
  return {
    ...{ id, branch, sha, fromSha },
    repository: { owner, name },
    trigger: "schedule",
    requestedBy: null,
    status: "skipped",
    phase: null,
    mode: null,
    modeReason: null,
    phases: [],
    requestedAt: firstAt,
    startedAt: null,
    finishedAt: lastAt,
    durationMs: null,
    failure: null,
    tryNumber: 1,
    inputs: null,
    sizeBytes: null,
    imageId: null,
    skipped: { reason, count },
  };
}

export function toBuildView(row: typeof builds.$inferSelect): BuildView {
  return buildViewSchema.parse({ ...row, repository: { owner: row.owner, name: row.name } });
}
