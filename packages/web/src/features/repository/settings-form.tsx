/** What a person sets for a repository's images: the limit of a build, how many images are kept, how they are rebuilt. */
import { type ImageSettings, imageSettingsSchema, type RepositoryView } from "@open-inspect/protocol";
import { type FormEvent, useId, useState } from "react";
import { toApiError } from "../../lib/api.ts";
import { cn } from "../../lib/cn.ts";
import { useImageChoices } from "../../lib/image-actions.ts";
import { Button } from "../../ui/button.tsx";
import { Field, inputStyles, Select } from "../../ui/field.tsx";
import { Card, ErrorNotice } from "../../ui/page.tsx";

type Name = keyof ImageSettings;
type Draft = Partial<Record<Name, string>>;

/** What the protocol refuses, in words that say what fits. */
const faultWords: Record<Name, string> = {
  limitMinutes: "A whole number of minutes from 1 to 60.",
  keptImages: "A whole number from 1 to 10.",
  rebuildMode: "Choose one of the two.",
};
const names = Object.keys(faultWords) as Name[];

const asText = (settings: ImageSettings): Record<Name, string> => ({
  limitMinutes: String(settings.limitMinutes),
  keptImages: String(settings.keptImages),
  rebuildMode: settings.rebuildMode,
});

/** The settings, or the fields that are not right. */
function readDraft(values: Record<Name, string>): { settings: ImageSettings } | { faults: Draft } {
  const number = (text: string) => (text.trim() === "" ? Number.NaN : Number(text));
  const parsed = imageSettingsSchema.safeParse({
    ...values,
    limitMinutes: number(values.limitMinutes),
    keptImages: number(values.keptImages),
  });
  if (parsed.success) return { settings: parsed.data };
  const wrong = new Set(parsed.error.issues.map((issue) => issue.path[0]));
  return { faults: Object.fromEntries(names.filter((name) => wrong.has(name)).map((name) => [name, faultWords[name]])) };
}

export function SettingsForm({ repository }: { repository: RepositoryView }) {
  const { saveSettings } = useImageChoices(repository);
  const id = useId();
  const [draft, setDraft] = useState<Draft>({});
  const [faults, setFaults] = useState<Draft>({});
  const saved = asText(repository.image.settings);
  const values = { ...saved, ...draft };
  const isChanged = names.some((name) => values[name] !== saved[name]);
  const refused = saveSettings.error === null ? null : toApiError(saveSettings.error);
  const isNamed = (name: Name) => refused?.message.includes(name) ?? false;
  const faultOf = (name: Name) => faults[name] ?? (isNamed(name) ? refused?.message : undefined);

  function change(name: Name, value: string): void {
    setDraft({ ...draft, [name]: value });
    setFaults({ ...faults, [name]: undefined });
    saveSettings.reset();
  }

  function submit(event: FormEvent): void {
    event.preventDefault();
    const read = readDraft(values);
    if ("faults" in read) {
      setFaults(read.faults);
      document.getElementById(`${id}-${names.find((name) => read.faults[name] !== undefined)}`)?.focus();
      return;
    }
    saveSettings.mutate(read.settings, { onSuccess: () => setDraft({}) });
  }

  const inputProps = (name: Name) => ({
    id: `${id}-${name}`,
    value: values[name],
    onChange: (event: { target: { value: string } }) => change(name, event.target.value),
    "aria-invalid": faultOf(name) !== undefined,
    "aria-describedby": `${id}-${name}-note`,
  });

  return (
    <Card>
      <form noValidate onSubmit={submit} aria-label="Image settings" className="space-y-4 px-4 py-4">
        <div className="grid gap-4 sm:grid-cols-3">
          <Field
            id={`${id}-limitMinutes`}
            label="Limit of a build, minutes"
            hint="A build that takes longer is ended. At most 60."
            error={faultOf("limitMinutes")}
          >
            <input type="number" min={1} max={60} className={cn(inputStyles, "h-9")} {...inputProps("limitMinutes")} />
          </Field>
          <Field
            id={`${id}-keptImages`}
            label="Kept images"
            hint="The active one included, 1 to 10. A pinned one comes on top."
            error={faultOf("keptImages")}
          >
            <input type="number" min={1} max={10} className={cn(inputStyles, "h-9")} {...inputProps("keptImages")} />
          </Field>
          <Field
            id={`${id}-rebuildMode`}
            label="Rebuild mode"
            hint="Automatic builds on the image before where the inputs allow it. Clean is slower and starts from the base each time."
            error={faultOf("rebuildMode")}
          >
            <Select {...inputProps("rebuildMode")}>
              <option value="auto">Automatic</option>
              <option value="clean">Clean</option>
            </Select>
          </Field>
        </div>
        {refused === null || names.some(isNamed) ? null : <ErrorNotice error={refused} />}
        <div className="flex flex-wrap items-center gap-3">
          <Button type="submit" look="solid" disabled={!isChanged || saveSettings.isPending} aria-busy={saveSettings.isPending}>
            Save
          </Button>
          {isChanged ? (
            <Button
              look="ghost"
              onClick={() => {
                setDraft({});
                setFaults({});
                saveSettings.reset();
              }}
            >
              Take back
            </Button>
          ) : null}
          <span role="status" className="text-muted text-sm">
            {saveSettings.isSuccess && !isChanged ? "Saved." : ""}
          </span>
        </div>
      </form>
    </Card>
  );
}
