/** Repository, branch and prompt, and what starting them now will mean. Starting leads to the session's page. */
import { type CreateSessionRequest, promptMaxLength, type RepositoryView } from "@open-inspect/protocol";
import { useMutation } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { LoaderCircle, Snowflake, Zap } from "lucide-react";
import { type FormEvent, type KeyboardEvent, useId, useState } from "react";
import { useNow } from "../../lib/clock.ts";
import { cn } from "../../lib/cn.ts";
import { sessionKey, useBranches, useRepositories } from "../../lib/queries.ts";
import { useServices } from "../../lib/services.tsx";
import { describeForecast } from "../../lib/start-sentences.ts";
import { startWord } from "../../lib/words.ts";
import { StatusBadge } from "../../ui/badge.tsx";
import { Button } from "../../ui/button.tsx";
import { Combobox } from "../../ui/combobox.tsx";
import { Disclosure } from "../../ui/disclosure.tsx";
import { Field, inputStyles, Select } from "../../ui/field.tsx";
import { Card, ErrorNotice } from "../../ui/page.tsx";

const fullNameOf = (repository: RepositoryView) => `${repository.owner}/${repository.name}`;

export function NewSessionForm({ repository: wanted }: { repository: string | null }) {
  const { api, queryClient } = useServices();
  const navigate = useNavigate();
  const id = useId();
  const repositories = useRepositories();
  const [picked, setPicked] = useState(wanted);
  const [pickedBranch, setPickedBranch] = useState<string | null>(null);
  const [prompt, setPrompt] = useState("");
  const [model, setModel] = useState("");

  const all = repositories.data?.repositories ?? [];
  // With one repository there is nothing to choose.
  const only = all.length === 1 ? all[0] : undefined;
  const repository = all.find((each) => fullNameOf(each).toLowerCase() === picked?.toLowerCase()) ?? only ?? null;
  const branches = useBranches(repository?.defaultBranch == null ? null : repository);
  const branch = pickedBranch ?? repository?.defaultBranch ?? null;

  const start = useMutation({
    mutationFn: (request: CreateSessionRequest) => api.createSession(request),
    onSuccess: async (session) => {
      queryClient.setQueryData(sessionKey(session.id), session);
      await navigate({ to: "/sessions/$id", params: { id: session.id } });
    },
  });

  function submit(event: FormEvent): void {
    event.preventDefault();
    if (repository === null || branch === null || start.isPending) return;
    start.mutate({
      repository: { owner: repository.owner, name: repository.name },
      // A branch that nobody picked is the default one, whatever its name is by now.
      ...(pickedBranch === null ? {} : { branch: pickedBranch }),
      ...(prompt.trim() === "" ? {} : { prompt: prompt.trim() }),
      ...(model.trim() === "" ? {} : { model: model.trim() }),
    });
  }

  function onKeyDown(event: KeyboardEvent<HTMLFormElement>): void {
    if (event.key !== "Enter" || !(event.metaKey || event.ctrlKey)) return;
    event.preventDefault();
    event.currentTarget.requestSubmit();
  }

  return (
    <Card aria-label="New session">
      <form onSubmit={submit} onKeyDown={onKeyDown} className="p-4">
        <div className="grid gap-3 sm:grid-cols-[minmax(0,3fr)_minmax(0,2fr)]">
          <Field label="Repository" id={`${id}-repository`}>
            <Combobox
              id={`${id}-repository`}
              value={repository === null ? null : fullNameOf(repository)}
              onChange={(value) => {
                setPicked(value);
                setPickedBranch(null);
              }}
              placeholder={repositories.isPending ? "Loading repositories…" : "Choose a repository"}
              empty="No repository matches"
              options={all.map((each) => ({
                value: fullNameOf(each),
                label: fullNameOf(each),
                note: <StatusBadge status={each.image.status} {...startWord(each.image)} />,
              }))}
            />
          </Field>
          <Field label="Branch" id={`${id}-branch`}>
            <Select
              id={`${id}-branch`}
              value={branch ?? ""}
              disabled={branch === null}
              onChange={(event) => setPickedBranch(event.target.value)}
            >
              <BranchOptions names={branches.data?.branches.map((each) => each.name) ?? []} chosen={branch} />
            </Select>
          </Field>
        </div>
        <Field label="Prompt" id={`${id}-prompt`} className="mt-3">
          <textarea
            id={`${id}-prompt`}
            rows={4}
            maxLength={promptMaxLength}
            placeholder="What should the agent do?"
            value={prompt}
            onChange={(event) => setPrompt(event.target.value)}
            className={cn(inputStyles, "field-sizing-content block max-h-96 min-h-24 resize-y py-2")}
          />
        </Field>
        <Disclosure summary="Options" className="mt-3">
          <Field label="Model" id={`${id}-model`} hint="Left empty, the installation's own choice." className="mt-2 sm:max-w-xs">
            <input
              id={`${id}-model`}
              value={model}
              maxLength={200}
              autoComplete="off"
              spellCheck={false}
              placeholder="Default model"
              onChange={(event) => setModel(event.target.value)}
              className={cn(inputStyles, "h-9")}
            />
          </Field>
        </Disclosure>
        {repositories.isError ? (
          <ErrorNotice className="mt-3" error={repositories.error} onRetry={() => void repositories.refetch()} />
        ) : null}
        {branches.isError ? (
          <ErrorNotice className="mt-3" error={branches.error} onRetry={() => void branches.refetch()} />
        ) : null}
        {start.isError ? <ErrorNotice className="mt-3" error={start.error} /> : null}
        <div className="mt-4 flex flex-wrap items-center justify-between gap-3">
          <Forecast
            repository={repository}
            branch={branch}
            wanted={repositories.isSuccess ? picked : null}
            none={repositories.isSuccess && all.length === 0}
          />
          <Button
            type="submit"
            look="solid"
            size="md"
            className="max-sm:w-full"
            disabled={repository === null || branch === null || start.isPending}
            aria-keyshortcuts="Control+Enter Meta+Enter"
            title="Ctrl+Enter or ⌘+Enter"
          >
            {start.isPending ? <LoaderCircle aria-hidden="true" className="animate-spin" /> : null}
            {start.isPending ? "Starting…" : "Start session"}
          </Button>
        </div>
      </form>
    </Card>
  );
}

