/** Durations, ages and sizes in words. Pure: the present is passed in. */

const secondMs = 1000;
const minuteMs = 60 * secondMs;
const hourMs = 60 * minuteMs;
const dayMs = 24 * hourMs;

/** `87 ms`, `1.6 s`, `41 s`, `2 min 5 s`, `1 h 3 min`. Whole seconds from ten on, save with `exact`. */
export function formatDuration(ms: number, exact = false): string {
  const value = Math.max(0, ms);
  // Rounded before it is sorted by size: 59.8 s is "1 min", never "60 s".
  if (Math.round(value) < secondMs) return `${Math.round(value)} ms`;
  const tenths = Math.round(value / 100) / 10;
  if (tenths < (exact ? 60 : 10)) return `${tenths.toFixed(1)} s`;
  const seconds = Math.round(value / secondMs);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min${seconds % 60 > 0 ? ` ${seconds % 60} s` : ""}`;
  return `${Math.floor(minutes / 60)} h${minutes % 60 > 0 ? ` ${minutes % 60} min` : ""}`;
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

/** `in 12 s`, `in 3 min`, `in 2 h`, `in 5 d`; what is past is `now`. */
export function formatUntil(at: number, now: number): string {
  const left = at - now;
  if (left <= 0) return "now";
  // Rounded before it is sorted by size: 59.8 min is "in 1 h", never "in 60 min".
  const seconds = Math.ceil(left / secondMs);
  if (seconds < 60) return `in ${seconds} s`;
  const minutes = Math.round(left / minuteMs);
  if (minutes < 60) return `in ${minutes} min`;
  const hours = Math.round(left / hourMs);
  return hours < 48 ? `in ${hours} h` : `in ${Math.round(left / dayMs)} d`;
}

const byteUnits = ["kB", "MB", "GB", "TB"] as const;

/** `812 B`, `4.2 kB`, `380 MB`, `1.2 GB`: by thousands, as disks are counted. */
export function formatBytes(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  let value = bytes / 1000;
  let unit = 0;
  while (value >= 999.5 && unit < byteUnits.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value < 9.95 ? value.toFixed(1) : Math.round(value)} ${byteUnits[unit]}`;
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
