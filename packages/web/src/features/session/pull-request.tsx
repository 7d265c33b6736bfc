/** The way from a session's changes to a pull request: asked for with title and text, then shown with its state and brought up to date. */
import { type Me, type PullRequest, type SessionView } from "@open-inspect/protocol";
import { ArrowUpFromLine, GitPullRequest, LoaderCircle } from "lucide-react";
import { type FormEvent, useId, useState } from "react";
import { cn } from "../../lib/cn.ts";
import { loginAddress, useMe } from "../../lib/login.ts";
import { type SessionActions } from "../../lib/session-actions.ts";
import { isSessionEnded, pullRequestWords } from "../../lib/words.ts";
import { Button } from "../../ui/button.tsx";
import { Dialog } from "../../ui/dialog.tsx";
import { Field, inputStyles } from "../../ui/field.tsx";
import { ErrorNotice } from "../../ui/page.tsx";
import { PullRequestBadge } from "../../ui/pull-request-badge.tsx";

const isOpen = (pullRequest: PullRequest): boolean => pullRequest.state === "open" || pullRequest.state === "draft";

/** In whose name GitHub has it; null where that is not known. */
function describeOpener({ pullRequestBy }: SessionView): string | null {
  return pullRequestBy == null ? null : `opened by ${pullRequestBy.login ?? "the app"}`;
}

/** What has become of the changes, above them. */
export function PullRequestLine({ session }: { session: SessionView }) {
  const { pullRequest } = session;
  if (pullRequest === null) return null;
  const opener = describeOpener(session);
  return (
    <p data-pull-request-line="" className="mb-3 flex min-w-0 flex-wrap items-baseline gap-x-2 text-sm">
      <a href={pullRequest.url} target="_blank" rel="noreferrer" className="max-w-full truncate font-medium hover:underline">
        #{pullRequest.number} {pullRequest.title}
      </a>
      <span className="shrink-0 text-muted">
        {pullRequestWords[pullRequest.state].word.toLowerCase()}
        {opener === null ? null : `, ${opener}`}
      </span>
    </p>
  );
}

export function PullRequestControl({ session, actions }: { session: SessionView; actions: SessionActions }) {
  const [asks, setAsks] = useState(false);
  const { pullRequest } = session;
  const hasChanges = session.diff !== null && session.diff.files.length > 0;
  const isUpdate = pullRequest !== null && isOpen(pullRequest);
  const progress = session.pullRequestProgress ?? null;
  const doing = progress === null || progress.at === "failed" ? null : progress;
  return (
    <>
      {pullRequest === null ? null : (
        <a
          href={pullRequest.url}
          target="_blank"
          rel="noreferrer"
          title={[`${pullRequestWords[pullRequest.state].word}: ${pullRequest.title}`, describeOpener(session)]
            .filter(Boolean)
            .join(", ")}
          className="rounded-full hover:underline"
        >
          <PullRequestBadge pullRequest={pullRequest} />
        </a>
      )}
      {hasChanges && session.archivedAt === null ? (
        <Button disabled={doing !== null} title={doing === null ? undefined : `To ${doing.branch}`} onClick={() => setAsks(true)}>
          {doing !== null ? (
            <LoaderCircle aria-hidden="true" className="animate-spin" />
          ) : isUpdate ? (
            <ArrowUpFromLine aria-hidden="true" />
          ) : (
            <GitPullRequest aria-hidden="true" />
          )}
          <span className="max-md:sr-only">
            {doing === null
              ? isUpdate
                ? "Push changes"
                : "Create pull request"
              : doing.at === "pushing"
                ? "Pushing…"
                : "Opening the pull request…"}
          </span>
        </Button>
      ) : null}
      <Dialog
        open={asks}
        onOpenChange={(open) => {
          setAsks(open);
          if (!open) actions.pullRequest.reset();
        }}
        title={isUpdate ? `Push to #${pullRequest.number}` : "Create pull request"}
        description={
          isUpdate
            ? `What has changed is committed and pushed to ${pullRequest.branch}.`
            : "What has changed is committed, pushed to a branch of its own, and proposed for merging."
        }
      >
        <PullRequestForm session={session} actions={actions} isUpdate={isUpdate} onDone={() => setAsks(false)} />
      </Dialog>
    </>
  );
}

