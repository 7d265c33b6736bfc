/** The present as React state, and the page's title. */
import { useEffect, useState } from "react";

/** The clocks that go now, by their period: all who look at one see the same moment and are drawn together. */
const clocks = new Map<number, { listeners: Set<(now: number) => void>; stop: () => void }>();

/** @returns ends it; the clock stops when nobody looks at it */
function watchClock(everyMs: number, listener: (now: number) => void): () => void {
  const clock = clocks.get(everyMs) ?? startClock(everyMs);
  clock.listeners.add(listener);
  return () => {
    clock.listeners.delete(listener);
    if (clock.listeners.size > 0) return;
    clock.stop();
    clocks.delete(everyMs);
  };
}

function startClock(everyMs: number) {
  const listeners = new Set<(now: number) => void>();
  const timer = setInterval(() => {
    const now = Date.now();
    for (const listener of listeners) listener(now);
  }, everyMs);
  const clock = { listeners, stop: () => clearInterval(timer) };
  clocks.set(everyMs, clock);
  return clock;
}

/** Milliseconds since the epoch, renewed every `everyMs` while it is not null. */
export function useNow(everyMs: number | null): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    if (everyMs === null) return;
    setNow(Date.now());
    return watchClock(everyMs, setNow);
  }, [everyMs]);
  return now;
}

export function useTitle(title: string): void {
  useEffect(() => {
    document.title = `${title} · Open-Inspect`;
  }, [title]);
}
