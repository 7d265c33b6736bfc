/**
 * An end for every wait on the provider: the SDK itself waits for ever. Knows which calls there are and how long each may
 * take; nothing of what they mean.
 */
import { type ModalClient } from "modal";

/** How long the gateway waits. The caller's own limits (`client.ts`) are a little above the sums. */
export const gatewayDeadlinesMs = {
  /** one unary call to Modal's control plane, its retries included */
  unary: 25_000,
  /** one server stream: the SDK asks for streams of 55 s and opens the next */
  stream: 90_000,
  /** for a base image that is still being built; then the caller is told to come again */
  baseImage: 20_000,
  create: 50_000,
  /** an exec that only runs a few lines of shell */
  exec: 30_000,
  list: 40_000,
  /** the no-op and `sync` before a snapshot; dirty pages may be many */
  sync: 120_000,
  /** the note of a snapshot: the answer waits for it */
  note: 10_000,
  /** how long one request for a snapshot is held open before the caller is asked to join again */
  snapshotHold: 80_000,
  /** for requests in flight when the gateway is told to stop */
  drain: 5_000,
} as const;
export type GatewayDeadlines = Record<keyof typeof gatewayDeadlinesMs, number>;

/** A wait that came to its end. Named like the platform's own, so that one rule covers both. */
export class DeadlineError extends Error {
  constructor(what: string, limitMs: number) {
    super(`${what} took longer than ${limitMs} ms`);
    this.name = "TimeoutError";
  }
}

/** Waits no longer than `limitMs`. The work itself may go on: only the waiting ends. */
export async function withDeadline<T>(what: string, limitMs: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new DeadlineError(what, limitMs)), limitMs);
  });
  try {
    return await Promise.race([work, limit]);
  } finally {
    clearTimeout(timer);
    work.catch(() => {}); // its late failure has no reader any more
  }
}

type ModalParams = NonNullable<ConstructorParameters<typeof ModalClient>[0]>;
type Middleware = NonNullable<ModalParams["grpcMiddleware"]>[number];

/** Ends calls to Modal's control plane. Calls to a sandbox's router do not pass here: `withDeadline` covers those. */
export function deadlineMiddleware(deadlinesMs: GatewayDeadlines): Middleware {
  return async function* deadline(call, options) {
    const limit = AbortSignal.timeout(call.responseStream ? deadlinesMs.stream : deadlinesMs.unary);
    const signal = options.signal === undefined ? limit : AbortSignal.any([limit, options.signal]);
    return yield* call.next(call.request, { ...options, signal });
  };
}
