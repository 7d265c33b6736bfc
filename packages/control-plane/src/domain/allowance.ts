/** Decides how many requests GitHub may be asked for an installation, from what its answers said of the rate limit. Pure. */
import { limits } from "./deadlines.ts";

/** What the last answers said; null where none has said anything. Times in milliseconds since the epoch. */
export interface Allowance {
  remaining: number | null;
  limit: number | null;
  /** when `remaining` is `limit` again */
  resetAt: number | null;
  /** nothing is asked before this moment */
  blockedUntil: number | null;
}

export const unknownAllowance: Allowance = { remaining: null, limit: null, resetAt: null, blockedUntil: null };

/** What is left for people and builds: the tick stops before it. */
const reserveOf = (limit: number | null): number => Math.min(limits.githubReserve, Math.floor((limit ?? Infinity) / 10));

/** Requests that may be made now; `Infinity` while nothing is known. */
export function requestsLeft({ remaining, limit, resetAt, blockedUntil }: Allowance, now: number): number {
  if (blockedUntil !== null && blockedUntil > now) return 0;
  if (remaining === null || (resetAt !== null && resetAt <= now)) return Infinity;
  return Math.max(0, remaining - reserveOf(limit));
}

/** When there may be requests again; `now` while there are some. */
export function allowedAt(allowance: Allowance, now: number): number {
  const { blockedUntil, resetAt } = allowance;
  const free = blockedUntil === null ? now : Math.max(now, blockedUntil);
  return requestsLeft({ ...allowance, blockedUntil: null }, now) > 0 ? free : Math.max(free, resetAt ?? now);
}

/** Answers to requests that were made side by side may arrive in any order: within one window the smaller number is the newer one. */
export function mergeAllowances(known: Allowance, heard: Allowance): Allowance {
  const blockedUntil = Math.max(known.blockedUntil ?? 0, heard.blockedUntil ?? 0) || null;
  if (heard.remaining === null || heard.resetAt === null) return { ...known, blockedUntil };
  const sameWindow = known.resetAt !== null && heard.resetAt <= known.resetAt;
  const remaining = sameWindow && known.remaining !== null ? Math.min(known.remaining, heard.remaining) : heard.remaining;
  return { remaining, limit: heard.limit, resetAt: heard.resetAt, blockedUntil };
}

/**
 * Reads the headers of one answer.
 * @param header by lower-case name
 */
export function readAllowance(header: (name: string) => string | null, status: number, now: number): Allowance {
  const number = (name: string): number | null => {
    const text = header(name);
    return text !== null && /^\d+$/.test(text) ? Number(text) : null;
  };
  const resetSeconds = number("x-ratelimit-reset");
  const resetAt = resetSeconds === null ? null : resetSeconds * 1_000;
  const remaining = number("x-ratelimit-remaining");
  const waitSeconds = number("retry-after");
  const refused = status === 403 || status === 429;
  // A secondary limit says how long to wait, or nothing at all, which means a minute.
  const silentWait = status === 429 && remaining !== 0 ? limits.githubBlindWaitMs : null;
  const waitMs = waitSeconds === null ? silentWait : waitSeconds * 1_000;
  const primary = refused && remaining === 0 ? resetAt : null;
  return {
    remaining,
    limit: number("x-ratelimit-limit"),
    resetAt,
    blockedUntil: refused && waitMs !== null ? now + waitMs : primary,
  };
}
