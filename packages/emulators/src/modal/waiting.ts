/** Waits that end: by a deadline or by the caller's going away. Knows nothing of what is waited for. */

/** What `promise` gives, or null after `limitMs` or when `signal` aborts. */
export function within<T>(promise: Promise<T>, limitMs: number, signal: AbortSignal): Promise<T | null> {
  if (signal.aborted) return Promise.resolve(null);
  return new Promise((resolve, reject) => {
    const timer = limitMs === Number.POSITIVE_INFINITY ? null : setTimeout(giveUp, limitMs);
    signal.addEventListener("abort", giveUp, { once: true });
    promise.then(
      (value) => settle(() => resolve(value)),
      (cause) => settle(() => reject(cause)),
    );

    function giveUp(): void {
      settle(() => resolve(null));
    }
    function settle(how: () => void): void {
      if (timer) clearTimeout(timer);
      signal.removeEventListener("abort", giveUp);
      how();
    }
  });
}
