/** Sums over sessions and builds since a moment: a few statements in one round trip, each along an index. Knows no targets' meaning. */
import { buildModeSchema, buildStatuses, coldReasonCodes, failureCodeSchema } from "@open-inspect/protocol";
import { z } from "zod";
import { type InsightSums } from "../../domain/insights.ts";

const kindSchema = z.enum(["image", "cold"]);
const numberSchema = z.number();

/** The middle of a sorted column, and what 95 in a hundred stay below: `n` rows, numbered by `r`. */
const median = (column: string) => `avg(CASE WHEN r IN ((n + 1) / 2, (n + 2) / 2) THEN ${column} END)`;
const p95 = (column: string) => `max(CASE WHEN r <= max(1, (n * 95 + 99) / 100) THEN ${column} END)`;

/**
 * When the first head after that of the session's image was seen; null where the ledger does not know. Better than the commit's own time:
 * what is pushed or merged late may have been committed days before.
 */
const outdatedAt = `(SELECT min(later.first_at) FROM images
    JOIN head_sightings AS own ON own.scope = images.scope AND own.sha = images.sha
    JOIN head_sightings AS later ON later.scope = own.scope AND later.first_at > own.first_at AND later.first_at <= sessions.created_at
  WHERE images.id = sessions.image_id AND images.branch = sessions.branch)`;

/** `?1` since, `?2` the scope where only one is asked for */
function statements(where: string) {
  const sessions = `SELECT *, CASE WHEN cold_reason IS NOT NULL OR started_from = 'base' THEN 'cold'
      WHEN image_id IS NOT NULL OR started_from = 'image' THEN 'image' END AS kind,
      CASE WHEN behind_commits = 0 THEN 0 WHEN behind_commits > 0 THEN max(0, created_at - coalesce(${outdatedAt}, behind_oldest_at)) END
        AS behind_ms
    FROM sessions WHERE is_reserved = 0 AND ${where.replace("$time", "created_at")}`;
  const builds = `SELECT * FROM builds WHERE ${where.replace("$time", "requested_at")}`;
  return {
    starts: `SELECT kind, count(*) AS count, sum(status = 'failed' AND ready_at IS NULL) AS failed FROM (${sessions}) WHERE kind IS NOT NULL
      GROUP BY kind`,
    coldReasons: `SELECT cold_reason AS code, count(*) AS count FROM (${sessions}) WHERE cold_reason IS NOT NULL
      GROUP BY cold_reason ORDER BY count DESC, code`,
    startTimes: `SELECT kind, n AS count, ${median("start_ms")} AS medianMs, ${p95("start_ms")} AS p95Ms FROM (
        SELECT kind, start_ms, row_number() OVER (PARTITION BY kind ORDER BY start_ms) AS r, count(*) OVER (PARTITION BY kind) AS n
        FROM (${sessions}) WHERE kind IS NOT NULL AND start_ms IS NOT NULL) GROUP BY kind, n`,
    saved: `SELECT count(*) AS sessions, coalesce(sum(saved_ms), 0) AS totalMs, ${median("saved_ms")} AS medianMs FROM (
        SELECT saved_ms, row_number() OVER (ORDER BY saved_ms) AS r, count(*) OVER () AS n FROM (${sessions}) WHERE saved_ms IS NOT NULL)`,
    behind: `SELECT count(*) AS known, coalesce(sum(behind_ms <= ?3), 0) AS within, ${median("behind_ms")} AS medianMs FROM (
        SELECT behind_ms, row_number() OVER (ORDER BY behind_ms) AS r, count(*) OVER () AS n FROM (${sessions}) WHERE behind_ms IS NOT NULL)`,
    behindCommits: `SELECT ${median("behind_commits")} AS medianCommits FROM (
        SELECT behind_commits, row_number() OVER (ORDER BY behind_commits) AS r, count(*) OVER () AS n
        FROM (${sessions}) WHERE behind_commits IS NOT NULL)`,
    atHead: `SELECT count(*) AS known, coalesce(sum(at_head), 0) AS good FROM (${sessions}) WHERE at_head IS NOT NULL`,
    builds: `SELECT status, count(*) AS count FROM (${builds}) GROUP BY status`,
    byMode: `SELECT mode, n AS count, ${median("duration_ms")} AS medianMs FROM (
        SELECT mode, duration_ms, row_number() OVER (PARTITION BY mode ORDER BY duration_ms) AS r, count(*) OVER (PARTITION BY mode) AS n
        FROM (${builds}) WHERE status = 'ready' AND mode IS NOT NULL AND duration_ms IS NOT NULL) GROUP BY mode, n`,
    failures: `SELECT json_extract(failure, '$.code') AS code, count(*) AS count FROM (${builds}) WHERE status = 'failed' AND failure IS NOT NULL
      GROUP BY code ORDER BY count DESC, code`,
    skipped: `SELECT coalesce(sum(count), 0) AS skipped FROM skipped_checks WHERE ${where.replace("$time", "last_at")}`,
  } satisfies Record<keyof InsightSums | "behindCommits", string>;
}

/** The statements with the numbers of their parameters, for whoever asks how they are planned. */
export const insightStatements = (scope: string | null) =>
  statements(scope === null ? "$time >= ?1" : "scope = ?2 AND $time >= ?1");

const counted = <S extends z.ZodType>(code: S) => z.array(z.object({ code, count: numberSchema }));
const first = <S extends z.ZodType>(schema: S) => z.tuple([schema]).transform(([row]) => row);

const sumsSchema = z.object({
  starts: z.array(z.object({ kind: kindSchema, count: numberSchema, failed: numberSchema })),
  coldReasons: counted(z.enum(coldReasonCodes)),
  startTimes: z.array(z.object({ kind: kindSchema, count: numberSchema, medianMs: numberSchema, p95Ms: numberSchema })),
  saved: first(z.object({ totalMs: numberSchema, sessions: numberSchema, medianMs: numberSchema.nullable() })),
  behind: first(z.object({ known: numberSchema, within: numberSchema, medianMs: numberSchema.nullable() })),
  behindCommits: first(z.object({ medianCommits: numberSchema.nullable() })),
  atHead: first(z.object({ known: numberSchema, good: numberSchema })),
  builds: z.array(z.object({ status: z.enum(buildStatuses), count: numberSchema })),
  byMode: z.array(z.object({ mode: buildModeSchema, count: numberSchema, medianMs: numberSchema })),
  failures: counted(failureCodeSchema),
  skipped: first(z.object({ skipped: numberSchema })),
});

/** @param scope null: of all repositories */
export async function readInsightSums(
  d1: D1Database,
  { scope, since, withinMs }: { scope: string | null; since: number; withinMs: number },
): Promise<InsightSums> {
  const texts = Object.entries(insightStatements(scope));
  const results = await d1.batch(
    texts.map(([, text]) => {
      const parameters = [since, scope, withinMs];
      return d1.prepare(text).bind(...parameters.slice(0, highestParameter(text)));
    }),
  );
  const { behindCommits, skipped, ...sums } = sumsSchema.parse(
    Object.fromEntries(texts.map(([name], index) => [name, results[index]?.results])),
  );
  return { ...sums, behind: { ...sums.behind, ...behindCommits }, skipped: skipped.skipped };
}

const highestParameter = (text: string): number => Math.max(...[...text.matchAll(/\?(\d)/g)].map(([, digit]) => Number(digit)));
