/** A repository on Settings > Images: switch, status, what it is doing, why it failed, how to reach it with git. */
import { type RepositoryView } from "@open-inspect/protocol";
import { Link } from "@tanstack/react-router";
import { ChevronDown, Lock, RefreshCw, SquarePen } from "lucide-react";
import { memo, useId, useState } from "react";
import { toApiError } from "../../lib/api.ts";
import { cn } from "../../lib/cn.ts";
import { useImageActions } from "../../lib/image-actions.ts";
import { imageWords } from "../../lib/words.ts";
import { StatusBadge } from "../../ui/badge.tsx";
import { Button } from "../../ui/button.tsx";
import { CopyButton } from "../../ui/copy-button.tsx";
import { FailurePanel } from "../../ui/failure-panel.tsx";
import { ErrorNotice } from "../../ui/page.tsx";
import { Switch } from "../../ui/switch.tsx";
import { ImageSummary } from "./image-summary.tsx";

/** Drawn anew only when its own repository changed: the feed speaks of one among hundreds. */
export const RepositoryRow = memo(function RepositoryRow({ repository }: { repository: RepositoryView }) {
  const { toggle, rebuild } = useImageActions(repository);
  const { image } = repository;
  const [open, setOpen] = useState(false);
  const detailsId = useId();
  const fullName = `${repository.owner}/${repository.name}`;
  const failure = image.status === "failed" ? (image.latestBuild?.failure ?? null) : null;
  const hasBranch = repository.defaultBranch !== null;
  // Refused for want of a branch: no longer true once there is one.
  const refused = hasBranch && toggle.error !== null && toApiError(toggle.error).code === "repository_empty";
  const error = (refused ? null : toggle.error) ?? rebuild.error;
  const asked = rebuild.data;
  const isBehind =
    asked !== undefined && asked.behind !== null && asked.behind === image.latestBuild?.id && image.status === "building";

  return (
    <li aria-label={fullName} data-repository={fullName} className="list-row px-4 py-3.5">
      <div className="flex items-center gap-1.5">
        <div className="flex min-w-0 flex-1 flex-wrap items-center gap-x-2.5 gap-y-1">
          <h2 className="flex min-w-0 items-center gap-1.5 font-medium">
            <Link
              to="/repositories/$owner/$name"
              params={{ owner: repository.owner, name: repository.name }}
              className="min-w-0 break-words rounded-sm underline-offset-2 hover:underline"
            >
              <span className="font-normal text-muted">{repository.owner}/</span>
              {repository.name}
            </Link>
            {repository.private ? <Lock aria-label="private" className="size-3.5 shrink-0 text-faint" /> : null}
          </h2>
          <StatusBadge status={image.status} {...imageWords[image.status]} />
        </div>
        <Button
          look="ghost"
          size="icon"
          aria-label={`Clone URL and more for ${fullName}`}
          title="Clone URL and more"
          aria-expanded={open}
          aria-controls={open ? detailsId : undefined}
          onClick={() => setOpen(!open)}
        >
          <ChevronDown aria-hidden="true" className={cn("transition-transform", open && "rotate-180")} />
        </Button>
        <Button
          look="ghost"
          size="icon"
          aria-label={`Rebuild now for ${fullName}`}
          title="Rebuild now"
          disabled={!image.enabled || rebuild.isPending}
          aria-busy={rebuild.isPending}
          onClick={() => rebuild.mutate()}
        >
          <RefreshCw aria-hidden="true" className={cn(rebuild.isPending && "animate-spin")} />
        </Button>
        <span className="w-1" />
        <Switch
          label={`Pre-built images for ${fullName}`}
          checked={image.enabled}
          onChange={(enabled) => toggle.mutate(enabled)}
        />
      </div>
      <div className="mt-1 space-y-2">
        {error && !hasBranch ? null : <ImageSummary image={image} hasBranch={hasBranch} />}
        {isBehind ? (
          <p role="status" className="text-muted text-sm">
            {asked.build.id === asked.behind ? (
              "A build is running already."
            ) : (
              <>
                Asked for:{" "}
                <Link to="/builds/$id" params={{ id: asked.build.id }} className="text-link">
                  another build
                </Link>{" "}
                follows this one.
              </>
            )}
          </p>
        ) : null}
        {error ? <ErrorNotice error={error} /> : null}
        {failure ? <FailurePanel failure={failure} /> : null}
        {open ? <RepositoryDetails repository={repository} id={detailsId} /> : null}
      </div>
    </li>
  );
});

const codeStyles = "font-mono text-fg text-xs";

function RepositoryDetails({ repository, id }: { repository: RepositoryView; id: string }) {
  const branch = repository.defaultBranch;
  return (
    <div id={id} className="space-y-2 pt-1 text-sm">
      <div className="flex min-w-0 items-center gap-1 rounded-md border border-line bg-sunken pl-3">
        <code className="min-w-0 flex-1 overflow-x-auto whitespace-nowrap py-1.5 font-mono text-xs">
          git clone {repository.cloneUrl}
        </code>
        <CopyButton text={repository.cloneUrl} label={`Copy clone URL of ${repository.owner}/${repository.name}`} />
      </div>
      <p className="text-muted">
        {branch === null ? (
          <>
            This repository has no branch yet. Commit in the clone, <code className={codeStyles}>git push -u origin main</code>,
            then switch images on.
          </>
        ) : (
          <>
            Commit and <code className={codeStyles}>git push origin {branch}</code>: the image is rebuilt when the branch has
            moved.
          </>
        )}{" "}
        When git asks, give your GitHub name and, as the password, a token that may write to this repository.
      </p>
      <Button asChild>
        <Link to="/sessions/new" search={{ repository: `${repository.owner}/${repository.name}` }}>
          <SquarePen aria-hidden="true" />
          New session
        </Link>
      </Button>
    </div>
  );
}
