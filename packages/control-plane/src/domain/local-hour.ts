/** The hour of the day in a time zone. It is told the time. */

export interface LocalHour {
  /** 0–23 */
  hour: number;
  /** when the next one begins; milliseconds since the epoch */
  endsAt: number;
}

const hourMs = 3_600_000;

export function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
    return true;
  } catch {
    return false;
  }
}

/** @param timeZone a name of the IANA's list; one that is unknown counts as UTC */
export function localHour(now: number, timeZone: string): LocalHour {
  const parts = new Intl.DateTimeFormat("en", {
    timeZone: isTimeZone(timeZone) ? timeZone : "UTC",
    hourCycle: "h23",
    hour: "numeric",
    minute: "numeric",
    second: "numeric",
  }).formatToParts(now);
  const part = (type: Intl.DateTimeFormatPartTypes): number => Number(parts.find((one) => one.type === type)?.value ?? 0);
  // Zones are whole seconds away from UTC, so that milliseconds are the same everywhere.
  const passedMs = part("minute") * 60_000 + part("second") * 1_000 + (now % 1_000);
  return { hour: part("hour"), endsAt: now - passedMs + hourMs };
}