interface PullRequestFormProps {
  session: SessionView;
  actions: SessionActions;
  isUpdate: boolean;
  onDone: () => void;
}

function PullRequestForm({ session, actions, isUpdate, onDone }: PullRequestFormProps) {
  const id = useId();
  const [title, setTitle] = useState(session.pullRequest?.title ?? session.title);
  const [body, setBody] = useState("");
  const [draft, setDraft] = useState(false);
  const { pullRequest: ask } = actions;
  const me = useMe();
  const { resume } = actions;
  // What is pushed lies in the sandbox.
  const isAsleep = isSessionEnded(session.status);
  const isWaking = session.status !== "ready" && !isAsleep;

  function submit(event: FormEvent): void {
    event.preventDefault();
    if (ask.isPending || isAsleep || isWaking) return;
    const words = {
      ...(title.trim() === "" ? {} : { title: title.trim() }),
      ...(body.trim() === "" ? {} : { body: body.trim() }),
    };
    ask.mutate(isUpdate ? {} : { ...words, draft }, { onSuccess: onDone });
  }

  return (
    <form onSubmit={submit} className="mt-4 space-y-3">
      {isUpdate ? null : (
        <>
          <Field label="Title" id={`${id}-title`}>
            <input
              id={`${id}-title`}
              value={title}
              maxLength={250}
              onChange={(event) => setTitle(event.target.value)}
              className={cn(inputStyles, "h-9")}
            />
          </Field>
          <Field label="Description" id={`${id}-body`}>
            <textarea
              id={`${id}-body`}
              rows={4}
              value={body}
              maxLength={60_000}
              placeholder="Left empty, it says what was asked."
              onChange={(event) => setBody(event.target.value)}
              className={cn(inputStyles, "field-sizing-content block max-h-60 min-h-20 py-2")}
            />
          </Field>
          <label className="flex items-center gap-2 text-sm">
            <input
              type="checkbox"
              className="accent-accent"
              checked={draft}
              onChange={(event) => setDraft(event.target.checked)}
            />
            As a draft
          </label>
        </>
      )}
      {isUpdate ? null : <InWhoseName me={me} sessionId={session.id} />}
      {ask.isError ? <ErrorNotice error={ask.error} /> : null}
      {isAsleep || isWaking ? (
        <p role="status" className="text-sm text-warn">
          {isAsleep
            ? "The session's sandbox is stopped, and what is pushed lies in it. Resume the session first."
            : "The session is not ready yet. It can be pushed from in a moment."}
        </p>
      ) : null}
      {resume.isError && isAsleep ? <ErrorNotice error={resume.error} /> : null}
      <div className="flex justify-end gap-2">
        {isAsleep ? (
          <Button disabled={resume.isPending} onClick={() => resume.mutate()}>
            {resume.isPending ? <LoaderCircle aria-hidden="true" className="animate-spin" /> : null}
            Resume the session
          </Button>
        ) : null}
        <Button type="submit" look="solid" disabled={ask.isPending || isAsleep || isWaking}>
          {ask.isPending ? <LoaderCircle aria-hidden="true" className="animate-spin" /> : null}
          {isUpdate ? "Push" : "Create"}
        </Button>
      </div>
    </form>
  );
}

/** GitHub shows a pull request under a person's name only when that person has logged in with GitHub. */
function InWhoseName({ me, sessionId }: { me: Me | undefined; sessionId: string }) {
  const login = me?.via === "github" ? me.person?.login : null;
  return (
    <p data-name-of-pull-request="" className="text-muted text-sm">
      {login ? (
        <>
          GitHub shows it as opened by <strong className="font-medium text-fg">{login}</strong>, or by the app where you may not
          open it.
        </>
      ) : (
        <>
          GitHub shows it as opened by the app.
          {me?.canLogIn === true ? (
            <>
              {" "}
              <a href={loginAddress(`/sessions/${sessionId}`)} className="text-link">
                Log in with GitHub
              </a>{" "}
              to open it in your name.
            </>
          ) : null}
        </>
      )}
    </p>
  );
}
