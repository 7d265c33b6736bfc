/** Joins class names; a later Tailwind class wins over an earlier one of its kind. */
import { type ClassValue, clsx } from "clsx";
import { extendTailwindMerge } from "tailwind-merge";

// The sizes below are ours: without this, `text-2xs` would be taken for a colour and dropped beside one.
const merge = extendTailwindMerge({ extend: { theme: { text: ["2xs"] } } });

export function cn(...classes: ClassValue[]): string {
  return merge(clsx(classes));
}
