/** What is shown when there is no such page, and when a page broke. */
import { Link } from "@tanstack/react-router";
import { Compass } from "lucide-react";
import { useTitle } from "../lib/clock.ts";
import { Button } from "../ui/button.tsx";
import { EmptyState, ErrorNotice, Page } from "../ui/page.tsx";

export function NotFoundPage() {
  useTitle("Not found");
  return (
    <Page title="Not found">
      <EmptyState icon={<Compass />} title="There is no page at this address">
        <p className="mb-4">It may have been mistyped, or what it showed is gone.</p>
        <Button asChild>
          <Link to="/">Go to Sessions</Link>
        </Button>
      </EmptyState>
    </Page>
  );
}

export function BrokenPage({ error, reset }: { error: unknown; reset: () => void }) {
  useTitle("Error");
  return (
    <Page title="This page broke">
      <ErrorNotice error={error} onRetry={reset} />
    </Page>
  );
}
