/** What a repository sets for its sessions: sandboxes that stand ready, in which hours, and when an idle session is stopped. */
import { type PoolView, type RepositoryRef, type SessionSettings, sessionSettingsSchema } from "@open-inspect/protocol";
import { type FormEvent, useId, useState } from "react";
import { toApiError } from "../../lib/api.ts";
import { useNow } from "../../lib/clock.ts";
import { cn } from "../../lib/cn.ts";
import { usePool } from "../../lib/pool.ts";
import { Button } from "../../ui/button.tsx";
import { Field, inputStyles, Select } from "../../ui/field.tsx";
import { Card, ErrorNotice, SkeletonRows } from "../../ui/page.tsx";

const sizes = [0, 1, 2, 3, 4, 5];
const hoursOfDay = Array.from({ length: 24 }, (_, hour) => hour);
const tickMs = 30_000;
const timeZones = ["UTC", ...Intl.supportedValuesOf("timeZone").filter((zone) => zone !== "UTC")];

export function PoolCard({ repository }: { repository: RepositoryRef }) {
  const { pool, save } = usePool(repository);
  return (
    <Card>
      {pool.data !== undefined ? (
        <>
          <Standing pool={pool.data} />
          <PoolForm saved={pool.data.settings} save={save} />
        </>
      ) : pool.error !== null ? (
        <ErrorNotice error={pool.error} onRetry={() => void pool.refetch()} className="m-3" />
      ) : (
        <SkeletonRows rows={2} label="Loading the session settings" />
      )}
    </Card>
  );
}

/** As the server counts the hours; one of an unknown time zone counts as chosen. */
function isOpenAt(now: number, { poolHours, poolTimeZone }: SessionSettings): boolean {
  try {
    const format = new Intl.DateTimeFormat("en", { hour: "numeric", hourCycle: "h23", timeZone: poolTimeZone });
    return poolHours.length === 0 || poolHours.includes(Number(format.format(now)));
  } catch {
    return true;
  }
}

function Standing({ pool: { settings, ready, starting, problem } }: { pool: PoolView }) {
  const isEmpty = ready === 0 && starting === 0;
  const isOpen = isOpenAt(useNow(tickMs), settings);
  return (
    <div className="border-line border-b px-4 py-3 text-sm" data-ready={ready} data-starting={starting}>
      <p role="status">
        {isEmpty && (settings.poolSize === 0 || !isOpen) ? (
          <span className="text-muted">
            {settings.poolSize === 0 ? "No sandboxes stand ready." : "No sandboxes stand ready outside of the chosen hours."} A
            session starts its own.
          </span>
        ) : (
          <>
            <span className="font-medium">{ready} ready</span>
            {starting > 0 ? <span className="text-warn">, {starting} starting</span> : null}
            <span className="text-muted"> of {settings.poolSize}</span>
          </>
        )}
      </p>
      {problem === null ? null : <p className="mt-1 break-words text-bad">{problem}</p>}
    </div>
  );
}

type Draft = Partial<SessionSettings & { idleText: string }>;

