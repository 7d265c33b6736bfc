/** Sessions in D1: rows for the list, and everything that the start of a session has to look up, in one round trip. */
import {
  type BuildView,
  imageScopeOf,
  type RepositoryRef,
  type SessionSummary,
  sessionSummarySchema,
} from "@open-inspect/protocol";
import { and, desc, eq, isNotNull, isNull } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import { type Target } from "../../domain/image-scope-state.ts";
import { type SelectionFacts } from "../../domain/image-selection.ts";
import { type ColdHistory } from "../../domain/receipt.ts";
import { toBuildView, toTarget } from "./repositories.ts";
import { builds, imageScopes, images, repositories, sessions } from "./schema.ts";

const listMax = 200;

/** What a session's start is decided from. */
export interface StartFacts {
  target: Target;
  selection: SelectionFacts;
  history: ColdHistory;
}

export function createSessions(d1: D1Database) {
  const db = drizzle(d1);
  return {
    /** null: no such repository */
    async startFacts(repository: RepositoryRef): Promise<StartFacts | null> {
      const scope = imageScopeOf(repository);
      // Not a batch: drizzle reads a batch's rows by column name, and the joined tables share names.
      const [[found], [cold], [built]] = await Promise.all([
        db
          .select({ repository: repositories, scope: imageScopes, active: images, latest: { status: builds.status } })
          .from(repositories)
          .leftJoin(imageScopes, eq(imageScopes.scope, repositories.scope))
          .leftJoin(images, eq(images.id, imageScopes.activeImageId))
          .leftJoin(builds, eq(builds.id, imageScopes.latestBuildId))
          .where(and(eq(repositories.scope, scope), isNull(repositories.goneAt))),
        db
          .select({ ms: sessions.startMs, at: sessions.readyAt })
          .from(sessions)
          .where(and(eq(sessions.scope, scope), eq(sessions.startedFrom, "base"), isNotNull(sessions.readyAt)))
          .orderBy(desc(sessions.readyAt))
          .limit(1),
        db
          .select({ phases: builds.phases, at: builds.finishedAt })
          .from(builds)
          .where(and(eq(builds.scope, scope), eq(builds.status, "ready")))
          .orderBy(desc(builds.requestedAt))
          .limit(1),
      ]);
      if (!found) return null;
      return {
        target: toTarget(found.repository),
        selection: { enabled: found.scope?.enabled ?? false, active: found.active, latestBuild: found.latest?.status ?? null },
        history: {
          measured: cold && cold.ms !== null && cold.at !== null ? { ms: cold.ms, at: cold.at } : null,
          build: built && built.at !== null ? { phases: built.phases, at: built.at } : null,
        },
      };
    },
    async save({ repository, ...summary }: SessionSummary): Promise<void> {
      const row = { ...summary, scope: imageScopeOf(repository), owner: repository.owner, name: repository.name };
      await db.insert(sessions).values(row).onConflictDoUpdate({ target: sessions.id, set: row });
    },
    async list(): Promise<SessionSummary[]> {
      const rows = await db.select().from(sessions).orderBy(desc(sessions.createdAt), desc(sessions.id)).limit(listMax);
      return rows.map((row) => sessionSummarySchema.parse({ ...row, repository: { owner: row.owner, name: row.name } }));
    },
    async findBuild(id: string): Promise<{ scope: string; build: BuildView } | null> {
      const [row] = await db.select().from(builds).where(eq(builds.id, id));
      return row ? { scope: row.scope, build: toBuildView(row) } : null;
    },
  };
}
export type Sessions = ReturnType<typeof createSessions>;
