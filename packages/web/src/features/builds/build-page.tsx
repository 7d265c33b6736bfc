/** A build: what began it, its phases, why it failed or was not done, and its log as it is written. Follows the build's own socket. */
import { type BuildEvent, type BuildView, buildEventSchema } from "@open-inspect/protocol";
import { useMutation } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { ArrowLeft, CircleStop, Download } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import { toApiError } from "../../lib/api.ts";
import { useTitle } from "../../lib/clock.ts";
import { createLogBuffer } from "../../lib/log-lines.ts";
import { buildKey, useBuild, useRepositories } from "../../lib/queries.ts";
import { useLiveChannel, useServices } from "../../lib/services.tsx";
import { formatBytes, formatDuration } from "../../lib/time.ts";
import {
  buildWords,
  describeActivity,
  isBuildFinal,
  modeReasonWords,
  modeWords,
  skipWords,
  triggerWords,
} from "../../lib/words.ts";
import { Age, Elapsed } from "../../ui/age.tsx";
import { StatusBadge } from "../../ui/badge.tsx";
import { Button } from "../../ui/button.tsx";
import { CommitLink } from "../../ui/commit.tsx";
import { Facts } from "../../ui/facts.tsx";
import { FailurePanel } from "../../ui/failure-panel.tsx";
import { LiveIndicator } from "../../ui/live-indicator.tsx";
import { LogView } from "../../ui/log-view.tsx";
import { Card, LoadFailure, Page, SectionTitle, SkeletonRows } from "../../ui/page.tsx";
import { PhaseTimeline } from "../../ui/phase-timeline.tsx";

export function BuildPage({ id }: { id: string }) {
  const { api, queryClient, announcer } = useServices();
  const [log] = useState(() => createLogBuffer());
  const { data: build, error, refetch } = useBuild(id);
  const views = useRef(0);

  const live = useLiveChannel<BuildEvent>(id, {
    path: build === undefined ? null : () => `/builds/${id}/events${log.after() === null ? "" : `?after=${log.after()}`}`,
    schema: buildEventSchema,
    // A finished build whose log has not come yet is worth one more connection.
    isComplete: () => build !== undefined && isBuildFinal(build) && (log.after() !== null || views.current > 1),
    onMessage(message) {
      if (message.type === "log") log.append(message.entries);
      else {
        views.current += 1;
        queryClient.setQueryData(buildKey(id), message.build);
      }
    },
  });

  const status = build?.status;
  const before = useRef(status);
  useEffect(() => {
    if (status === undefined) return;
    if (before.current !== undefined && before.current !== status) announcer.announce(`Build: ${buildWords[status].word}`);
    before.current = status;
  }, [status, announcer]);

  const repository = build === undefined ? null : `${build.repository.owner}/${build.repository.name}`;
  useTitle(repository === null ? "Build" : `Build of ${repository}`);

  if (build === undefined) {
    return (
      <Page title="Build">
        {error === null ? (
          <Card>
            <SkeletonRows rows={4} label="Loading the build" />
          </Card>
        ) : (
          <LoadFailure what="build" error={error} onRetry={() => void refetch()} />
        )}
      </Page>
    );
  }

  return (
    <Page
      title={`Build of ${repository}`}
      lead={<StatusBadge status={build.status} {...buildWords[build.status]} />}
      subtitle={<BuildFacts build={build} />}
      actions={
        <>
          {live === "reconnecting" ? <LiveIndicator state={live} label="Updates of this build" /> : null}
          <CancelButton build={build} />
        </>
      }
    >
      <div className="space-y-8">
        {build.failure === null ? null : <FailurePanel failure={build.failure} open />}
        {build.skipped === null ? null : (
          <p className="text-sm">
            Nothing was built: {skipWords[build.skipped.reason].toLowerCase()}
            {build.skipped.count > 1 ? `, ${build.skipped.count.toLocaleString("en")} times in a row` : ""}.
          </p>
        )}
        <Card aria-label="Phases">
          <div className="px-4 py-2.5">
            {build.phases.length === 0 ? (
              <p className="py-1.5 text-muted text-sm">
                {isBuildFinal(build) ? "No phase had begun." : <Waiting build={build} />}
              </p>
            ) : (
              <PhaseTimeline phases={build.phases} from={build.startedAt ?? build.requestedAt} told={build.failure?.message} />
            )}
          </div>
        </Card>
        <section>
          <SectionTitle>Log</SectionTitle>
          <LogView
            buffer={log}
            label="Build log"
            empty={isBuildFinal(build) ? "This build printed nothing." : "Nothing printed yet."}
            follow={!isBuildFinal(build)}
            phases={build.phases}
            actions={
              <Button asChild look="ghost" size="icon">
                <a href={api.buildLogAddress(id)} download aria-label="Download the log" title="Download the log">
                  <Download aria-hidden="true" />
                </a>
              </Button>
            }
          />
        </section>
        <Link
          to="/repositories/$owner/$name"
          params={build.repository}
          className="inline-flex items-center gap-1.5 rounded-sm text-muted text-sm hover:text-fg"
        >
          <ArrowLeft aria-hidden="true" className="size-4" />
          All builds of {repository}
        </Link>
      </div>
    </Page>
  );
}

