/** One session, followed by its own socket: the first message is all of it. Where no socket gets through, it is read by REST now and then. */
import {
  emptyReplica,
  type Person,
  type SessionEvent,
  type SessionReplica,
  type SessionSeen,
  type SessionView,
  sessionEventSchema,
  sessionSeenEvery,
} from "@open-inspect/protocol";
import { useQuery } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { ApiError } from "./api.ts";
import { type LiveState } from "./live-socket.ts";
import { createLogBuffer, type LogBuffer } from "./log-lines.ts";
import { sessionKey } from "./queries.ts";
import { useLiveChannel, useServices } from "./services.tsx";
import { createEventQueue } from "./session-events.ts";

/** A socket that says nothing for so long may be one that a proxy swallows. */
const silentMs = 2_500;
const readAgainMs = 10_000;
/** Such an answer does not change by asking again. */
const isHopeless: ReadonlySet<number> = new Set([400, 404, 410]);

const receipt = {
  every: sessionSeenEvery,
  message: (received: number) => ({ type: "seen", received }) satisfies SessionSeen,
};

export interface LiveSession {
  session: SessionView | undefined;
  /** why it cannot be shown; null while it may still come */
  error: unknown;
  retry: () => void;
  live: LiveState;
  /** everybody who watches */
  people: readonly Person[];
  log: LogBuffer;
}

export function useLiveSession(id: string): LiveSession {
  const { api, queryClient } = useServices();
  const key = sessionKey(id);
  const [log] = useState(() => createLogBuffer());
  const [people, setPeople] = useState<readonly Person[]>([]);
  /** rises with every word from the socket: an answer by REST that was asked for before it is too old */
  const heard = useRef(0);
  const [events] = useState(() =>
    createEventQueue((step) => {
      queryClient.setQueryData<SessionReplica>(sessionKey(id), (replica) => {
        const next = step(replica ?? emptyReplica);
        return next.view === null ? undefined : next;
      });
    }),
  );

  const [isGone, setIsGone] = useState(false);
  const live = useLiveChannel<SessionEvent>(id, {
    path: isGone
      ? null
      : () => {
          events.flush();
          heard.current += 1;
          const cursor = queryClient.getQueryData<SessionReplica>(key)?.cursor ?? null;
          const query = new URLSearchParams({ together: "1" });
          if (cursor !== null) query.set("since", String(cursor));
          const after = log.after();
          if (after !== null) query.set("after", String(after));
          return `/sessions/${id}/events?${query}`;
        },
    schema: sessionEventSchema,
    receipt,
    onMessage(event) {
      heard.current += 1;
      if (event.type === "log") log.append(event.entries);
      else if (event.type === "presence") setPeople(event.people);
      else events.push(event);
    },
  });

  const known = queryClient.getQueryData<SessionReplica>(key) !== undefined;
  const isSilent = useIsSilent(live === "reconnecting" || !known);
  const read = useQuery({
    queryKey: key,
    queryFn: async ({ signal }): Promise<SessionReplica> => {
      const asked = heard.current;
      const view = await api.getSession(id, signal).catch((error: unknown) => {
        if (error instanceof ApiError && isHopeless.has(error.status)) setIsGone(true);
        throw error;
      });
      const current = queryClient.getQueryData<SessionReplica>(key);
      return current !== undefined && heard.current !== asked ? current : { view, cursor: null };
    },
    // A short cut heals unseen; where nothing is shown yet the reason is wanted at once.
    enabled: !isGone && (isSilent || (live === "reconnecting" && !known)),
    staleTime: 0,
    refetchInterval: live === "reconnecting" ? readAgainMs : false,
  });

  return {
    session: read.data?.view ?? undefined,
    error: read.error,
    retry: () => void read.refetch(),
    live,
    people,
    log,
  };
}

/** True when `wanting` has lasted too long. */
function useIsSilent(wanting: boolean): boolean {
  const [isSilent, setIsSilent] = useState(false);
  useEffect(() => {
    setIsSilent(false);
    if (!wanting) return;
    const timer = setTimeout(() => setIsSilent(true), silentMs);
    return () => clearTimeout(timer);
  }, [wanting]);
  return isSilent;
}
