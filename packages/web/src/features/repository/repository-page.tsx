/** A repository's images: what serves now, what went wrong, what was kept, every build, the settings. Stays true by the feed. */
import { type RepositoryRef, type RepositoryView } from "@open-inspect/protocol";
import { Link } from "@tanstack/react-router";
import { ArrowLeft, Lock } from "lucide-react";
import { type ReactNode, useEffect, useRef } from "react";
import { useTitle } from "../../lib/clock.ts";
import { buildsKey, imagesKey, insightsKey } from "../../lib/feed.ts";
import { useRepositories, useSessions } from "../../lib/queries.ts";
import { useServices } from "../../lib/services.tsx";
import { imageWords, isBuildFinal, isSessionEnded } from "../../lib/words.ts";
import { StatusBadge } from "../../ui/badge.tsx";
import { Card, ErrorNotice, NotThere, Page, SkeletonRows } from "../../ui/page.tsx";
import { ImageSummary } from "../images/image-summary.tsx";
import { FailingBanner } from "./failing-banner.tsx";
import { History } from "./history.tsx";
import { ImageCard } from "./image-card.tsx";
import { KeptImages } from "./kept-images.tsx";
import { PinBanner } from "./pin-banner.tsx";
import { PoolCard } from "./pool-card.tsx";
import { RepositoryActions } from "./repository-actions.tsx";
import { SettingsForm } from "./settings-form.tsx";
import { Sightings } from "./sightings.tsx";
import { Starts } from "./starts.tsx";
import { Trends } from "./trends.tsx";

export function RepositoryPage({ owner, name }: RepositoryRef) {
  useTitle(`${owner}/${name}`);
  const { data, error, refetch } = useRepositories();
  const repository = data?.repositories.find((each) => each.owner === owner && each.name === name);
  if (repository !== undefined) return <Shown repository={repository} />;
  return (
    <Page title={`${owner}/${name}`}>
      {data !== undefined ? (
        <NotThere what="repository" />
      ) : error !== null ? (
        <ErrorNotice error={error} onRetry={() => void refetch()} />
      ) : (
        <Card>
          <SkeletonRows rows={4} label="Loading the repository" />
        </Card>
      )}
    </Page>
  );
}

function Shown({ repository }: { repository: RepositoryView }) {
  const { owner, name, image } = repository;
  useListsReadAgain(repository);
  return (
    <Page
      title={
        <span className="break-words">
          <span className="font-normal text-muted">{owner}/</span>
          {name}
        </span>
      }
      lead={
        <>
          {repository.private ? <Lock aria-label="private" className="size-4 text-faint" /> : null}
          <StatusBadge status={image.status} {...imageWords[image.status]} />
        </>
      }
      subtitle={<ImageSummary image={image} hasBranch={repository.defaultBranch !== null} />}
      actions={<RepositoryActions repository={repository} />}
    >
      <div className="space-y-8">
        {image.pin === null && image.failing === null ? null : (
          <div className="space-y-3">
            {image.pin === null ? null : <PinBanner repository={repository} pin={image.pin} />}
            {image.failing === null ? null : <FailingBanner repository={repository} failing={image.failing} />}
          </div>
        )}
        <Section title="Active image">
          <ImageCard repository={repository} />
        </Section>
        <Trends repository={repository} />
        <Section title="History">
          <History repository={repository} />
          <Sightings repository={repository} />
        </Section>
        <Section title="Kept images">
          <KeptImages repository={repository} />
        </Section>
        <Section title="Sessions">
          <Starts repository={repository} />
        </Section>
        <Section title="Warm sandboxes">
          <PoolCard repository={repository} />
        </Section>
        <Section title="Settings">
          <SettingsForm repository={repository} />
        </Section>
        <Link to="/settings/images" className="inline-flex items-center gap-1.5 rounded-sm text-muted text-sm hover:text-fg">
          <ArrowLeft aria-hidden="true" className="size-4" />
          Settings &gt; Images
        </Link>
      </div>
    </Page>
  );
}

function Section({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section aria-label={title}>
      <h2 className="mb-2 font-medium text-muted text-sm">{title}</h2>
      {children}
    </section>
  );
}

/** The feed says that something changed; the lists that it does not carry are read again then. */
function useListsReadAgain({ owner, name, image }: RepositoryView): void {
  const { queryClient } = useServices();
  const { data } = useSessions({ repository: `${owner}/${name}` });
  const { active, latestBuild, lastCheck, pin, failing, settings } = image;
  const built = latestBuild === null ? "" : `${latestBuild.id} ${isBuildFinal(latestBuild) ? latestBuild.status : ""}`;
  const own = data?.pages.flatMap((page) => page.sessions);
  const running = own
    ?.filter((each) => !isSessionEnded(each.status))
    .map((each) => each.id)
    .join();
  const begun = own?.map((each) => `${each.id} ${each.startMs} ${each.status === "failed"}`).join() ?? null;
  const buildsStamp = `${built} ${lastCheck?.at} ${failing?.count} ${image.enabled}`;
  // Until the sessions are known there is nothing that they could differ from.
  const imagesStamp =
    running === undefined ? null : `${built} ${active?.id} ${pin?.at} ${image.enabled} ${settings.keptImages} ${running}`;
  useOnChange(buildsStamp, () => void queryClient.invalidateQueries({ queryKey: buildsKey({ owner, name }) }));
  useOnChange(begun, () => void queryClient.invalidateQueries({ queryKey: insightsKey({ owner, name }) }));
  useOnChange(imagesStamp, () => void queryClient.invalidateQueries({ queryKey: imagesKey({ owner, name }) }));
}

/** Calls when `stamp` is another than before, not for the first one. null is none. */
function useOnChange(stamp: string | null, onChange: () => void): void {
  const before = useRef(stamp);
  const latest = useRef(onChange);
  useEffect(() => {
    latest.current = onChange;
  });
  useEffect(() => {
    if (stamp === null || before.current === stamp) return;
    const isFirst = before.current === null;
    before.current = stamp;
    if (!isFirst) latest.current();
  }, [stamp]);
}
