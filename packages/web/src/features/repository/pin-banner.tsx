/** Says that a person holds an image in its place: who, why, until when; and lets it go. */
import { type Pin, type RepositoryView } from "@open-inspect/protocol";
import { Pin as PinIcon } from "lucide-react";
import { useImageChoices } from "../../lib/image-actions.ts";
import { useServices } from "../../lib/services.tsx";
import { Age, Until } from "../../ui/age.tsx";
import { Button } from "../../ui/button.tsx";
import { Commit } from "../../ui/commit.tsx";
import { ErrorNotice } from "../../ui/page.tsx";

export function PinBanner({ repository, pin }: { repository: RepositoryView; pin: Pin }) {
  const { announcer } = useServices();
  const { unpin } = useImageChoices(repository);
  const { active } = repository.image;
  return (
    <section
      aria-label="Pinned image"
      data-pin={pin.imageId}
      className="space-y-2 rounded-md border border-accent/25 bg-accent-soft px-3.5 py-2.5 text-sm"
    >
      <div className="flex flex-wrap items-start gap-x-4 gap-y-2">
        <PinIcon aria-hidden="true" className="mt-0.5 size-4 shrink-0 text-accent" />
        <div className="min-w-0 flex-1 basis-56 break-words">
          <p className="font-medium text-accent">
            Pinned{active === null ? null : <> to {<Commit sha={active.sha} className="text-accent" />}</>}: {pin.reason}
          </p>
          <p className="text-fg/85">
            By {pin.by}, <Age at={pin.at} />.{" "}
            {pin.until === null ? (
              "It stays until somebody ends it."
            ) : (
              <>
                Ends <Until at={pin.until} />.
              </>
            )}{" "}
            Until then checks and pushes build nothing; Rebuild now does, but this image goes on serving.
          </p>
        </div>
        <Button
          disabled={unpin.isPending}
          onClick={() => unpin.mutate(undefined, { onSuccess: () => announcer.announce("The pin has ended") })}
        >
          Unpin
        </Button>
      </div>
      {unpin.error ? <ErrorNotice error={unpin.error} /> : null}
    </section>
  );
}
