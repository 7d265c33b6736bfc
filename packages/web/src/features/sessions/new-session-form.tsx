/** Repository, branch and prompt, and what starting them now will mean. A sandbox begins with the first keystroke. */
import { type CreateSessionRequest, type RepositoryView } from "@open-inspect/protocol";
import { Link } from "@tanstack/react-router";
import { LoaderCircle, Snowflake, Zap } from "lucide-react";
import { type FormEvent, useEffect, useId, useRef, useState, useSyncExternalStore } from "react";
import { useNow } from "../../lib/clock.ts";
import { cn } from "../../lib/cn.ts";
import { useBranches, useRepositories } from "../../lib/queries.ts";
import { knownModels, lastRepository } from "../../lib/remembered.ts";
import { type ReservationState } from "../../lib/reservation.ts";
import { useServices } from "../../lib/services.tsx";
import { type DraftAttachment, toInput } from "../../lib/session-attachments.ts";
import { newSessionDraft, useDraft } from "../../lib/session-drafts.ts";
import { describeForecast } from "../../lib/start-sentences.ts";
import { startWord } from "../../lib/words.ts";
import { StatusBadge } from "../../ui/badge.tsx";
import { Button } from "../../ui/button.tsx";
import { Combobox } from "../../ui/combobox.tsx";
import { Disclosure } from "../../ui/disclosure.tsx";
import { Field, inputStyles, Select } from "../../ui/field.tsx";
import { ModelSelect } from "../../ui/model-select.tsx";
import { Card, ErrorNotice } from "../../ui/page.tsx";
import { PromptBox } from "../../ui/prompt-box.tsx";
import { type StartSession } from "./start-session.tsx";

const fullNameOf = (repository: RepositoryView) => `${repository.owner}/${repository.name}`;

interface NewSessionFormProps {
  /** owner/name that is chosen at first */
  repository: string | null;
  start: StartSession;
  autoFocus?: boolean;
}

