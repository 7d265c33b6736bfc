/** Says that builds fail one after the other: which attempt it was, since which commit, when the next one is, and why. */
import { type Failing, type RepositoryView } from "@open-inspect/protocol";
import { Link } from "@tanstack/react-router";
import { useNow } from "../../lib/clock.ts";
import { joinPages } from "../../lib/history.ts";
import { useBuilds } from "../../lib/queries.ts";
import { isBuildFinal } from "../../lib/words.ts";
import { Age, Until } from "../../ui/age.tsx";
import { CommitLink } from "../../ui/commit.tsx";
import { FailurePanel } from "../../ui/failure-panel.tsx";

const tickMs = 5_000;

export function FailingBanner({ repository, failing }: { repository: RepositoryView; failing: Failing }) {
  const { image, cloneUrl } = repository;
  const { data } = useBuilds(repository);
  // While the next attempt runs, the cause is still that of the one before.
  const failed = joinPages(data?.pages ?? [], image.latestBuild).find((build) => build.failure !== null);
  return (
    <section aria-label="Failing builds" data-failing={failing.count} className="space-y-2 text-sm">
      <p className="break-words">
        <span className="font-medium text-bad">
          {failing.count === 1 ? "The last build failed" : `Attempt ${failing.count} failed`}
        </span>
        {failing.count === 1 ? " " : "; the first failed "}
        <Age at={failing.firstAt} />
        {failing.firstSha === null ? (
          ", before its commit was known"
        ) : (
          <>
            {" at "}
            <CommitLink cloneUrl={cloneUrl} sha={failing.firstSha} />
          </>
        )}
        . <NextTry repository={repository} failing={failing} />
      </p>
      {failed?.failure ? (
        <FailurePanel failure={failed.failure}>
          <p className="mt-2">
            <Link to="/builds/$id" params={{ id: failed.id }} className="text-link">
              Log of this build
            </Link>
          </p>
        </FailurePanel>
      ) : null}
    </section>
  );
}

function NextTry({ repository: { image }, failing }: { repository: RepositoryView; failing: Failing }) {
  const isWaiting = useNow(tickMs) < failing.nextTryAt;
  if (!image.enabled) return null;
  if (image.latestBuild !== null && !isBuildFinal(image.latestBuild)) {
    return <>Attempt {failing.count + 1} is under way.</>;
  }
  const atOnce = "A new commit, changed settings or Rebuild now try at once.";
  if (!isWaiting) return <>Next try: with the next scheduled check. {atOnce}</>;
  return (
    <>
      Next try: with the first check after <Until at={failing.nextTryAt} />. {atOnce}
    </>
  );
}
