/** Builds in D1, for whoever looks one up by its id. Written by `image-rows.ts`. */
import { type BuildView, buildViewSchema } from "@open-inspect/protocol";
import { eq } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import { builds } from "./schema.ts";

export async function findBuild(d1: D1Database, id: string): Promise<{ scope: string; build: BuildView } | null> {
  const [row] = await drizzle(d1).select().from(builds).where(eq(builds.id, id));
  return row ? { scope: row.scope, build: toBuildView(row) } : null;
}

export function toBuildView(row: typeof builds.$inferSelect): BuildView {
  return buildViewSchema.parse({ ...row, repository: { owner: row.owner, name: row.name } });
}
