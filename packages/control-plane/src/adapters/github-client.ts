/** octokit as every part here uses it: silent, without waiting of its own, each answer within a deadline. Knows no credentials and no calls. */
import { Octokit } from "octokit";

/** octokit's own waiting is switched off: retries are owed effects of the objects, with their own limits. */
export const PlainOctokit = Octokit.defaults({ throttle: { enabled: false }, retry: { enabled: false } });

export const quiet = { debug() {}, info() {}, warn() {}, error() {} };

/**
 * A fetch with a deadline for the whole answer. The timer is cleared: one that is left running, as AbortSignal.timeout leaves it,
 * keeps the Durable Object that asked from hibernating.
 */
export function fetchWithin(limitMs: number): (url: string, init: RequestInit) => Promise<Response> {
  return async (url, init) => {
    const controller = new AbortController();
    const timer = setTimeout(() => controller.abort(new Error(`GitHub did not answer within ${limitMs} ms`)), limitMs);
    try {
      const response = await fetch(url, { ...init, signal: controller.signal });
      const empty = response.status === 204 || response.status === 304;
      return new Response(empty ? null : await response.arrayBuffer(), response);
    } finally {
      clearTimeout(timer);
    }
  };
}
