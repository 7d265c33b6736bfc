/** Durations and ages in words. Pure: the present is passed in. */

const secondMs = 1000;
const minuteMs = 60 * secondMs;
const hourMs = 60 * minuteMs;
const dayMs = 24 * hourMs;

/** `87 ms`, `1.6 s`, `41 s`, `2 min 5 s`, `1 h 3 min`. Whole seconds from ten on, save with `exact`. */
export function formatDuration(ms: number, exact = false): string {
  const value = Math.max(0, ms);
  if (value < secondMs) return `${Math.round(value)} ms`;
  if (value < 10 * secondMs || (exact && value < minuteMs)) return `${(value / secondMs).toFixed(1)} s`;
  if (value < minuteMs) return `${Math.round(value / secondMs)} s`;
  if (value < hourMs) {
    const seconds = Math.floor((value % minuteMs) / secondMs);
    return `${Math.floor(value / minuteMs)} min${seconds > 0 ? ` ${seconds} s` : ""}`;
  }
  const minutes = Math.floor((value % hourMs) / minuteMs);
  return `${Math.floor(value / hourMs)} h${minutes > 0 ? ` ${minutes} min` : ""}`;
}

/** A running clock: whole seconds, so that it does not flicker. `0 s`, `41 s`, `2 min 5 s`. */
export function formatElapsed(ms: number): string {
  const value = Math.max(0, ms);
  return value < minuteMs ? `${Math.floor(value / secondMs)} s` : formatDuration(Math.floor(value / secondMs) * secondMs);
}

/** `just now`, `12 s ago`, `3 min ago`, `2 h ago`, `5 d ago`. A time ahead of the clock counts as now. */
export function formatAge(at: number, now: number): string {
  const age = Math.max(0, now - at);
  if (age < 5 * secondMs) return "just now";
  if (age < minuteMs) return `${Math.floor(age / secondMs)} s ago`;
  if (age < hourMs) return `${Math.floor(age / minuteMs)} min ago`;
  if (age < dayMs) return `${Math.floor(age / hourMs)} h ago`;
  return `${Math.floor(age / dayMs)} d ago`;
}

/** The moment in full, for a tooltip. */
export function formatMoment(at: number): string {
  return new Date(at).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
}

/** `14:03:07.412`: the time of a log line. */
export function formatClock(at: number): string {
  const date = new Date(at);
  const two = (value: number) => String(value).padStart(2, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

export const shortSha = (sha: string): string => sha.slice(0, 7);