/** The chosen branch is there even while the list is on its way. */
function BranchOptions({ names, chosen }: { names: string[]; chosen: string | null }) {
  const all = chosen === null || names.includes(chosen) ? names : [chosen, ...names];
  return all.map((name) => (
    <option key={name} value={name}>
      {name}
    </option>
  ));
}

interface ForecastProps {
  repository: RepositoryView | null;
  branch: string | null;
  /** the repository that was asked for, once the list is here */
  wanted: string | null;
  /** there is no repository at all */
  none: boolean;
}

function Forecast({ repository, branch, wanted, none }: ForecastProps) {
  const now = useNow(5_000);
  const line = "flex min-w-0 flex-1 basis-64 items-start gap-2 text-muted text-sm [&_svg]:mt-0.5 [&_svg]:size-4 [&_svg]:shrink-0";
  if (none) {
    return (
      <p className={line}>
        <span>
          There is no repository yet:{" "}
          <Link to="/settings/images" className="text-link">
            how to add one
          </Link>
        </span>
      </p>
    );
  }
  if (repository === null) {
    return <p className={line}>{wanted === null ? "Choose a repository to start." : `There is no repository ${wanted} here.`}</p>;
  }
  if (branch === null) return <p className={line}>This repository has no branch yet. Push a first commit, then start.</p>;
  const { warm, sentence } = describeForecast(repository, branch, now);
  return (
    <p className={line} data-forecast={warm ? "image" : "base"}>
      {warm ? <Zap aria-hidden="true" className="text-ok" /> : <Snowflake aria-hidden="true" className="text-faint" />}
      <span>
        {sentence}{" "}
        {repository.image.enabled ? null : (
          <Link to="/settings/images" className="text-link">
            Switch them on
          </Link>
        )}
      </span>
    </p>
  );
}
