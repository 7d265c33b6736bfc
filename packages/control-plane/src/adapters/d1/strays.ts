/** What the sweeper has to know: who owns sandboxes, which ones it has seen without an owner, and what is left of old images. */

const json = (ids: readonly string[]): string => JSON.stringify(ids);

export interface LeftImage {
  id: string;
  providerImageId: string;
}

export function createStrays(d1: D1Database) {
  const change = async (sql: string, ...values: unknown[]): Promise<void> =>
    void (await d1
      .prepare(sql)
      .bind(...values)
      .run());
  return {
    /** Of these builds and sessions, those that have not ended. */
    async owners(ids: readonly string[]): Promise<Set<string>> {
      const { results } = await d1
        .prepare(
          `SELECT id FROM builds WHERE id IN (SELECT value FROM json_each(?1)) AND finished_at IS NULL
           UNION ALL SELECT id FROM sessions WHERE id IN (SELECT value FROM json_each(?1)) AND ended_at IS NULL`,
        )
        .bind(json(ids))
        .all<{ id: string }>();
      return new Set(results.map(({ id }) => id));
    },
    async known(): Promise<Map<string, number>> {
      const { results } = await d1
        .prepare("SELECT sandbox_id AS id, first_seen_at AS at FROM strays")
        .all<{ id: string; at: number }>();
      return new Map(results.map(({ id, at }) => [id, at]));
    },
    remember: (ids: readonly string[], now: number) =>
      change("INSERT OR IGNORE INTO strays (sandbox_id, first_seen_at) SELECT value, ?2 FROM json_each(?1)", json(ids), now),
    forget: (ids: readonly string[]) =>
      change("DELETE FROM strays WHERE sandbox_id IN (SELECT value FROM json_each(?1))", json(ids)),
    /**
     * Images that nobody can use any more and whose deletion nobody has written down: retired before that time in a scope that is switched
     * off, or past their end at the provider. Not while a session that came from one runs.
     */
    async leftImages(retiredBefore: number, now: number, limit: number): Promise<LeftImage[]> {
      const { results } = await d1
        .prepare(
          `SELECT i.id, i.provider_image_id AS providerImageId FROM images i LEFT JOIN image_scopes s ON s.scope = i.scope
           WHERE i.deleted_at IS NULL AND coalesce(s.active_image_id, '') <> i.id
             AND ((i.retired_at < ?1 AND coalesce(s.enabled, 0) = 0) OR i.expires_at < ?2)
             AND NOT EXISTS (SELECT 1 FROM sessions WHERE image_id = i.id AND ended_at IS NULL)
           ORDER BY i.created_at LIMIT ?3`,
        )
        .bind(retiredBefore, now, limit)
        .all<LeftImage & Record<string, unknown>>();
      return results.map(({ id, providerImageId }) => ({ id, providerImageId }));
    },
    markDeleted: (id: string, now: number) => change("UPDATE images SET deleted_at = ?2 WHERE id = ?1", id, now),
    /** Scopes that are switched on although their repository has been gone since before that time. */
    async goneScopes(before: number, limit: number): Promise<string[]> {
      const { results } = await d1
        .prepare(
          `SELECT s.scope FROM image_scopes s JOIN repositories r ON r.scope = s.scope
           WHERE s.enabled = 1 AND r.gone_at < ?1 ORDER BY r.gone_at LIMIT ?2`,
        )
        .bind(before, limit)
        .all<{ scope: string }>();
      return results.map(({ scope }) => scope);
    },
  };
}
