/** Saves a build's whole log as a text file. */
import { type BuildView } from "@open-inspect/protocol";
import { useMutation } from "@tanstack/react-query";
import { Download } from "lucide-react";
import { toApiError } from "../../lib/api.ts";
import { collectLog } from "../../lib/log-download.ts";
import { useServices } from "../../lib/services.tsx";
import { Button } from "../../ui/button.tsx";

/** The browser reads the blob when it gets to it. */
const keptMs = 60_000;

function save(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), keptMs);
}

export function DownloadLogButton({ build }: { build: BuildView }) {
  const { api } = useServices();
  const { owner, name } = build.repository;
  const download = useMutation({
    mutationFn: () => collectLog((after) => api.readBuildLogs(build.id, after)),
    onSuccess: (log) => save(log, `${owner}-${name}-${build.id}.log`),
  });
  return (
    <>
      {download.error ? (
        <span role="alert" className="text-bad">
          {toApiError(download.error).message}
        </span>
      ) : null}
      <Button
        look="ghost"
        size="icon"
        aria-label="Download the log"
        title="Download the log"
        disabled={download.isPending}
        aria-busy={download.isPending}
        onClick={() => download.mutate()}
      >
        <Download aria-hidden="true" />
      </Button>
    </>
  );
}
