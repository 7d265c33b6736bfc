/** One line that says how a repository's image stands: commit, age, build time, phase, last check. */
import { type ImageState } from "@open-inspect/protocol";
import { Link } from "@tanstack/react-router";
import { Fragment, type ReactNode } from "react";
import { formatDuration } from "../../lib/time.ts";
import { checkWords, describeActivity, isBuildFinal } from "../../lib/words.ts";
import { Age, Elapsed } from "../../ui/age.tsx";
import { Commit } from "../../ui/commit.tsx";
import { Facts } from "../../ui/facts.tsx";

export function ImageSummary({ image, hasBranch }: { image: ImageState; hasBranch: boolean }) {
  const { active, latestBuild, lastCheck, pin, failing } = image;
  const facts: ReactNode[] = [];
  const add = (key: string, content: ReactNode) => facts.push(<Fragment key={key}>{content}</Fragment>);

  if (image.status === "building" && latestBuild !== null && !isBuildFinal(latestBuild)) {
    add(
      "activity",
      <span data-phase={latestBuild.phase ?? latestBuild.status} className="text-warn">
        {describeActivity(latestBuild)}
      </span>,
    );
    add("elapsed", <Elapsed from={latestBuild.startedAt ?? latestBuild.requestedAt} />);
  }
  if (image.status === "failed" && latestBuild !== null) {
    add(
      "failed",
      <>
        {latestBuild.sha === null ? null : (
          <>
            <Commit sha={latestBuild.sha} />{" "}
          </>
        )}
        failed <Age at={latestBuild.finishedAt ?? latestBuild.requestedAt} />
        {latestBuild.durationMs === null ? null : ` after ${formatDuration(latestBuild.durationMs)}`}
      </>,
    );
  }
  if (image.status === "ready" && active !== null) {
    add("commit", <Commit sha={active.sha} />);
    add("age", <Age at={active.createdAt} />);
    add("build", <>built in {formatDuration(active.buildMs)}</>);
  } else if (active !== null && image.enabled) {
    add(
      "serving",
      <>
        Sessions keep starting from <Commit sha={active.sha} />
      </>,
    );
  }
  if (pin !== null && image.enabled) add("pin", <span title={pin.reason}>pinned by {pin.by}</span>);
  if (failing !== null && failing.count > 1) add("failing", <>{failing.count} attempts failed in a row</>);
  if (image.status === "none") add("none", <>Switched on; no build has completed yet</>);
  if (image.status === "disabled") {
    add("disabled", hasBranch ? <>Sessions clone and set up from nothing</> : <>No branch yet: push a first commit</>);
  }
  if (lastCheck !== null && image.enabled) {
    add(
      "check",
      <>
        checked <Age at={lastCheck.at} />: {checkWords[lastCheck.outcome]}
      </>,
    );
  }
  if (latestBuild !== null) {
    add(
      "log",
      <Link to="/builds/$id" params={{ id: latestBuild.id }} className="text-link">
        {isBuildFinal(latestBuild) ? "Log of the last build" : "Live log"}
      </Link>,
    );
  }

  return (
    <p className="text-muted text-sm">
      <Facts facts={facts} />
    </p>
  );
}
