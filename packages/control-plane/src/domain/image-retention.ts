/** Which images of a scope are kept. Pure. */
import { type StoredImage } from "./image-selection.ts";

/**
 * Splits images, newest first: the newest `kept` stay, and beyond them the one that serves and the one that is pinned.
 */
export function retain(
  images: readonly StoredImage[],
  kept: number,
  wanted: readonly (string | null)[],
): { keep: StoredImage[]; drop: StoredImage[] } {
  const keep: StoredImage[] = [];
  const drop: StoredImage[] = [];
  for (const [index, image] of images.entries()) (index < kept || wanted.includes(image.id) ? keep : drop).push(image);
  return { keep, drop };
}
