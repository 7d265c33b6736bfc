/** One line of JSON per event. Knows nothing of what happens; whoever logs decides what is safe to print. */

type LogFields = Record<string, string | number | boolean | null>;
export interface Log {
  info(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
}

/** @param write takes one line without its end */
export function createLog(write: (line: string) => void, now: () => number = Date.now): Log {
  const line =
    (level: "info" | "warn") =>
    (event: string, fields: LogFields = {}) =>
      write(JSON.stringify({ at: new Date(now()).toISOString(), level, event, ...fields }));
  return { info: line("info"), warn: line("warn") };
}
