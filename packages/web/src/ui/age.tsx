/** "3 min ago", kept true while it is looked at; the full moment on hover. */
import { useNow } from "../lib/clock.ts";
import { formatAge, formatElapsed, formatMoment, formatUntil } from "../lib/time.ts";

const ageTickMs = 5_000;

export function Age({ at }: { at: number }) {
  const now = useNow(ageTickMs);
  return (
    <time dateTime={new Date(at).toISOString()} title={formatMoment(at)} className="whitespace-nowrap">
      {formatAge(at, now)}
    </time>
  );
}

/** "21 Nov 2026, 04:10 (in 12 min)": a moment that people wait for, relative and in full. */
export function Until({ at }: { at: number }) {
  const now = useNow(ageTickMs);
  return (
    <time dateTime={new Date(at).toISOString()}>
      {formatMoment(at)} <span className="whitespace-nowrap">({formatUntil(at, now)})</span>
    </time>
  );
}

/** Time since `from`, ticking by the second. Hidden from screen readers: it would never be silent. */
export function Elapsed({ from }: { from: number }) {
  const now = useNow(1_000);
  return (
    <span aria-hidden="true" className="whitespace-nowrap">
      {formatElapsed(now - from)}
    </span>
  );
}
