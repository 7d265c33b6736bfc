/** `GET /insights?days=N&repository=owner/name`: how sessions began, what images spared, how fresh they were, how builds ended. */
import { z } from "zod";
import { durationMsSchema, timestampSchema } from "./ids.ts";
import { buildModeSchema, failureCodeSchema } from "./image-build.ts";
import { coldReasonSchema } from "./session.ts";

const countSchema = z.number().int().nonnegative();
const shareSchema = z.number().min(0).max(1);

export const insightsQuerySchema = z.object({
  days: z.coerce.number().int().min(1).max(90).default(7),
});

/** Of the starts that got ready; null where there was none. */
const startTimesSchema = z.object({ count: countSchema, medianMs: durationMsSchema, p95Ms: durationMsSchema }).nullable();

/** Where a target stands. `share` and `isMet` are null while nothing is known. */
const standingSchema = z.object({
  /** starts of which it is known */
  known: countSchema,
  /** those that are good enough */
  good: countSchema,
  share: shareSchema.nullable(),
  isMet: z.boolean().nullable(),
});
export type Standing = z.infer<typeof standingSchema>;

export const insightsSchema = z.object({
  since: timestampSchema,
  until: timestampSchema,
  days: z.number().int().positive(),
  /** null: of all repositories */
  repository: z.object({ owner: z.string(), name: z.string() }).nullable(),
  starts: z.object({ image: countSchema, cold: countSchema, failed: countSchema }),
  /** why sessions began without an image, the most frequent reason first */
  coldReasons: z.array(coldReasonSchema.extend({ count: countSchema })),
  startTimes: z.object({ image: startTimesSchema, cold: startTimesSchema }),
  /** time that images spared; a start that was slower than a cold one counts against it */
  saved: z.object({ totalMs: z.number(), sessions: countSchema, medianMs: z.number().nullable() }),
  staleness: z.object({
    /** what this installation wants: that share of starts no further behind than that before the sync, and every one at the head after it */
    target: z.object({ share: shareSchema, withinMs: durationMsSchema }),
    beforeSync: standingSchema,
    afterSync: standingSchema,
    medianBehindMs: durationMsSchema.nullable(),
    medianBehindCommits: z.number().nonnegative().nullable(),
  }),
  builds: z.object({
    ready: countSchema,
    failed: countSchema,
    cancelled: countSchema,
    superseded: countSchema,
    /** those that wait or run */
    open: countSchema,
    /** comparisons after which there was nothing to build */
    skipped: countSchema,
    byMode: z.array(z.object({ mode: buildModeSchema, count: countSchema, medianMs: durationMsSchema })),
    failures: z.array(z.object({ code: failureCodeSchema, count: countSchema })),
  }),
});
export type Insights = z.infer<typeof insightsSchema>;
