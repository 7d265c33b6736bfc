/** Rebuild, Cancel and the switch of a repository's page, and what came of them. */
import { type RepositoryView } from "@open-inspect/protocol";
import { Link } from "@tanstack/react-router";
import { CircleStop, RefreshCw } from "lucide-react";
import { cn } from "../../lib/cn.ts";
import { useImageActions } from "../../lib/image-actions.ts";
import { isBuildFinal } from "../../lib/words.ts";
import { Button } from "../../ui/button.tsx";
import { ErrorNotice } from "../../ui/page.tsx";
import { Switch } from "../../ui/switch.tsx";

export function RepositoryActions({ repository }: { repository: RepositoryView }) {
  const { toggle, rebuild, cancel } = useImageActions(repository);
  const { image } = repository;
  const underWay = image.latestBuild !== null && !isBuildFinal(image.latestBuild) ? image.latestBuild : null;
  const asked = rebuild.data;
  const follows = asked !== undefined && asked.behind !== null && asked.behind === underWay?.id && asked.build.id !== underWay.id;
  const error = toggle.error ?? rebuild.error ?? cancel.error;
  return (
    <div className="flex flex-col gap-2 sm:items-end">
      <div className="flex flex-wrap items-center gap-2">
        {underWay === null ? null : (
          <Button
            disabled={cancel.isPending}
            aria-busy={cancel.isPending}
            onClick={() => {
              toggle.reset();
              rebuild.reset();
              cancel.mutate(underWay.id);
            }}
          >
            <CircleStop aria-hidden="true" />
            Cancel build
          </Button>
        )}
        <Button
          disabled={!image.enabled || rebuild.isPending}
          aria-busy={rebuild.isPending}
          onClick={() => {
            toggle.reset();
            cancel.reset();
            rebuild.mutate();
          }}
        >
          <RefreshCw aria-hidden="true" className={cn(rebuild.isPending && "animate-spin")} />
          Rebuild now
        </Button>
        <span className="flex items-center gap-2 pl-1 text-muted text-sm">
          <span aria-hidden="true">Images</span>
          <Switch
            label={`Pre-built images for ${repository.owner}/${repository.name}`}
            checked={image.enabled}
            onChange={(enabled) => {
              rebuild.reset();
              cancel.reset();
              toggle.mutate(enabled);
            }}
          />
        </span>
      </div>
      <div role="status" className="text-muted text-sm">
        {follows ? (
          <>
            Asked for:{" "}
            <Link to="/builds/$id" params={{ id: asked.build.id }} className="text-link">
              another build
            </Link>{" "}
            follows this one.
          </>
        ) : null}
      </div>
      {error ? <ErrorNotice error={error} className="max-w-md" /> : null}
    </div>
  );
}
