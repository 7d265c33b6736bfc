/** The present as React state, and the page's title. */
import { useEffect, useState } from "react";

/** Milliseconds since the epoch, renewed every `everyMs` while it is not null. */
export function useNow(everyMs: number | null): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    if (everyMs === null) return;
    setNow(Date.now());
    const timer = setInterval(() => setNow(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}

export function useTitle(title: string): void {
  useEffect(() => {
    document.title = `${title} · Open-Inspect`;
  }, [title]);
}