function PoolForm({ saved, save }: { saved: SessionSettings; save: ReturnType<typeof usePool>["save"] }) {
  const id = useId();
  const [draft, setDraft] = useState<Draft>({});
  const { idleText = String(draft.idleStopMinutes ?? saved.idleStopMinutes), ...changed } = draft;
  const idleStopMinutes = idleText.trim() === "" ? Number.NaN : Number(idleText);
  const settings: SessionSettings = { ...saved, ...changed, idleStopMinutes };
  const isIdleRight = sessionSettingsSchema.shape.idleStopMinutes.safeParse(idleStopMinutes).success;
  const isChanged = JSON.stringify({ ...saved, ...settings }) !== JSON.stringify(saved);
  const refused = save.error === null ? null : toApiError(save.error);
  const isAboutZone = refused?.message.includes("poolTimeZone") ?? false;

  function change(part: Draft): void {
    setDraft({ ...draft, ...part });
    save.reset();
  }

  function takeBack(): void {
    setDraft({});
    save.reset();
  }

  function submit(event: FormEvent): void {
    event.preventDefault();
    if (!isIdleRight) {
      document.getElementById(`${id}-idle`)?.focus();
      return;
    }
    save.mutate(settings, { onSuccess: () => setDraft({}) });
  }

  function toggle(hour: number): void {
    const others = settings.poolHours.filter((each) => each !== hour);
    const hours = others.length === settings.poolHours.length ? [...others, hour] : others;
    change({ poolHours: hours.sort((a, b) => a - b) });
  }

  return (
    <form noValidate onSubmit={submit} aria-label="Session settings" className="space-y-4 px-4 py-4">
      <div className="grid gap-4 sm:grid-cols-3">
        <Field
          id={`${id}-size`}
          label="Sandboxes that stand ready"
          hint="Started from the active image before anybody asks. Each costs what a running sandbox costs."
        >
          <Select
            id={`${id}-size`}
            value={settings.poolSize}
            aria-describedby={`${id}-size-note`}
            onChange={(event) => change({ poolSize: Number(event.target.value) })}
          >
            {sizes.map((size) => (
              <option key={size} value={size}>
                {size === 0 ? "None" : size}
              </option>
            ))}
          </Select>
        </Field>
        <Field
          id={`${id}-zone`}
          label="Time zone of the hours"
          hint="Summer time is followed."
          error={isAboutZone ? refused?.message : undefined}
        >
          <input
            id={`${id}-zone`}
            list={`${id}-zones`}
            value={settings.poolTimeZone}
            aria-invalid={isAboutZone}
            aria-describedby={`${id}-zone-note`}
            onChange={(event) => change({ poolTimeZone: event.target.value })}
            className={cn(inputStyles, "h-9")}
          />
          <datalist id={`${id}-zones`}>
            {timeZones.map((zone) => (
              <option key={zone} value={zone} />
            ))}
          </datalist>
        </Field>
        <Field
          id={`${id}-idle`}
          label="Stop an idle session after, minutes"
          hint="Its files are kept, and its next prompt goes on with them. Holds for new sessions."
          error={isIdleRight ? undefined : "A whole number of minutes from 1 to 720."}
        >
          <input
            id={`${id}-idle`}
            type="number"
            min={1}
            max={720}
            value={idleText}
            aria-invalid={!isIdleRight}
            aria-describedby={`${id}-idle-note`}
            onChange={(event) => change({ idleText: event.target.value })}
            className={cn(inputStyles, "h-9")}
          />
        </Field>
      </div>
      <fieldset aria-describedby={`${id}-hours-note`} disabled={settings.poolSize === 0} className="disabled:opacity-50">
        <legend className="mb-1 font-medium text-muted text-xs">Hours in which they stand ready</legend>
        <div className="grid grid-cols-8 gap-1 sm:grid-cols-12 lg:grid-cols-24">
          {hoursOfDay.map((hour) => (
            <label
              key={hour}
              className="flex h-8 cursor-pointer items-center justify-center rounded-md border border-control text-sm tabular-nums focus-within:outline-2 focus-within:outline-accent has-checked:border-transparent has-checked:bg-solid has-checked:text-on-solid"
            >
              <input
                type="checkbox"
                className="sr-only"
                checked={settings.poolHours.includes(hour)}
                onChange={() => toggle(hour)}
                aria-label={`${hour}:00 to ${hour}:59`}
              />
              {hour}
            </label>
          ))}
        </div>
        <p id={`${id}-hours-note`} className="mt-1 text-faint text-xs">
          {settings.poolHours.length === 0 ? "None chosen: around the clock." : "Outside of them no sandbox stands ready."}
        </p>
      </fieldset>
      {refused === null || isAboutZone ? null : <ErrorNotice error={refused} />}
      <div className="flex flex-wrap items-center gap-3">
        <Button type="submit" look="solid" disabled={!isChanged || save.isPending} aria-busy={save.isPending}>
          Save
        </Button>
        {isChanged ? (
          <Button look="ghost" onClick={takeBack}>
            Take back
          </Button>
        ) : null}
        <span role="status" className="text-muted text-sm">
          {save.isSuccess && !isChanged ? "Saved." : ""}
        </span>
      </div>
    </form>
  );
}
