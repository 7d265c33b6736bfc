/** The image that sessions start from now: where it comes from, what it was made of, how long it lasts. */
import { type BuildInputs, type ImageView, type RepositoryView } from "@open-inspect/protocol";
import { Link } from "@tanstack/react-router";
import { formatBytes, formatDuration } from "../../lib/time.ts";
import { modeReasonWords, modeWords } from "../../lib/words.ts";
import { Age, Until } from "../../ui/age.tsx";
import { CommitLink } from "../../ui/commit.tsx";
import { CopyButton } from "../../ui/copy-button.tsx";
import { Disclosure } from "../../ui/disclosure.tsx";
import { Fact } from "../../ui/fact.tsx";
import { Card, EmptyNote } from "../../ui/page.tsx";

export function ImageCard({ repository }: { repository: RepositoryView }) {
  const { image, cloneUrl } = repository;
  return (
    <Card>
      {image.active === null || !image.enabled ? (
        <EmptyNote>
          <p className="font-medium text-fg">No image serves</p>
          {describeAbsence(repository)}
        </EmptyNote>
      ) : (
        <ActiveImage image={image.active} cloneUrl={cloneUrl} />
      )}
    </Card>
  );
}

function describeAbsence({ image, defaultBranch }: RepositoryView): string {
  if (defaultBranch === null) return "The repository has no branch yet. Push a first commit, then switch images on.";
  const cold = "Sessions clone and set up from nothing";
  switch (image.status) {
    case "disabled":
      return `${cold}. Switch images on to have that done ahead of time.`;
    case "building":
      return `${cold} until the build that runs now is done.`;
    case "failed":
      return `${cold}, because no build has succeeded. The cause stands above, each build below.`;
    case "none":
    case "ready":
      return `${cold} until a build succeeds. Rebuild now starts one.`;
  }
}

function ActiveImage({ image, cloneUrl }: { image: ImageView; cloneUrl: string }) {
  return (
    <>
      <dl className="grid grid-cols-2 gap-x-6 gap-y-3.5 px-4 py-3.5 text-sm sm:grid-cols-4">
        <Fact name="Commit">
          <CommitLink cloneUrl={cloneUrl} sha={image.sha} />
        </Fact>
        <Fact name="Branch">{image.branch}</Fact>
        <Fact name="Built">
          <Link to="/builds/$id" params={{ id: image.buildId }} className="text-link">
            <Age at={image.createdAt} />
          </Link>{" "}
          in {formatDuration(image.buildMs)}
        </Fact>
        <Fact name="Size">{image.sizeBytes === null ? "not measured" : formatBytes(image.sizeBytes)}</Fact>
        <Fact name="How it was built" className="col-span-2">
          {modeWords[image.mode]}, because {modeReasonWords[image.modeReason]}.
          {image.chainDepth === 0
            ? null
            : ` It stands on ${image.chainDepth} ${image.chainDepth === 1 ? "snapshot" : "snapshots"} since the last full build.`}
        </Fact>
        <Fact name="Expires" className="col-span-2">
          <Until at={image.expiresAt} />, unless a rebuild replaces it before.
        </Fact>
      </dl>
      <div className="border-line border-t px-4 py-2.5 text-sm">
        {image.inputs === null ? (
          <p className="text-muted">Inputs: not recorded for this image.</p>
        ) : (
          <Disclosure
            summary={
              <>
                Inputs
                <code title={image.inputs.digest} className="min-w-0 truncate font-mono text-fg text-xs">
                  {image.inputs.digest.slice(0, 16)}
                </code>
              </>
            }
          >
            <Inputs inputs={image.inputs} />
          </Disclosure>
        )}
      </div>
    </>
  );
}

/** Everything but the commit that the image depends on, with the digest of each. */
function Inputs({ inputs }: { inputs: BuildInputs }) {
  const script = (digest: string | null) => digest ?? "none";
  const parts: [name: string, value: string][] = [
    ["All of them", inputs.digest],
    ["Base image", inputs.base],
    ["Runtime", inputs.runtimeVersion],
    ["setup.sh", script(inputs.setup)],
    ["refresh.sh", script(inputs.refresh)],
    ["Secrets", inputs.secretsVersion === 0 ? "none" : `version ${inputs.secretsVersion}`],
    ...(inputs.settings === undefined ? [] : [["Settings", inputs.settings] as [string, string]]),
    ...inputs.files.map((file): [string, string] => [file.path, file.digest]),
  ];
  return (
    <>
      <dl className="mt-2 max-h-80 divide-y divide-line overflow-y-auto rounded-md border border-line bg-sunken">
        {parts.map(([name, value], index) => (
          <div key={name} className="grid items-center gap-x-4 px-3 py-1.5 sm:grid-cols-[10rem_minmax(0,1fr)_auto]">
            <dt className="break-words text-muted text-xs">{name}</dt>
            <dd className="break-all font-mono text-xs">{value}</dd>
            {index === 0 ? <CopyButton text={value} label="Copy the digest of all inputs" /> : null}
          </div>
        ))}
      </dl>
      {inputs.files.length === 0 ? <p className="mt-1.5 text-faint text-xs">No lockfile was found in the repository.</p> : null}
      {inputs.omittedFiles > 0 ? (
        <p className="mt-1.5 text-faint text-xs">
          {inputs.omittedFiles.toLocaleString("en")} more files are part of the digest and not listed.
        </p>
      ) : null}
    </>
  );
}
