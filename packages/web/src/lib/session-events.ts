/** Takes a session's events in order into what is known of it. Text that streams in is taken up a few times a second, however fast it comes. */
import { followSession, type SessionEvent, type SessionReplica } from "@open-inspect/protocol";

/** Each growth draws the answer anew: once per token would be quadratic in its length. */
const flushEveryMs = 60;

export interface EventQueue {
  push(event: SessionEvent): void;
  /** takes up at once what waits: before the cursor is asked for */
  flush(): void;
}

/** @param change applies a pure change to what is known */
export function createEventQueue(change: (step: (replica: SessionReplica) => SessionReplica) => void): EventQueue {
  let waiting: SessionEvent[] = [];
  let timer: ReturnType<typeof setTimeout> | undefined;

  function flush(): void {
    clearTimeout(timer);
    timer = undefined;
    if (waiting.length === 0) return;
    const events = waiting;
    waiting = [];
    change((replica) => events.reduce(followSession, replica));
  }

  return {
    push(event) {
      // A whole view holds what waits already.
      if (event.type === "snapshot") waiting = [];
      waiting.push(event);
      if (event.type === "delta") timer ??= setTimeout(flush, flushEveryMs);
      else flush();
    },
    flush,
  };
}
