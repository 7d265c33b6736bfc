/** Writes of an ImageObject to D1: its scope, its builds, its images. Each is safe to repeat. */
import { type BuildView, type CommitInfo, type Pin, type RepositoryView } from "@open-inspect/protocol";
import { and, count, eq, isNull, lt, or, sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import { type ScopeRow } from "../../domain/image-records.ts";
import { type StoredImage } from "../../domain/image-selection.ts";
import { createRepositories } from "./repositories.ts";
import { builds, imageScopes, images, sessions } from "./schema.ts";

export interface ImageRows {
  saveScope(row: ScopeRow): Promise<void>;
  saveBuild(build: BuildView): Promise<void>;
  /** Writes the image, and with `serve` makes it the active one unless a newer or a pinned one is; answers whether it is active now. */
  activate(image: StoredImage, order: number, serve: boolean): Promise<boolean>;
  /** Makes a kept image the active one, whatever its order. */
  serve(imageId: string): Promise<void>;
  /** No image is active, and no build up to this order makes one active any more. */
  bar(order: number): Promise<void>;
  /** Serves the image until it is unpinned; builds up to `order` change nothing any more. */
  pin(pin: Pin, order: number): Promise<void>;
  unpin(): Promise<void>;
  /** sessions that came from the image and have not ended */
  runningSessions(imageId: string): Promise<number>;
  /** the repository as lists show it */
  view(): Promise<RepositoryView | null>;
  retire(imageId: string, cause: string, at: number): Promise<void>;
  markDeleted(imageId: string, at: number): Promise<void>;
}

export function createImageRows(d1: D1Database, scope: string): ImageRows {
  const db = drizzle(d1);
  const renew = (imageId: string) => db.update(images).set({ retiredAt: null, retiredCause: null }).where(eq(images.id, imageId));
  /** The row of the switch may be written after these: a later write of the same row replaces an earlier one in the queue. */
  const upsert = (row: { activeImageId: string | null; activeOrder?: number; pin?: Pin }) => {
    const { activeOrder } = row;
    const raised =
      activeOrder === undefined ? {} : { activeOrder: sql`max(coalesce(${imageScopes.activeOrder}, 0), ${activeOrder})` };
    return db
      .insert(imageScopes)
      .values({ scope, enabled: true, ...row })
      .onConflictDoUpdate({ target: imageScopes.scope, set: { ...row, ...raised } });
  };
  return {
    async saveScope(row) {
      await db
        .insert(imageScopes)
        .values({ scope, ...row })
        .onConflictDoUpdate({ target: imageScopes.scope, set: row });
    },
    async saveBuild({ repository, ...build }) {
      const ledger = sql`(SELECT commit_info FROM head_sightings WHERE scope = ${scope} AND sha = ${build.sha})`;
      const commit = build.sha === null ? null : sql<CommitInfo | null>`${ledger}`;
      const row = { ...build, commit, scope, owner: repository.owner, name: repository.name };
      // A write that was given up may still arrive later; it must not bring a build back to life.
      await db
        .insert(builds)
        .values(row)
        .onConflictDoUpdate({ target: builds.id, set: row, setWhere: isNull(builds.finishedAt) });
    },
    async activate(image, order, serve) {
      const row = { ...image, scope, order };
      const served = { order, retiredAt: null, retiredCause: null };
      const write = db.insert(images).values(row).onConflictDoUpdate({ target: images.id, set: served });
      if (!serve) {
        await write;
        return false;
      }
      const newest = or(
        isNull(imageScopes.activeOrder),
        lt(imageScopes.activeOrder, order),
        eq(imageScopes.activeImageId, image.id),
      );
      const set = { activeImageId: image.id, activeOrder: order };
      const [, switched] = await db.batch([
        write,
        db
          .insert(imageScopes)
          .values({ scope, enabled: true, ...set })
          .onConflictDoUpdate({ target: imageScopes.scope, set, setWhere: sql`${isNull(imageScopes.pin)} and ${newest}` }),
      ]);
      return switched.meta.changes > 0;
    },
    async serve(imageId) {
      await db.batch([renew(imageId), upsert({ activeImageId: imageId })]);
    },
    async bar(order) {
      await upsert({ activeImageId: null, activeOrder: order });
    },
    async pin(pin, order) {
      await db.batch([renew(pin.imageId), upsert({ activeImageId: pin.imageId, pin, activeOrder: order })]);
    },
    async unpin() {
      await db.update(imageScopes).set({ pin: null }).where(eq(imageScopes.scope, scope));
    },
    async runningSessions(imageId) {
      const [row] = await db
        .select({ running: count() })
        .from(sessions)
        .where(and(eq(sessions.imageId, imageId), isNull(sessions.endedAt)));
      return row?.running ?? 0;
    },
    view: () => createRepositories(d1).viewOf(scope),
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
