/** Randomness for the pure machines: ids and attempts. */
import { createId, type IdKind } from "@open-inspect/protocol";
import { type BuildPlan } from "../domain/image-messages.ts";

export const newId = (kind: IdKind, now: number): string => createId(kind, now, crypto.getRandomValues(new Uint8Array(16)));

/** 128 random bits in hex; names one life of a sandbox. */
export function newAttempt(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function newBuildPlan(now: number, limitMs: number): BuildPlan {
  return { buildId: newId("build", now), imageId: newId("image", now), attempts: Array.from({ length: 4 }, newAttempt), limitMs };
}
