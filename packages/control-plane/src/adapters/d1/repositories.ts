/** Repositories in D1 and what is known of their images: the lists' reads, the sync's writes. */
import { type ImageState, imageScopeOf, type RepositoryRef, type RepositoryView } from "@open-inspect/protocol";
import { and, asc, eq, isNull, lt, max, sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import { defaultImageSettings, type Target } from "../../domain/image-scope-state.ts";
import { evaluateImageStatus } from "../../domain/image-status.ts";
import { imageView } from "../../domain/image-views.ts";
import { type HeadCheckMessage, type KnownRepository } from "../../domain/ports.ts";
import { toBuildView } from "./builds.ts";
import { builds, headChecks, imageScopes, images, repositories } from "./schema.ts";

type Row = {
  repository: typeof repositories.$inferSelect;
  scope: typeof imageScopes.$inferSelect | null;
  active: typeof images.$inferSelect | null;
  latest: typeof builds.$inferSelect | null;
  check: typeof headChecks.$inferSelect | null;
};

/** SQLite takes at most 100 bound parameters a statement in D1; a row has ten, and the update two. */
const rowsPerStatement = 9;

const columns = { repository: repositories, scope: imageScopes, active: images, latest: builds, check: headChecks };

export function createRepositories(d1: D1Database) {
  const db = drizzle(d1);
  const joined = () =>
    db
      .select(columns)
      .from(repositories)
      .leftJoin(imageScopes, eq(imageScopes.scope, repositories.scope))
      .leftJoin(images, eq(images.id, imageScopes.activeImageId))
      .leftJoin(builds, eq(builds.id, imageScopes.latestBuildId))
      .leftJoin(headChecks, eq(headChecks.scope, repositories.scope));

  return {
    async list(): Promise<RepositoryView[]> {
      const rows = await joined().where(isNull(repositories.goneAt)).orderBy(asc(repositories.scope));
      return rows.map(toView);
    },
    async viewOf(scope: string): Promise<RepositoryView | null> {
      const [row] = await joined().where(eq(repositories.scope, scope));
      return row ? toView(row) : null;
    },
    async find(repository: RepositoryRef): Promise<{ target: Target; view: RepositoryView } | null> {
      const [row] = await joined().where(and(eq(repositories.scope, imageScopeOf(repository)), isNull(repositories.goneAt)));
      return row ? { target: toTarget(row.repository), view: toView(row) } : null;
    },
    /** Repositories to compare at a tick. */
    async enabled(): Promise<HeadCheckMessage[]> {
      const { scope, owner, name, installationId, defaultBranch } = repositories;
      return db
        .select({ scope, owner, name, installationId, defaultBranch })
        .from(imageScopes)
        .innerJoin(repositories, eq(repositories.scope, imageScopes.scope))
        .where(and(eq(imageScopes.enabled, true), isNull(repositories.goneAt)))
        .orderBy(asc(repositories.installationId), asc(repositories.scope));
    },
    /** When the list was last read from GitHub. */
    async syncedAt(): Promise<number> {
      const [row] = await db.select({ at: max(repositories.syncedAt) }).from(repositories);
      return row?.at ?? 0;
    },
    /** Replaces what is known of GitHub. Settings of a repository that is gone stay, for when it comes back. */
    async save(known: readonly KnownRepository[], now: number): Promise<void> {
      const rows = known.map((repository) => ({ ...repository, scope: imageScopeOf(repository), syncedAt: now, goneAt: null }));
      const set = {
        owner: sql`excluded.owner`,
        name: sql`excluded.name`,
        defaultBranch: sql`excluded.default_branch`,
        private: sql`excluded.private`,
        cloneUrl: sql`excluded.clone_url`,
        installationId: sql`excluded.installation_id`,
        syncedAt: now,
        goneAt: null,
      };
      const gone = db
        .update(repositories)
        .set({ goneAt: now })
        .where(and(lt(repositories.syncedAt, now), isNull(repositories.goneAt)));
      const upserts = [];
      for (let index = 0; index < rows.length; index += rowsPerStatement) {
        const some = rows.slice(index, index + rowsPerStatement);
        upserts.push(db.insert(repositories).values(some).onConflictDoUpdate({ target: repositories.scope, set }));
      }
      const [first, ...rest] = [...upserts, gone];
      await db.batch([first ?? gone, ...rest]);
    },
    async setDefaultBranch(scope: string, defaultBranch: string | null): Promise<void> {
      await db.update(repositories).set({ defaultBranch }).where(eq(repositories.scope, scope));
    },
  };
}
export function toTarget(row: typeof repositories.$inferSelect): Target {
  const { owner, name, defaultBranch, cloneUrl, installationId } = row;
  return { owner, name, branch: defaultBranch, private: row.private, cloneUrl, installationId };
}

function toImageState({ scope, active, latest, check }: Row): ImageState {
  const enabled = scope?.enabled ?? false;
  const failing = scope?.failing ?? null;
  return {
    enabled,
    status: evaluateImageStatus({ enabled, hasImage: active !== null, latestBuild: latest?.status ?? null }),
    active: active && imageView(active),
    latestBuild: latest && toBuildView(latest),
    lastCheck: check && { at: check.at, sha: check.sha, outcome: check.outcome },
    pin: scope?.pin ?? null,
    failing: failing && {
      count: failing.count,
      firstSha: failing.firstSha,
      firstAt: failing.firstAt,
      nextTryAt: failing.nextTryAt,
    },
    settings: scope?.settings ?? defaultImageSettings,
  };
}

function toView(row: Row): RepositoryView {
  const { owner, name, defaultBranch, cloneUrl } = row.repository;
  return { owner, name, defaultBranch, private: row.repository.private, cloneUrl, image: toImageState(row) };
}
