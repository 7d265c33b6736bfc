/** The choice of a model in a bar. Without a list there is nothing to choose. */
import { ChevronDown } from "lucide-react";

interface ModelSelectProps {
  /** the first is the default */
  models: readonly string[];
  /** null: the default */
  value: string | null;
  onChange: (model: string) => void;
}

export function ModelSelect({ models, value, onChange }: ModelSelectProps) {
  if (models.length === 0) return null;
  const chosen = value ?? models[0] ?? "";
  const all = models.includes(chosen) ? models : [chosen, ...models];
  return (
    <span className="relative inline-flex min-w-0 max-w-52">
      <select
        aria-label="Model"
        value={chosen}
        onChange={(event) => onChange(event.target.value)}
        className="h-8 min-w-0 appearance-none truncate rounded-md bg-transparent pr-6 pl-2 text-muted text-xs hover:bg-hover hover:text-fg"
      >
        {all.map((model) => (
          <option key={model} value={model}>
            {model}
          </option>
        ))}
      </select>
      <ChevronDown aria-hidden="true" className="pointer-events-none absolute top-2.5 right-1.5 size-3 text-faint" />
    </span>
  );
}
