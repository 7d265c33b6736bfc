/** The images that the provider still has: which one serves, what runs on each, and making another one the active one. */
import { type KeptImage, type RepositoryView } from "@open-inspect/protocol";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { useKeptImages } from "../../lib/queries.ts";
import { formatBytes, formatDuration } from "../../lib/time.ts";
import { keptWords, modeWords } from "../../lib/words.ts";
import { Age, Until } from "../../ui/age.tsx";
import { StatusBadge } from "../../ui/badge.tsx";
import { Button } from "../../ui/button.tsx";
import { CommitLink } from "../../ui/commit.tsx";
import { Facts } from "../../ui/facts.tsx";
import { Card, EmptyNote, ErrorNotice, SkeletonRows } from "../../ui/page.tsx";
import { ActivateDialog } from "./activate-dialog.tsx";

export function KeptImages({ repository }: { repository: RepositoryView }) {
  const { data, error, refetch } = useKeptImages(repository);
  const [chosen, setChosen] = useState<KeptImage | null>(null);
  if (data === undefined && error !== null) return <ErrorNotice error={error} onRetry={() => void refetch()} />;
  return (
    <Card>
      {data === undefined ? (
        <SkeletonRows rows={2} label="Loading the kept images" />
      ) : data.images.length === 0 ? (
        <EmptyNote>
          No image is kept. Good ones stay here, as many as the settings say, so that an earlier one can serve again.
        </EmptyNote>
      ) : (
        <ul aria-label="Images" className="divide-y divide-line">
          {data.images.map((image) => (
            <ImageRow key={image.id} image={image} repository={repository} onChoose={() => setChosen(image)} />
          ))}
        </ul>
      )}
      <ActivateDialog repository={repository} image={chosen} onClose={() => setChosen(null)} />
    </Card>
  );
}

interface ImageRowProps {
  image: KeptImage;
  repository: RepositoryView;
  onChoose: () => void;
}

function ImageRow({ image, repository, onChoose }: ImageRowProps) {
  const { pin, enabled } = repository.image;
  const isPinned = pin?.imageId === image.id;
  return (
    <li data-image={image.id} className="flex flex-wrap items-center gap-x-4 gap-y-2 px-4 py-3 text-sm">
      <div className="min-w-0 flex-1 basis-64">
        <p className="flex flex-wrap items-center gap-x-2.5 gap-y-1">
          <CommitLink cloneUrl={repository.cloneUrl} sha={image.sha} />
          <StatusBadge status={image.state} {...keptWords[image.state]} />
          {isPinned ? <StatusBadge status="pinned" word="Pinned" tone="accent" /> : null}
          <Sessions running={image.runningSessions} />
        </p>
        <div className="mt-0.5 text-muted">
          <Facts
            facts={[
              <Link key="build" to="/builds/$id" params={{ id: image.buildId }} className="text-link">
                built <Age at={image.createdAt} />
              </Link>,
              `in ${formatDuration(image.buildMs)}`,
              image.sizeBytes === null ? null : formatBytes(image.sizeBytes),
              modeWords[image.mode].toLowerCase(),
              image.state === "retired" ? null : (
                <span key="expires">
                  expires <Until at={image.expiresAt} />
                </span>
              ),
            ]}
          />
        </div>
        {image.retiredCause === null ? null : <p className="break-words text-muted">{image.retiredCause}</p>}
      </div>
      {enabled && !isPinned && image.state !== "retired" ? (
        <Button onClick={onChoose}>{image.state === "active" ? "Pin…" : "Make active…"}</Button>
      ) : null}
    </li>
  );
}

/** An image is not deleted before the sessions that came from it have ended. */
function Sessions({ running }: { running: number }) {
  if (running === 0) return null;
  return (
    <span className="text-muted">
      {running.toLocaleString("en")} running {running === 1 ? "session" : "sessions"}
    </span>
  );
}
