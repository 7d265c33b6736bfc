/** The ledger of heads: who saw each commit of the branch first - a push, the tick, a person - and how much later the others did. */
import { type HeadSeer, type HeadSighting, type RepositoryView } from "@open-inspect/protocol";
import { useSightings } from "../../lib/queries.ts";
import { formatDuration } from "../../lib/time.ts";
import { Age } from "../../ui/age.tsx";
import { CommitLink } from "../../ui/commit.tsx";
import { Disclosure } from "../../ui/disclosure.tsx";
import { EmptyNote, ErrorNotice, SkeletonRows } from "../../ui/page.tsx";

const seerWords: Record<HeadSeer, string> = { push: "Push", tick: "Scheduled check", person: "A person" };
const columns = ["Commit", "First seen by", "When", "Seen later by"];
const cellStyles = "py-1.5 pr-4 text-left align-baseline font-normal whitespace-nowrap";

export function Sightings({ repository }: { repository: RepositoryView }) {
  return (
    <Disclosure summary="Who saw each commit first" className="mt-2 px-4">
      <Ledger repository={repository} />
    </Disclosure>
  );
}

function Ledger({ repository }: { repository: RepositoryView }) {
  const { data, error, refetch } = useSightings(repository);
  if (data === undefined && error !== null) return <ErrorNotice error={error} onRetry={() => void refetch()} className="mt-2" />;
  if (data === undefined) return <SkeletonRows rows={2} label="Loading who saw each commit" />;
  if (data.sightings.length === 0)
    return <EmptyNote>No new commit was seen in the last 90 days: neither by a push, nor by a check, nor by a person.</EmptyNote>;
  return (
    <div className="mt-1.5 overflow-x-auto">
      <table className="w-full text-sm" aria-label="Who saw each commit first">
        <thead>
          <tr className="border-line border-b text-faint text-xs">
            {columns.map((name) => (
              <th key={name} scope="col" className={cellStyles}>
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody className="divide-y divide-line text-muted">
          {data.sightings.map((seen) => (
            <tr key={seen.sha}>
              <th scope="row" className={cellStyles}>
                <CommitLink cloneUrl={repository.cloneUrl} sha={seen.sha} />
              </th>
              <td className={cellStyles}>{seerWords[seen.firstBy]}</td>
              <td className={cellStyles}>
                <Age at={seen.firstAt} />
              </td>
              <td className={cellStyles}>{describeLater(seen)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function describeLater({ later }: HeadSighting): string {
  if (later.length === 0) return "nobody else";
  return later.map(({ by, lateMs }) => `${seerWords[by].toLowerCase()}, ${formatDuration(lateMs)} later`).join("; ");
}
