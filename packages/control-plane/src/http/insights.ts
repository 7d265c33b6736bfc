/** `GET /api/insights`: how sessions began and builds ended, of all repositories or of one. */
import { type Insights, imageScopeOf, insightsQuerySchema } from "@open-inspect/protocol";
import { type Context } from "hono";
import { readInsightSums } from "../adapters/d1/insights.ts";
import { createInsights } from "../domain/insights.ts";
import { readConfig } from "../env.ts";
import { type App } from "./app-types.ts";
import { repositoryOfQuery } from "./repositories.ts";
import { parse } from "./validation.ts";

const dayMs = 86_400_000;

export async function insights(c: Context<App>): Promise<Response> {
  const { days } = parse(insightsQuerySchema, { days: c.req.query("days") }, "query");
  const target = c.req.query("repository") === undefined ? null : await repositoryOfQuery(c);
  const { STALENESS_TARGET } = readConfig(c.env);
  const until = Date.now();
  const since = until - days * dayMs;
  const scope = target && imageScopeOf(target);
  const sums = await readInsightSums(c.env.DB, { scope, since, withinMs: STALENESS_TARGET.withinMs });
  const repository = target && { owner: target.owner, name: target.name };
  return c.json(createInsights(sums, { since, until, days, repository, target: STALENESS_TARGET }) satisfies Insights);
}
