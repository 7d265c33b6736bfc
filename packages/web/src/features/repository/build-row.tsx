/** A build in the history: what began it, which commits, how it was built, how long each phase took, how it ended. */
import { type BuildView, type CommitInfo, type RepositoryView } from "@open-inspect/protocol";
import { Link } from "@tanstack/react-router";
import { CircleStop } from "lucide-react";
import { toApiError } from "../../lib/api.ts";
import { useImageActions } from "../../lib/image-actions.ts";
import { personAddress } from "../../lib/repository-links.ts";
import { formatBytes, formatDuration } from "../../lib/time.ts";
import { buildWords, describeActivity, isBuildFinal, modeReasonNotes, modeWords, triggerWords } from "../../lib/words.ts";
import { Age, Elapsed } from "../../ui/age.tsx";
import { StatusBadge } from "../../ui/badge.tsx";
import { Button } from "../../ui/button.tsx";
import { CommitLink } from "../../ui/commit.tsx";
import { Facts } from "../../ui/facts.tsx";
import { PhaseBar } from "./phase-bar.tsx";

interface BuildRowProps {
  build: BuildView;
  repository: RepositoryView;
  longestMs: number;
}

export function BuildRow({ build, repository, longestMs }: BuildRowProps) {
  const { cancel } = useImageActions(repository);
  const isFinal = isBuildFinal(build);
  return (
    // The heading's link covers the row; what else can be clicked lies above it.
    <li data-build={build.id} className="relative px-4 py-3 text-sm focus-within:bg-hover/60 hover:bg-hover/60">
      <div className="flex flex-wrap items-center gap-x-2.5 gap-y-1">
        <StatusBadge status={build.status} {...buildWords[build.status]} />
        <Link
          to="/builds/$id"
          params={{ id: build.id }}
          className="rounded-sm font-medium after:absolute after:inset-0"
          aria-label={`Build, ${describeTrigger(build)}, ${buildWords[build.status].word}`}
        >
          {describeTrigger(build)}
        </Link>
        {build.sha === null ? null : (
          <CommitLink cloneUrl={repository.cloneUrl} sha={build.sha} fromSha={build.fromSha} className="relative z-10" />
        )}
        {build.tryNumber > 1 ? <span className="text-muted">try {build.tryNumber}</span> : null}
        <span className="ml-auto text-faint">
          <Age at={build.requestedAt} />
        </span>
      </div>
      <div className="mt-1 text-muted">
        <Facts
          facts={[
            build.commit ? <Written key="commit" commit={build.commit} cloneUrl={repository.cloneUrl} /> : null,
            isFinal ? null : (
              <span key="activity" className="text-warn">
                {describeActivity(build)} <Elapsed from={build.startedAt ?? build.requestedAt} />
              </span>
            ),
            build.durationMs === null ? null : formatDuration(build.durationMs),
            build.sizeBytes === null ? null : formatBytes(build.sizeBytes),
            build.mode === null ? null : describeMode(build),
          ]}
        />
      </div>
      {build.failure === null ? null : (
        <p title={build.failure.message} className="mt-0.5 truncate text-bad">
          {build.failure.message}
        </p>
      )}
      {isFinal ? (
        <div className="mt-1.5 max-w-xl">
          <PhaseBar phases={build.phases} longestMs={longestMs} />
        </div>
      ) : null}
      {isFinal ? null : (
        <div className="relative z-10 mt-2 flex flex-wrap items-center gap-3">
          <Button
            disabled={cancel.isPending}
            onClick={() => cancel.mutate(build.id)}
            aria-label={`Cancel this build, ${describeTrigger(build)}`}
          >
            <CircleStop aria-hidden="true" />
            Cancel
          </Button>
          {cancel.error ? (
            <span role="alert" className="text-bad">
              {toApiError(cancel.error).message}
            </span>
          ) : null}
        </div>
      )}
    </li>
  );
}

/** The first line of the commit, and who wrote it. */
function Written({ commit: { author, login, headline }, cloneUrl }: { commit: CommitInfo; cloneUrl: string }) {
  const address = login === null ? null : personAddress(cloneUrl, login);
  return (
    <>
      <span className="text-fg">{headline}</span> by{" "}
      {address === null ? (
        author
      ) : (
        <a href={address} target="_blank" rel="noreferrer" title={`${login} on GitHub`} className="relative z-10 text-link">
          {author}
        </a>
      )}
    </>
  );
}

function describeTrigger(build: BuildView): string {
  return build.requestedBy === null ? triggerWords[build.trigger] : `${triggerWords[build.trigger]} by ${build.requestedBy}`;
}

function describeMode({ mode, modeReason }: BuildView): string | null {
  if (mode === null) return null;
  return modeReason === null
    ? modeWords[mode].toLowerCase()
    : `${modeWords[mode].toLowerCase()} (${modeReasonNotes[modeReason]})`;
}
