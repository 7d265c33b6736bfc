/** Asks why an image is to serve, and until when, before it is made the active one. */
import { type KeptImage, type RepositoryView } from "@open-inspect/protocol";
import { type FormEvent, useId, useState } from "react";
import { toApiError } from "../../lib/api.ts";
import { cn } from "../../lib/cn.ts";
import { useImageChoices } from "../../lib/image-actions.ts";
import { useServices } from "../../lib/services.tsx";
import { shortSha } from "../../lib/time.ts";
import { Button } from "../../ui/button.tsx";
import { Dialog } from "../../ui/dialog.tsx";
import { Field, inputStyles } from "../../ui/field.tsx";
import { ErrorNotice } from "../../ui/page.tsx";

const reasonMaxLength = 500;

interface ActivateDialogProps {
  repository: RepositoryView;
  /** null closes it */
  image: KeptImage | null;
  onClose: () => void;
}

export function ActivateDialog({ repository, image, onClose }: ActivateDialogProps) {
  const sha = image === null ? "" : shortSha(image.sha);
  const title = image?.state === "active" ? `Pin the image of ${sha}` : `Make the image of ${sha} active`;
  return (
    <Dialog
      open={image !== null}
      onOpenChange={(open) => {
        if (!open) onClose();
      }}
      title={title}
      description="New sessions start from it, and scheduled builds do not replace it until the pin ends. Sessions that run are not touched."
    >
      {image === null ? null : <ActivateForm repository={repository} image={image} onDone={onClose} />}
    </Dialog>
  );
}

interface ActivateFormProps {
  repository: RepositoryView;
  image: KeptImage;
  onDone: () => void;
}

function ActivateForm({ repository, image, onDone }: ActivateFormProps) {
  const { announcer } = useServices();
  const { activate } = useImageChoices(repository);
  const id = useId();
  const [reason, setReason] = useState("");
  const [until, setUntil] = useState("");
  const [faults, setFaults] = useState<{ reason?: string; until?: string }>({});
  const refused = activate.error === null ? null : toApiError(activate.error);
  const isAboutUntil = refused !== null && /\b(until|end of the pin)\b/i.test(refused.message);
  const untilFault = faults.until ?? (isAboutUntil ? refused.message : undefined);

  function submit(event: FormEvent): void {
    event.preventDefault();
    const untilAt = until === "" ? null : new Date(until).getTime();
    const found = {
      ...(reason.trim() === "" ? { reason: "Say why, for whoever finds the pin later." } : {}),
      ...(untilAt !== null && untilAt <= Date.now() ? { until: "Choose a time to come, or leave it empty." } : {}),
    };
    setFaults(found);
    activate.reset();
    if (Object.keys(found).length > 0) {
      document.getElementById(`${id}-${"reason" in found ? "reason" : "until"}`)?.focus();
      return;
    }
    activate.mutate(
      { id: image.id, reason: reason.trim(), until: untilAt },
      {
        onSuccess() {
          announcer.announce(`The image of ${shortSha(image.sha)} is active and pinned`);
          onDone();
        },
      },
    );
  }

  return (
    <form noValidate onSubmit={submit} className="mt-4 space-y-4">
      <Field id={`${id}-reason`} label="Reason" error={faults.reason}>
        <textarea
          id={`${id}-reason`}
          required
          rows={2}
          maxLength={reasonMaxLength}
          value={reason}
          onChange={(event) => setReason(event.target.value)}
          aria-invalid={faults.reason !== undefined}
          aria-describedby={`${id}-reason-note`}
          className={cn(inputStyles, "block resize-y py-2")}
        />
      </Field>
      <Field
        id={`${id}-until`}
        label="End of the pin (optional)"
        hint="Empty: until somebody ends it. In the time zone of this browser."
        error={untilFault}
      >
        <input
          id={`${id}-until`}
          type="datetime-local"
          value={until}
          onChange={(event) => setUntil(event.target.value)}
          aria-invalid={untilFault !== undefined}
          aria-describedby={`${id}-until-note`}
          className={cn(inputStyles, "h-9")}
        />
      </Field>
      {refused === null || isAboutUntil ? null : <ErrorNotice error={refused} />}
      <div className="flex justify-end gap-2">
        <Button onClick={onDone}>Keep as it is</Button>
        <Button type="submit" look="solid" disabled={activate.isPending} aria-busy={activate.isPending}>
          {image.state === "active" ? "Pin" : "Make active"}
        </Button>
      </div>
    </form>
  );
}
