/** What a tick has to know of the enabled repositories of an installation, in pages. Reads only; decides nothing. */
import { skipReasons } from "@open-inspect/protocol";
import { z } from "zod";

const json = <T extends z.ZodType>(schema: T) =>
  z
    .string()
    .transform((text) => JSON.parse(text))
    .pipe(schema);
const pageSchema = z.array(
  z.object({
    scope: z.string(),
    owner: z.string(),
    name: z.string(),
    defaultBranch: z.string().nullable(),
    archived: z.number().transform((flag) => flag === 1),
    /** head that was seen last */
    seenSha: z.string().nullable(),
    activeSha: z.string().nullable(),
    activeBranch: z.string().nullable(),
    expiresAt: z.number().nullable(),
    runtimeRevision: z.number().nullable(),
    ignorePaths: json(z.array(z.string())).nullable(),
    failing: json(z.object({ sha: z.string().nullable(), nextTryAt: z.number() })).nullable(),
    pin: json(z.object({ until: z.number().nullable() })).nullable(),
    buildStatus: z.string().nullable(),
    buildSha: z.string().nullable(),
    buildRequestedAt: z.number().nullable(),
    skipId: z.string().nullable(),
    skipReason: z.enum(skipReasons).nullable(),
    skipSha: z.string().nullable(),
    skipFromSha: z.string().nullable(),
    skipLastAt: z.number().nullable(),
  }),
);
export type TickRow = z.output<typeof pageSchema>[number];

const factsSql = `
  SELECT r.scope, r.owner, r.name, r.default_branch AS defaultBranch, r.archived, h.sha AS seenSha,
    i.sha AS activeSha, i.branch AS activeBranch, i.expires_at AS expiresAt, i.runtime_revision AS runtimeRevision,
    i.ignore_paths AS ignorePaths, s.failing, s.pin,
    b.status AS buildStatus, b.sha AS buildSha, b.requested_at AS buildRequestedAt,
    k.id AS skipId, k.reason AS skipReason, k.sha AS skipSha, k.from_sha AS skipFromSha, k.last_at AS skipLastAt
  FROM repositories r
  JOIN image_scopes s ON s.scope = r.scope
  LEFT JOIN images i ON i.id = s.active_image_id
  LEFT JOIN builds b ON b.id = s.latest_build_id
  LEFT JOIN head_checks h ON h.scope = r.scope
  LEFT JOIN skipped_checks k ON k.id = (SELECT id FROM skipped_checks WHERE scope = r.scope ORDER BY last_at DESC LIMIT 1)
  WHERE r.gone_at IS NULL AND s.enabled = 1`;

export function createTickRows(d1: D1Database) {
  return {
    /** Installations with repositories to check. */
    async installations(): Promise<number[]> {
      const { results } = await d1
        .prepare(
          `SELECT DISTINCT r.installation_id AS id FROM image_scopes s JOIN repositories r ON r.scope = s.scope
           WHERE s.enabled = 1 AND r.gone_at IS NULL ORDER BY id`,
        )
        .all<{ id: number }>();
      return results.map(({ id }) => id);
    },
    /** In the order of their scopes, beginning behind one of them. */
    async page(installationId: number, after: string, limit: number): Promise<TickRow[]> {
      const { results } = await d1
        .prepare(`${factsSql} AND r.installation_id = ?1 AND r.scope > ?2 ORDER BY r.scope LIMIT ?3`)
        .bind(installationId, after, limit)
        .all();
      return pageSchema.parse(results);
    },
    /** One repository; null where it is unknown or switched off. */
    async find(scope: string): Promise<TickRow | null> {
      const { results } = await d1.prepare(`${factsSql} AND r.scope = ?1`).bind(scope).all();
      return pageSchema.parse(results)[0] ?? null;
    },
  };
}
