/** The images that the provider still has, as pages and SDK see them. Written by `image-rows.ts`. */
import { type KeptImage } from "@open-inspect/protocol";
import { and, count, desc, eq, isNull } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import { imageView } from "../../domain/image-views.ts";
import { imageScopes, images, sessions } from "./schema.ts";

export function createKeptImages(d1: D1Database) {
  const db = drizzle(d1);
  return {
    /** Newest first. */
    async list(scope: string): Promise<KeptImage[]> {
      const running = db
        .select({ imageId: sessions.imageId, running: count().as("running") })
        .from(sessions)
        .where(and(eq(sessions.scope, scope), isNull(sessions.endedAt)))
        .groupBy(sessions.imageId)
        .as("running");
      const rows = await db
        .select({ image: images, activeId: imageScopes.activeImageId, running: running.running })
        .from(images)
        .leftJoin(imageScopes, eq(imageScopes.scope, images.scope))
        .leftJoin(running, eq(running.imageId, images.id))
        .where(and(eq(images.scope, scope), isNull(images.deletedAt)))
        .orderBy(desc(images.order));
      return rows.map(({ image, activeId, running: sessionsNow }) => ({
        ...imageView(image),
        state: image.id === activeId ? "active" : image.retiredAt === null ? "kept" : "retired",
        retiredCause: image.retiredCause,
        runningSessions: sessionsNow ?? 0,
      }));
    },
    async find(id: string): Promise<{ scope: string; expiresAt: number; deletedAt: number | null } | null> {
      const { scope, expiresAt, deletedAt } = images;
      const [row] = await db.select({ scope, expiresAt, deletedAt }).from(images).where(eq(images.id, id));
      return row ?? null;
    },
  };
}
