/** New session as a page of its own, with a repository chosen by the link that led here. */
import { useTitle } from "../../lib/clock.ts";
import { Page } from "../../ui/page.tsx";
import { NewSessionForm } from "./new-session-form.tsx";
import { StartingSession, useStartSession } from "./start-session.tsx";

export function NewSessionPage({ repository }: { repository: string | null }) {
  useTitle("New session");
  const start = useStartSession();
  return (
    <>
      {start.isPending && start.variables !== undefined ? <StartingSession request={start.variables} /> : null}
      <div hidden={start.isPending}>
        <Page title="New session" subtitle="The agent works in a sandbox of its own, on a fresh checkout of the branch.">
          <NewSessionForm key={repository} repository={repository} start={start} autoFocus />
        </Page>
      </div>
    </>
  );
}
