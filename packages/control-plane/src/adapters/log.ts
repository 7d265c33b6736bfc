/** Structured log lines on the console, one JSON object each. Redacts what looks like a credential; knows no requests. */
import { type Log } from "../domain/ports.ts";

const secretField = /token|secret|password|authorization|private_?key|api_?key|cookie/i;
const secretText = [
  /\b(?:gh[a-z]_|github_pat_|sk-)[A-Za-z0-9_-]{8,}/g,
  /\b[a-z]{3}_[a-z0-9]{26}\.[0-9a-f]{32}\.[0-9a-f]{64}\b/g,
  /(?<=:\/\/[^/\s:@]*:)[^@/\s]+(?=@)/g,
  /\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+/g,
];

export function redact(text: string): string {
  return secretText.reduce((left, pattern) => left.replace(pattern, "[redacted]"), text);
}

function describe(value: unknown): unknown {
  if (value instanceof Error) return redact(value.stack ?? value.message);
  return typeof value === "string" ? redact(value) : value;
}

/** @param context fields of every line, like the object's name */
export function createLog(context: Record<string, unknown> = {}): Log {
  const write = (level: "info" | "warn" | "error", event: string, fields: Record<string, unknown> = {}) => {
    const line: Record<string, unknown> = { level, event, ...context };
    for (const [name, value] of Object.entries(fields)) line[name] = secretField.test(name) ? "[redacted]" : describe(value);
    console[level === "info" ? "log" : level](JSON.stringify(line));
  };
  return {
    info: (event, fields) => write("info", event, fields),
    warn: (event, fields) => write("warn", event, fields),
    error: (event, fields) => write("error", event, fields),
  };
}
