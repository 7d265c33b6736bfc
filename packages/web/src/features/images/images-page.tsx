/** Settings > Images: which repositories keep an image ready, and how each stands. */
import { type RepositoryView } from "@open-inspect/protocol";
import { FolderGit2, Search } from "lucide-react";
import { useState } from "react";
import { useTitle } from "../../lib/clock.ts";
import { cn } from "../../lib/cn.ts";
import { useRepositories } from "../../lib/queries.ts";
import { inputStyles } from "../../ui/field.tsx";
import { Card, EmptyState, ErrorNotice, Page, SkeletonRows } from "../../ui/page.tsx";
import { RepositoryRow } from "./repository-row.tsx";

/** From here on a list is worth searching. */
const searchFrom = 8;

export function ImagesPage() {
  useTitle("Images");
  const { data, error, refetch } = useRepositories();
  return (
    <Page
      title="Images"
      subtitle="A repository with pre-built images has clone and setup done ahead of time: its sessions start in seconds. Images are rebuilt when the default branch moves, checked every 30 minutes."
    >
      {error !== null && data === undefined ? (
        <ErrorNotice error={error} onRetry={() => void refetch()} />
      ) : (
        <Card aria-label="Repositories">
          {data === undefined ? (
            <SkeletonRows rows={4} label="Loading repositories" />
          ) : data.repositories.length === 0 ? (
            <EmptyState icon={<FolderGit2 />} title="No repository yet">
              Install the GitHub App on an account and give it the repositories you want to work on: on GitHub, Settings →
              Applications → Configure. They appear here by themselves.
            </EmptyState>
          ) : (
            <RepositoryRows repositories={data.repositories} />
          )}
        </Card>
      )}
    </Page>
  );
}

function RepositoryRows({ repositories }: { repositories: RepositoryView[] }) {
  const [search, setSearch] = useState("");
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const shown = repositories.filter((each) => words.every((word) => `${each.owner}/${each.name}`.toLowerCase().includes(word)));
  return (
    <>
      {repositories.length > searchFrom ? (
        <div className="relative border-line border-b p-2">
          <Search aria-hidden="true" className="pointer-events-none absolute top-4.5 left-4.5 size-4 text-faint" />
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
      {shown.length === 0 ? (
        <p className="px-4 py-8 text-center text-muted text-sm">No repository matches “{search}”.</p>
      ) : (
        <ul aria-label="Repositories" className="divide-y divide-line">
          {shown.map((each) => (
            <RepositoryRow key={`${each.owner}/${each.name}`} repository={each} />
          ))}
        </ul>
      )}
    </>
  );
}
