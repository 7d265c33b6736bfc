/** Writes of an ImageObject to D1: its scope, its builds, its images. Each is safe to repeat. */
import { type BuildView } from "@open-inspect/protocol";
import { and, eq, isNull, lt, or, sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import { type ScopeRow } from "../../domain/image-records.ts";
import { type StoredImage } from "../../domain/image-selection.ts";
import { builds, imageScopes, images } from "./schema.ts";

export interface ImageRows {
  saveScope(row: ScopeRow): Promise<void>;
  saveBuild(build: BuildView): Promise<void>;
  /** Makes the image the active one unless a newer build's image is; answers whether it is active now. */
  activate(image: StoredImage, order: number): Promise<boolean>;
  retire(imageId: string, cause: string, at: number): Promise<void>;
  markDeleted(imageId: string, at: number): Promise<void>;
}

export function createImageRows(d1: D1Database, scope: string): ImageRows {
  const db = drizzle(d1);
  return {
    async saveScope({ enabled, latestBuildId, lastCheck }) {
      const set = {
        enabled,
        latestBuildId,
        lastCheckAt: lastCheck?.at ?? null,
        lastCheckSha: lastCheck?.sha ?? null,
        lastCheckOutcome: lastCheck?.outcome ?? null,
      };
      await db
        .insert(imageScopes)
        .values({ scope, ...set })
        .onConflictDoUpdate({ target: imageScopes.scope, set });
    },
    async saveBuild({ repository, ...build }) {
      const row = { ...build, scope, owner: repository.owner, name: repository.name };
      // A write that was given up may still arrive later; it must not bring a build back to life.
      await db
        .insert(builds)
        .values(row)
        .onConflictDoUpdate({ target: builds.id, set: row, setWhere: isNull(builds.finishedAt) });
    },
    async activate(image, order) {
      const row = { ...image, scope, order };
      const newest = or(
        isNull(imageScopes.activeOrder),
        lt(imageScopes.activeOrder, order),
        eq(imageScopes.activeImageId, image.id),
      );
      const [, switched] = await db.batch([
        db.insert(images).values(row).onConflictDoNothing(),
        db
          .update(imageScopes)
          .set({ activeImageId: image.id, activeOrder: order })
          .where(and(eq(imageScopes.scope, scope), eq(imageScopes.enabled, true), newest)),
      ]);
      return switched.meta.changes > 0;
    },
    async retire(imageId, cause, at) {
      await db.batch([
        db
          .update(images)
          .set({
            retiredAt: sql`coalesce(${images.retiredAt}, ${at})`,
            retiredCause: sql`coalesce(${images.retiredCause}, ${cause})`,
          })
          .where(eq(images.id, imageId)),
        db.update(imageScopes).set({ activeImageId: null }).where(eq(imageScopes.activeImageId, imageId)),
      ]);
    },
    async markDeleted(imageId, at) {
      await db.update(images).set({ deletedAt: at }).where(eq(images.id, imageId));
    },
  };
}
