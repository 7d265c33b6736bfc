/** A bounded number of things at once, with a bounded queue and a bounded wait. Knows nothing of what is run. */

interface Slots {
  /** Resolves with a release function (safe to call twice), or null when the queue is full or the wait is over. */
  take(): Promise<(() => void) | null>;
}

export function createSlots(options: { max: number; queueMax: number; waitMs: number }): Slots {
  let running = 0;
  const waiting: (() => void)[] = [];
  const occupy = () => {
    running++;
    let released = false;
    return () => {
      if (released) return;
      released = true;
      running--;
      waiting.shift()?.();
    };
  };
  return {
    take() {
      if (running < options.max) return Promise.resolve(occupy());
      if (waiting.length >= options.queueMax) return Promise.resolve(null);
      return new Promise((resolve) => {
        const wake = () => {
          clearTimeout(timer);
          resolve(occupy());
        };
        const timer = setTimeout(() => {
          waiting.splice(waiting.indexOf(wake), 1);
          resolve(null);
        }, options.waitMs);
        waiting.push(wake);
      });
    },
  };
}
