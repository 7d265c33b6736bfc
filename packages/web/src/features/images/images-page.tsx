/** Settings > Images: which repositories keep an image ready, and how each stands. */
import { type ImageStatus } from "@open-inspect/protocol";
import { FolderGit2 } from "lucide-react";
import { useTitle } from "../../lib/clock.ts";
import { useRepositories } from "../../lib/queries.ts";
import { Card, EmptyState, ErrorNotice, Page, SectionTitle, SkeletonRows } from "../../ui/page.tsx";
import { InsightsCard } from "../insights/insights-card.tsx";
import { RepositoryRows } from "./repository-rows.tsx";

/** @param status show repositories of this status alone; null shows all */
export function ImagesPage({ status }: { status: ImageStatus | null }) {
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
        <Card>
          {data === undefined ? (
            <SkeletonRows rows={4} label="Loading repositories" />
          ) : data.repositories.length === 0 ? (
            <EmptyState icon={<FolderGit2 />} title="No repository yet">
              Install the GitHub App on an account and give it the repositories you want to work on: on GitHub, Settings →
              Applications → Configure. They appear here by themselves.
            </EmptyState>
          ) : (
            <RepositoryRows repositories={data.repositories} status={status} />
          )}
        </Card>
      )}
      {data === undefined || data.repositories.length === 0 ? null : (
        <section aria-label="How sessions began" className="mt-8">
          <SectionTitle>How sessions began</SectionTitle>
          <InsightsCard repository={null} />
        </section>
      )}
    </Page>
  );
}