export function NewSessionForm({ repository: wanted, start, autoFocus = false }: NewSessionFormProps) {
  const { reservation } = useServices();
  const id = useId();
  const repositories = useRepositories();
  const [picked, setPicked] = useState(wanted ?? lastRepository);
  const [models] = useState(knownModels);
  const [pickedBranch, setPickedBranch] = useState<string | null>(null);
  const [prompt, setPrompt] = useDraft(newSessionDraft);
  const [attachments, setAttachments] = useState<readonly DraftAttachment[]>([]);
  const [model, setModel] = useState("");
  const field = useRef<HTMLTextAreaElement>(null);
  const reserved = useSyncExternalStore(reservation.subscribe, reservation.state);
  useEffect(() => () => reservation.drop(), [reservation]);

  const all = repositories.data?.repositories ?? [];
  // With one repository there is nothing to choose.
  const only = all.length === 1 ? all[0] : undefined;
  const repository = all.find((each) => fullNameOf(each).toLowerCase() === picked?.toLowerCase()) ?? only ?? null;
  const branches = useBranches(repository?.defaultBranch == null ? null : repository);
  const branch = pickedBranch ?? repository?.defaultBranch ?? null;

  /** Whoever writes will start: the sandbox begins beside the typing. */
  function warm(text: string, name: string | null, branchName: string | null, modelName: string): void {
    if (text.trim() === "" || name === null || branch === null) return;
    reservation.touch({
      repository: name,
      ...(branchName === null ? {} : { branch: branchName }),
      ...(modelName.trim() === "" ? {} : { model: modelName.trim() }),
    });
  }

  function send(): void {
    if (repository === null || branch === null || start.isPending) return;
    const taken = reservation.take();
    const request: CreateSessionRequest = {
      repository: { owner: repository.owner, name: repository.name },
      // A branch that nobody picked is the default one, whatever its name is by now.
      ...(pickedBranch === null ? {} : { branch: pickedBranch }),
      ...(prompt.trim() === "" ? {} : { prompt: prompt.trim() }),
      ...(model.trim() === "" ? {} : { model: model.trim() }),
      ...(attachments.length === 0 ? {} : { attachments: attachments.map(toInput) }),
      ...(taken === undefined ? {} : { reservation: taken }),
    };
    start.mutate(request);
  }

  function submit(event: FormEvent): void {
    event.preventDefault();
    send();
  }

  const name = repository === null ? null : fullNameOf(repository);
  return (
    <Card aria-label="New session">
      <form onSubmit={submit} className="p-4">
        <div className="grid grid-cols-[minmax(0,3fr)_minmax(0,2fr)] gap-3">
          <Field label="Repository" id={`${id}-repository`}>
            <Combobox
              id={`${id}-repository`}
              value={name}
              onChange={(value) => {
                setPicked(value);
                setPickedBranch(null);
                warm(prompt, value, null, model);
              }}
              placeholder={repositories.isPending ? "Loading…" : "Choose one"}
              listLabel="Repositories"
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
              onChange={(event) => {
                setPickedBranch(event.target.value);
                warm(prompt, name, event.target.value, model);
              }}
            >
              <BranchOptions names={branches.data?.branches.map((each) => each.name) ?? []} chosen={branch} />
            </Select>
          </Field>
        </div>
        <div className="mt-3">
          <PromptBox
            label="Prompt"
            placeholder="What should the agent do?"
            minRows={3}
            autoFocus={autoFocus}
            field={field}
            text={prompt}
            onText={(text) => {
              setPrompt(text);
              warm(text, name, pickedBranch, model);
            }}
            attachments={attachments}
            onAttachments={setAttachments}
            // An empty box is no reason to start by a slip of the finger; the button is.
            onSend={() => prompt.trim() !== "" && send()}
            choices={<ModelSelect models={models} value={model === "" ? null : model} onChange={setModel} />}
            actions={
              <Button
                type="submit"
                look="solid"
                disabled={repository === null || branch === null || start.isPending}
                aria-keyshortcuts="Enter"
                title="Enter"
              >
                {start.isPending ? <LoaderCircle aria-hidden="true" className="animate-spin" /> : null}
                {start.isPending ? "Starting…" : "Start session"}
              </Button>
            }
          />
        </div>
        {repositories.isError ? (
          <ErrorNotice className="mt-3" error={repositories.error} onRetry={() => void repositories.refetch()} />
        ) : null}
        {branches.isError ? (
          <ErrorNotice className="mt-3" error={branches.error} onRetry={() => void branches.refetch()} />
        ) : null}
        {start.isError ? <ErrorNotice className="mt-3" error={start.error} /> : null}
        <div className="mt-3 flex flex-wrap items-start justify-between gap-x-6 gap-y-2">
          <Forecast
            repository={repository}
            branch={branch}
            wanted={repositories.isSuccess ? (picked === lastRepository() ? wanted : picked) : null}
            none={repositories.isSuccess && all.length === 0}
            reserved={reserved}
          />
          {models.length > 0 ? null : (
            <Disclosure summary="Options">
              <Field label="Model" id={`${id}-model`} hint="Left empty, the installation's own choice." className="mt-2 sm:w-64">
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
          )}
        </div>
      </form>
    </Card>
  );
}

/** The chosen branch is there even while the list is on its way. */
function BranchOptions({ names, chosen }: { names: string[]; chosen: string | null }) {
  if (chosen === null) return <option value="">Default</option>;
  const all = names.includes(chosen) ? names : [chosen, ...names];
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
  reserved: ReservationState;
}

function Forecast({ repository, branch, wanted, none, reserved }: ForecastProps) {
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
        {reserved === "none" ? null : (
          <span data-reserved={reserved} className={reserved === "ready" ? "text-ok" : "text-faint"}>
            {" "}
            {reserved === "ready" ? "A sandbox is ready for it." : "A sandbox is starting while you write."}
          </span>
        )}
      </span>
    </p>
  );
}