/** One build of a repository runs at a time: a waiting one names the one that it waits for. */
function Waiting({ build }: { build: BuildView }) {
  const { owner, name } = build.repository;
  const { data } = useRepositories();
  const ahead = data?.repositories.find((each) => each.owner === owner && each.name === name)?.image.latestBuild;
  if (ahead == null || ahead.id === build.id || isBuildFinal(ahead)) return "No phase has begun yet.";
  return (
    <>
      Begins by itself after{" "}
      <Link to="/builds/$id" params={{ id: ahead.id }} className="text-link">
        the build that runs now
      </Link>
      : a repository builds one image at a time.
    </>
  );
}

function CancelButton({ build }: { build: BuildView }) {
  const { api, queryClient } = useServices();
  const cancel = useMutation({
    mutationFn: () => api.cancelBuild(build.id),
    onSuccess: (answer) =>
      queryClient.setQueryData<BuildView>(buildKey(build.id), (shown) =>
        shown !== undefined && isBuildFinal(shown) ? shown : answer.build,
      ),
  });
  if (isBuildFinal(build)) return null;
  return (
    <>
      {cancel.error ? (
        <span role="alert" className="max-w-56 text-bad text-xs">
          {toApiError(cancel.error).message}
        </span>
      ) : null}
      <Button disabled={cancel.isPending} aria-busy={cancel.isPending} onClick={() => cancel.mutate()}>
        <CircleStop aria-hidden="true" />
        Cancel build
      </Button>
    </>
  );
}

function BuildFacts({ build }: { build: BuildView }) {
  const { owner, name } = build.repository;
  const { data } = useRepositories();
  const cloneUrl = data?.repositories.find((each) => each.owner === owner && each.name === name)?.cloneUrl ?? "";
  return (
    <Facts
      facts={[
        build.requestedBy === null ? triggerWords[build.trigger] : `${triggerWords[build.trigger]} by ${build.requestedBy}`,
        build.branch,
        build.sha === null ? null : <CommitLink key="commit" cloneUrl={cloneUrl} sha={build.sha} fromSha={build.fromSha} />,
        <Age key="age" at={build.requestedAt} />,
        build.tryNumber > 1 ? `try ${build.tryNumber}` : null,
        build.durationMs === null ? null : `took ${formatDuration(build.durationMs)}`,
        build.sizeBytes === null ? null : formatBytes(build.sizeBytes),
        build.mode === null || build.modeReason === null
          ? null
          : `${modeWords[build.mode].toLowerCase()}, because ${modeReasonWords[build.modeReason]}`,
        isBuildFinal(build) ? null : (
          <span key="activity" className="text-warn">
            {describeActivity(build)} · <Elapsed from={build.startedAt ?? build.requestedAt} />
          </span>
        ),
      ]}
    />
  );
}
