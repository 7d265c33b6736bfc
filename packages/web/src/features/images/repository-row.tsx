/** A repository on Settings > Images: switch, status, what it is doing, why it failed, how to reach it with git. */
import { type RepositoryView } from "@open-inspect/protocol";
import { Link } from "@tanstack/react-router";
import { Lock, RefreshCw, SquarePen } from "lucide-react";
import { cn } from "../../lib/cn.ts";
import { imageWords } from "../../lib/words.ts";
import { StatusBadge } from "../../ui/badge.tsx";
import { Button } from "../../ui/button.tsx";
import { CopyButton } from "../../ui/copy-button.tsx";
import { Disclosure } from "../../ui/disclosure.tsx";
import { FailurePanel } from "../../ui/failure-panel.tsx";
import { ErrorNotice } from "../../ui/page.tsx";
import { Switch } from "../../ui/switch.tsx";
import { ImageSummary } from "./image-summary.tsx";
import { useImageActions } from "./use-image-actions.ts";

export function RepositoryRow({ repository }: { repository: RepositoryView }) {
  const { toggle, rebuild } = useImageActions(repository);
  const { image } = repository;
  const fullName = `${repository.owner}/${repository.name}`;
  const failure = image.status === "failed" ? (image.latestBuild?.failure ?? null) : null;
  const error = toggle.error ?? rebuild.error;

  return (
    <li aria-label={fullName} data-repository={fullName} className="px-4 py-3.5">
      <div className="flex items-center gap-3">
        <div className="flex min-w-0 flex-1 flex-wrap items-center gap-x-2.5 gap-y-1">
          <h2 className="flex min-w-0 items-center gap-1.5 font-medium">
            <span className="min-w-0 break-words">
              <span className="font-normal text-muted">{repository.owner}/</span>
              {repository.name}
            </span>
            {repository.private ? <Lock aria-label="private" className="size-3.5 shrink-0 text-faint" /> : null}
          </h2>
          <StatusBadge status={image.status} {...imageWords[image.status]} />
        </div>
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
        <Switch
          label={`Pre-built images for ${fullName}`}
          checked={image.enabled}
          onChange={(enabled) => toggle.mutate(enabled)}
        />
      </div>
      <div className="mt-1 space-y-2">
        <ImageSummary image={image} />
        {error ? <ErrorNotice error={error} /> : null}
        {failure ? <FailurePanel failure={failure} /> : null}
        <Disclosure summary="Clone, push and start">
          <RepositoryDetails repository={repository} />
        </Disclosure>
      </div>
    </li>
  );
}

function RepositoryDetails({ repository }: { repository: RepositoryView }) {
  const branch = repository.defaultBranch;
  return (
    <div className="mt-2 ml-5 space-y-2 text-sm">
      <div className="flex min-w-0 items-center gap-1 rounded-md border border-line bg-sunken pl-3">
        <code className="min-w-0 flex-1 overflow-x-auto whitespace-nowrap py-1.5 font-mono text-xs">
          git clone {repository.cloneUrl}
        </code>
        <CopyButton text={repository.cloneUrl} label={`Copy clone URL of ${repository.owner}/${repository.name}`} />
      </div>
      <p className="text-muted">
        {branch === null ? (
          <>This repository has no branch yet. Push a first commit, then switch images on.</>
        ) : (
          <>
            Commit and <code className="font-mono text-fg text-xs">git push origin {branch}</code>: the image is rebuilt when the
            branch has moved.
          </>
        )}
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
