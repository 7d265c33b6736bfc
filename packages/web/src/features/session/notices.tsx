/** What somebody should know about a session before going on with it: a failure, setup that is out of date, a start that had to do with less. */
import { type SessionView } from "@open-inspect/protocol";
import { GitPullRequest, LoaderCircle, PackageX, Undo2 } from "lucide-react";
import { type ReactNode } from "react";
import { type SessionActions } from "../../lib/session-actions.ts";
import { describeStaleSetup, sourceWords } from "../../lib/session-sentences.ts";
import { Button } from "../../ui/button.tsx";
import { FailurePanel } from "../../ui/failure-panel.tsx";

interface NoticesProps {
  session: SessionView;
  actions: SessionActions;
  onShowOutput: () => void;
}

export function Notices({ session, actions, onShowOutput }: NoticesProps) {
  const { failure, staleSetup, fallbacks } = session;
  const isStale = staleSetup !== null && staleSetup.refresh !== "done";
  const progress = session.pullRequestProgress ?? null;
  const unopened = progress?.at === "failed" ? progress : null;
  const asApp = session.pullRequestBy?.reason ?? null;
  if (failure === null && !isStale && fallbacks.length === 0 && unopened === null && asApp === null) return null;
  return (
    <div className="mt-6 space-y-2">
      {isStale ? <StaleSetupNotice stale={staleSetup} actions={actions} onShowOutput={onShowOutput} /> : null}
      {fallbacks.length === 0 ? null : (
        <Notice icon={<Undo2 />} mark="fallbacks">
          {fallbacks.map(({ from, reason }) => (
            <p key={`${from}${reason}`}>
              Not started from {sourceWords[from]}: {reason}
            </p>
          ))}
        </Notice>
      )}
      {asApp === null ? null : (
        <Notice icon={<GitPullRequest />} mark="pull-request-by">
          The pull request was done as the app: {asApp}
        </Notice>
      )}
      {unopened === null ? null : (
        <div role="alert" data-note="pull-request" className="rounded-md border border-bad/25 bg-bad-soft px-3.5 py-2 text-sm">
          <p className="text-bad">The pull request: {unopened.message}</p>
          <p className="text-fg/85">{unopened.hint}</p>
        </div>
      )}
      {failure === null ? null : <FailurePanel failure={failure} open />}
    </div>
  );
}

function Notice({ icon, mark, actions, children }: { icon: ReactNode; mark: string; actions?: ReactNode; children: ReactNode }) {
  return (
    <div
      role="note"
      data-note={mark}
      className="flex flex-wrap items-start gap-x-2.5 gap-y-1.5 rounded-md border border-warn/25 bg-warn-soft px-3.5 py-2 text-sm [&>svg]:mt-0.5 [&>svg]:size-4 [&>svg]:shrink-0 [&>svg]:text-warn"
    >
      {icon}
      <div className="min-w-0 flex-1 basis-56 break-words">{children}</div>
      {actions}
    </div>
  );
}

type Stale = NonNullable<SessionView["staleSetup"]>;

function StaleSetupNotice({ stale, actions, onShowOutput }: { stale: Stale; actions: SessionActions; onShowOutput: () => void }) {
  const { refresh } = actions;
  const canRun = stale.refresh === "offered" || stale.refresh === "failed";
  return (
    <Notice
      icon={<PackageX />}
      mark="stale-setup"
      actions={
        <span className="flex gap-1.5">
          {stale.refresh === "offered" ? null : (
            <Button look="ghost" onClick={onShowOutput}>
              Output
            </Button>
          )}
          {canRun ? (
            <Button disabled={refresh.isPending} onClick={() => refresh.mutate()}>
              {refresh.isPending ? <LoaderCircle aria-hidden="true" className="animate-spin" /> : null}
              {stale.refresh === "failed" ? "Refresh again" : "Run setup"}
            </Button>
          ) : null}
        </span>
      }
    >
      <p title={stale.files.join("\n")}>{describeStaleSetup(stale)}</p>
      {refresh.isError ? (
        <p role="alert" className="text-bad">
          {refresh.error.message}
        </p>
      ) : null}
    </Notice>
  );
}
