/** A session: how it started, what was asked, what the agent did. Follows the session's own socket. */
import { type SessionEvent, type SessionView, sessionEventSchema } from "@open-inspect/protocol";
import { useMutation } from "@tanstack/react-query";
import { CircleStop, LoaderCircle } from "lucide-react";
import { useEffect, useRef, useState, useSyncExternalStore } from "react";
import { stripAnsi } from "../../lib/ansi.ts";
import { useTitle } from "../../lib/clock.ts";
import { createLogBuffer, type LogBuffer } from "../../lib/log-lines.ts";
import { sessionKey, useSession } from "../../lib/queries.ts";
import { useLiveChannel, useServices } from "../../lib/services.tsx";
import { applyDeltas, createDeltaQueue } from "../../lib/session-deltas.ts";
import { describeReceipt } from "../../lib/start-sentences.ts";
import { isSessionEnded, sessionWords } from "../../lib/words.ts";
import { Age } from "../../ui/age.tsx";
import { StatusBadge } from "../../ui/badge.tsx";
import { Button } from "../../ui/button.tsx";
import { Disclosure } from "../../ui/disclosure.tsx";
import { FailurePanel } from "../../ui/failure-panel.tsx";
import { LiveIndicator } from "../../ui/live-indicator.tsx";
import { LogView } from "../../ui/log-view.tsx";
import { Card, LoadFailure, Page, SectionTitle, SkeletonRows } from "../../ui/page.tsx";
import { Prompts } from "./prompts.tsx";
import { StartCard } from "./start-card.tsx";

export function SessionPage({ id }: { id: string }) {
  const { queryClient } = useServices();
  const [log] = useState(() => createLogBuffer());
  const [deltas] = useState(() =>
    createDeltaQueue((waiting) =>
      queryClient.setQueryData<SessionView>(sessionKey(id), (current) => current && applyDeltas(current, waiting)),
    ),
  );
  const { data: session, error, refetch } = useSession(id);

  const live = useLiveChannel<SessionEvent>(id, {
    path: session === undefined ? null : () => `/sessions/${id}/events${log.after() === null ? "" : `?after=${log.after()}`}`,
    schema: sessionEventSchema,
    isComplete: () => session !== undefined && isSessionEnded(session.status),
    onMessage(message) {
      if (message.type === "log") log.append(message.entries);
      else if (message.type === "delta") deltas.push(message);
      else if (message.type === "snapshot") {
        deltas.clear();
        queryClient.setQueryData(sessionKey(id), message.session);
      }
    },
  });

  useTitle(session?.title ?? "Session");
  useAnnouncedStatus(session);

  if (session === undefined) {
    return (
      <Page title="Session">
        {error === null ? (
          <Card>
            <SkeletonRows rows={4} label="Loading the session" />
          </Card>
        ) : (
          <LoadFailure what="session" error={error} onRetry={() => void refetch()} />
        )}
      </Page>
    );
  }

  const { owner, name } = session.repository;
  return (
    <Page
      title={session.title}
      lead={<StatusBadge status={session.status} {...sessionWords[session.status]} />}
      subtitle={
        <>
          {owner}/{name} · {session.branch} · <Age at={session.createdAt} />
        </>
      }
      actions={
        <>
          {live === "reconnecting" ? <LiveIndicator state={live} label="Updates of this session" /> : null}
          <StopButton session={session} />
        </>
      }
    >
      <div className="space-y-8">
        {session.failure === null ? null : <FailurePanel failure={session.failure} open />}
        <StartCard session={session} />
        <section>
          <SectionTitle>Conversation</SectionTitle>
          <Prompts prompts={session.prompts} />
        </section>
        <Output log={log} isStarting={session.receipt === null && !isSessionEnded(session.status)} />
      </div>
    </Page>
  );
}

/** While the session starts, the newest line shows beside the fold: what a long setup is busy with. */
function Output({ log, isStarting }: { log: LogBuffer; isStarting: boolean }) {
  const { lines, dropped } = useSyncExternalStore(log.subscribe, log.snapshot);
  const count = lines.length + dropped;
  if (count === 0) return null;
  return (
    <Disclosure
      summary={
        <>
          <span className="shrink-0">
            Output of boot and scripts ({count.toLocaleString("en")} {count === 1 ? "line" : "lines"})
          </span>
          {isStarting ? (
            <span aria-hidden="true" data-newest-line="" className="min-w-0 truncate font-mono text-faint text-xs">
              {stripAnsi(lines.at(-1)?.text ?? "")}
            </span>
          ) : null}
        </>
      }
    >
      <LogView buffer={log} label="Session output" empty="Nothing printed yet." className="mt-2" />
    </Disclosure>
  );
}

function StopButton({ session }: { session: SessionView }) {
  const { api, queryClient, announcer } = useServices();
  const stop = useMutation({
    mutationFn: () => api.stopSession(session.id),
    // The socket may have said "stopped" before this answer says "stopping": an ended session stays ended.
    onSuccess: (answer) =>
      queryClient.setQueryData<SessionView>(sessionKey(session.id), (current) =>
        current !== undefined && isSessionEnded(current.status) ? current : answer,
      ),
    onError: (error) => announcer.announce(`Stopping failed: ${error.message}`),
  });
  const over = isSessionEnded(session.status) || session.status === "stopping";
  return (
    <>
      {stop.isError && !over ? (
        <span role="alert" className="max-w-56 text-bad text-xs">
          {stop.error.message}
        </span>
      ) : null}
      <Button aria-label="Stop session" disabled={over || stop.isPending} onClick={() => stop.mutate()}>
        {stop.isPending ? <LoaderCircle aria-hidden="true" className="animate-spin" /> : <CircleStop aria-hidden="true" />}
        Stop
      </Button>
    </>
  );
}

/** Says each change of the status, but not the status that the page opened with. */
function useAnnouncedStatus(session: SessionView | undefined): void {
  const { announcer } = useServices();
  const before = useRef<string | undefined>(undefined);
  const status = session?.status;
  const receipt = session?.receipt ?? null;
  useEffect(() => {
    if (status === undefined) return;
    if (before.current !== undefined && before.current !== status) {
      const more = status === "ready" && receipt !== null ? `. ${describeReceipt(receipt).join(", ")}` : "";
      announcer.announce(`Session ${sessionWords[status].word.toLowerCase()}${more}`);
    }
    before.current = status;
  }, [status, receipt, announcer]);
}
