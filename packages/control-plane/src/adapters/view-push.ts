/** Paces what is pushed whole to browsers: at once, or soon and then once for many changes. Knows neither the view nor who watches. */

export interface ViewPush {
  /** Pushes at once, what was owed included. */
  now(): void;
  /** Owes a push: at once after a quiet while, else when `restMs` have passed since the last one. Many calls are one push. */
  soon(): void;
  /** what is pushed next holds everything that changed until then */
  isOwed(): boolean;
}

/**
 * @param push reads the state when it is called, so the last state is what arrives. The owner pushes once when it is made: what is
 * owed is in memory only.
 */
export function createViewPush(push: () => void, restMs: number): ViewPush {
  let isResting = false;
  let isOwed = false;

  function now(): void {
    isOwed = false;
    push();
    if (isResting) return;
    isResting = true;
    setTimeout(() => {
      isResting = false;
      if (isOwed) now();
    }, restMs);
  }

  return {
    now,
    soon() {
      if (isResting) isOwed = true;
      else now();
    },
    isOwed: () => isOwed,
  };
}
