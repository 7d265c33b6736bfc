/** The repositories of Settings > Images: found by name, narrowed by status. */
import { type ImageStatus, imageStatuses, type RepositoryView } from "@open-inspect/protocol";
import { Link } from "@tanstack/react-router";
import { Search } from "lucide-react";
import { useDeferredValue, useState } from "react";
import { cn } from "../../lib/cn.ts";
import { imageWords } from "../../lib/words.ts";
import { Button } from "../../ui/button.tsx";
import { inputStyles } from "../../ui/field.tsx";
import { RepositoryRow } from "./repository-row.tsx";

/** From here on a list is worth searching. */
const searchFrom = 8;

const fullNameOf = ({ owner, name }: RepositoryView) => `${owner}/${name}`;

interface RepositoryRowsProps {
  repositories: RepositoryView[];
  status: ImageStatus | null;
}

export function RepositoryRows({ repositories, status }: RepositoryRowsProps) {
  const [search, setSearch] = useState("");
  const isLong = repositories.length > searchFrom;
  return (
    <>
      {isLong || status !== null ? (
        <div className="space-y-2 border-line border-b p-2">
          {isLong ? (
            <div className="relative">
              <Search aria-hidden="true" className="pointer-events-none absolute top-2.5 left-2.5 size-4 text-faint" />
              <input
                type="search"
                aria-label="Search repositories"
                placeholder="Search repositories"
                value={search}
                onChange={(event) => setSearch(event.target.value)}
                className={cn(inputStyles, "h-9 pl-8")}
              />
            </div>
          ) : null}
          <StatusFilter repositories={repositories} status={status} />
        </div>
      ) : null}
      <FoundRows key={status} repositories={repositories} status={status} search={search} onClear={() => setSearch("")} />
    </>
  );
}

/** Links, so that a narrowed list can be bookmarked and survives a reload. */
function StatusFilter({ repositories, status }: RepositoryRowsProps) {
  const count = (of: ImageStatus) => repositories.filter(({ image }) => image.status === of).length;
  const choices = [
    { of: null, word: "All", found: repositories.length },
    ...imageStatuses.map((of) => ({ of, word: imageWords[of].word, found: count(of) })),
  ].filter(({ of, found }) => of === null || of === status || found > 0);
  return (
    <nav aria-label="Filter by status" className="flex flex-wrap gap-1">
      {choices.map(({ of, word, found }) => (
        <Link
          key={word}
          to="/settings/images"
          search={of === null ? {} : { status: of }}
          activeOptions={{ exact: true, includeSearch: true }}
          replace
          resetScroll={false}
          className="inline-flex h-7 items-center gap-1.5 rounded-md px-2 text-muted text-sm hover:bg-hover hover:text-fg aria-[current=page]:bg-hover aria-[current=page]:font-medium aria-[current=page]:text-fg"
        >
          {word}
          <span className="font-normal text-faint">{found}</span>
        </Link>
      ))}
    </nav>
  );
}

interface FoundRowsProps extends RepositoryRowsProps {
  search: string;
  onClear: () => void;
}

function FoundRows({ repositories, status, search, onClear }: FoundRowsProps) {
  const typed = useDeferredValue(search);
  // A row that was here when the filter was chosen stays when its state moves on: it must not vanish from under a finger.
  const [first] = useState(
    () => new Set(repositories.filter(({ image }) => image.status === status).map((each) => fullNameOf(each))),
  );
  const words = typed.toLowerCase().split(/\s+/).filter(Boolean);
  const shown = repositories.filter((each) => {
    const name = fullNameOf(each);
    const isOfStatus = status === null || each.image.status === status || first.has(name);
    return isOfStatus && words.every((word) => name.toLowerCase().includes(word));
  });
  const isNarrowed = words.length > 0 || status !== null;
  return (
    <>
      <p role="status" className="sr-only">
        {isNarrowed ? `${shown.length} of ${repositories.length} repositories` : ""}
      </p>
      {shown.length === 0 ? (
        <div className="px-4 py-8 text-center text-muted text-sm">
          <p>
            {words.length > 0 ? `No repository matches “${typed.trim()}”` : "No repository"}
            {status === null ? "." : ` with the status ${imageWords[status].word}.`}
          </p>
          <p className="mt-3 flex justify-center gap-2">
            {words.length > 0 ? <Button onClick={onClear}>Clear the search</Button> : null}
            {status === null ? null : (
              <Button asChild>
                <Link to="/settings/images">Show every status</Link>
              </Button>
            )}
          </p>
        </div>
      ) : (
        <ul aria-label="Repositories" className="divide-y divide-line">
          {shown.map((each) => (
            <RepositoryRow key={fullNameOf(each)} repository={each} />
          ))}
        </ul>
      )}
    </>
  );
}
