/** Repositories in D1 and what is known of their images: the lists' reads, the sync's writes. */
import {
  type ImageSettings,
  type ImageState,
  imageScopeOf,
  type RepositoryRef,
  type RepositoryView,
} from "@open-inspect/protocol";
import { and, asc, eq, isNotNull, isNull, max, or } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import { defaultImageSettings, type Target } from "../../domain/image-scope-state.ts";
import { evaluateImageStatus } from "../../domain/image-status.ts";
import { imageView } from "../../domain/image-views.ts";
import { type KnownRepositories, type KnownRepository } from "../../domain/ports.ts";
import { toBuildView } from "./builds.ts";
import { createHeadChecks } from "./head-checks.ts";
import { builds, headChecks, imageScopes, images, repositories } from "./schema.ts";

type Row = {
  repository: typeof repositories.$inferSelect;
  scope: typeof imageScopes.$inferSelect | null;
  active: typeof images.$inferSelect | null;
  latest: typeof builds.$inferSelect | null;
  check: typeof headChecks.$inferSelect | null;
};

/** rows of one statement, which takes them as one JSON text */
const rowsPerStatement = 500;

const columns = { repository: repositories, scope: imageScopes, active: images, latest: builds, check: headChecks };

const upsertColumns = {
  scope: "scope",
  owner: "owner",
  name: "name",
  default_branch: "defaultBranch",
  private: "private",
  clone_url: "cloneUrl",
  installation_id: "installationId",
  archived: "archived",
  github_id: "githubId",
};
const upsertNames = Object.keys(upsertColumns);
const upsertSql = `INSERT INTO repositories (${upsertNames.join(", ")}, synced_at, gone_at)
  SELECT ${Object.values(upsertColumns).map((name) => `value ->> '${name}'`)}, ?2, NULL FROM json_each(?1) WHERE true
  ON CONFLICT (scope) DO UPDATE SET ${upsertNames.map((name) => `${name} = excluded.${name}`)},
    synced_at = excluded.synced_at, gone_at = NULL`;

export function createRepositories(d1: D1Database) {
  const db = drizzle(d1);
  const upserts = (known: readonly KnownRepository[], now: number): D1PreparedStatement[] => {
    const statements: D1PreparedStatement[] = [];
    for (let index = 0; index < known.length; index += rowsPerStatement) {
      const rows = known.slice(index, index + rowsPerStatement).map((one) => ({ ...one, scope: imageScopeOf(one) }));
      statements.push(d1.prepare(upsertSql).bind(JSON.stringify(rows), now));
    }
    return statements;
  };
  const gone = (installationIds: readonly number[], now: number): D1PreparedStatement =>
    d1
      .prepare(
        `UPDATE repositories SET gone_at = ?2 WHERE synced_at < ?2 AND gone_at IS NULL
         AND (installation_id IN (SELECT value FROM json_each(?1)) OR scope NOT IN (SELECT scope FROM image_scopes WHERE enabled = 1))`,
      )
      .bind(JSON.stringify(installationIds), now);
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
    /** When the list was last read from GitHub. */
    async syncedAt(): Promise<number> {
      const [row] = await db.select({ at: max(repositories.syncedAt) }).from(repositories);
      return row?.at ?? 0;
    },
    /** Scopes whose repository GitHub lists under another name now; also one that went away and was switched on until then. */
    async renamed(known: readonly KnownRepository[]): Promise<{ from: string; to: KnownRepository }[]> {
      const byId = new Map(known.map((one) => [one.githubId, one]));
      const { scope, githubId } = repositories;
      const rows = await db
        .select({ scope, githubId })
        .from(repositories)
        .leftJoin(imageScopes, eq(imageScopes.scope, scope))
        .where(and(or(isNull(repositories.goneAt), eq(imageScopes.enabled, true)), isNotNull(githubId)));
      return rows.flatMap((row) => {
        const to = row.githubId === null ? undefined : byId.get(row.githubId);
        return to && imageScopeOf(to) !== row.scope ? [{ from: row.scope, to }] : [];
      });
    },
    /**
     * Replaces what is known of GitHub. Settings of a repository that is gone stay, for when it comes back; those of an installation
     * that GitHub does not list stay listed while their images are switched on.
     */
    async save({ repositories: known, installationIds }: KnownRepositories, now: number): Promise<void> {
      await d1.batch([...upserts(known, now), gone(installationIds, now)]);
    },
    async upsert(known: readonly KnownRepository[], now: number): Promise<void> {
      await d1.batch(upserts(known, now));
    },
    /** Installations that repositories belong to. */
    async installationIds(): Promise<number[]> {
      const rows = await db
        .selectDistinct({ id: repositories.installationId })
        .from(repositories)
        .where(isNull(repositories.goneAt));
      return rows.map(({ id }) => id);
    },
    async settingsOf(scope: string): Promise<{ enabled: boolean; settings: ImageSettings | null } | null> {
      const { enabled, settings } = imageScopes;
      const [row] = await db.select({ enabled, settings }).from(imageScopes).where(eq(imageScopes.scope, scope));
      return row ?? null;
    },
    async markGone(scopes: readonly string[], now: number): Promise<void> {
      await d1
        .prepare("UPDATE repositories SET gone_at = ?2 WHERE gone_at IS NULL AND scope IN (SELECT value FROM json_each(?1))")
        .bind(JSON.stringify(scopes), now)
        .run();
    },
    async markUnavailable(scopes: readonly string[], now: number): Promise<void> {
      await createHeadChecks(d1).save(scopes.map((scope) => ({ scope, at: now, sha: null, outcome: "unavailable" })));
    },
    /** Writes only where it changed. */
    async setArchived(rows: readonly { scope: string; archived: boolean }[]): Promise<void> {
      if (rows.length === 0) return;
      await d1
        .prepare(
          `UPDATE repositories SET archived = news.archived
           FROM (SELECT value ->> 'scope' AS scope, value ->> 'archived' AS archived FROM json_each(?1)) AS news
           WHERE repositories.scope = news.scope AND repositories.archived <> news.archived`,
        )
        .bind(JSON.stringify(rows))
        .run();
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
