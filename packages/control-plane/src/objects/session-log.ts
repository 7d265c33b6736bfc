/** A session's log: what its sandbox and we print, stored within its bounds and told to browsers that watch. */
import { type SessionEvent } from "@open-inspect/protocol";
import { type SessionChannel } from "../adapters/session-channel.ts";
import { createLogStore, type LogStore } from "../adapters/sqlite/log-store.ts";
import { limits } from "../domain/deadlines.ts";

/** the log of a session has one owner */
const owner = "session";
const pageBytes = 512 * 1024;

export interface SessionLog {
  print(entry: Parameters<LogStore["append"]>[1]): void;
  lastLines(): string[];
  /** The log after entry `after`, as the events that a browser is told. */
  since(after: number): Generator<string>;
}

export function createSessionLog(sql: SqlStorage, channel: Pick<SessionChannel, "isWatched" | "say">): SessionLog {
  const logs = createLogStore(sql, { headBytes: limits.logHeadBytes, tailBytes: limits.logTailBytes });
  return {
    print(entry) {
      const stored = logs.append(owner, entry);
      if (channel.isWatched()) channel.say(JSON.stringify({ type: "log", entries: [stored] } satisfies SessionEvent));
    },
    lastLines: () => logs.lastLines(owner),
    *since(after) {
      for (let cursor = after; ; ) {
        const { entries, next, end } = logs.read(owner, cursor, pageBytes);
        if (entries.length > 0) yield JSON.stringify({ type: "log", entries } satisfies SessionEvent);
        if (end) return;
        cursor = next;
      }
    },
  };
}
