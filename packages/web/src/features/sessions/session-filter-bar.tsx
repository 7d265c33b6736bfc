/** What the list of sessions is narrowed to; the address keeps it. */
import { type Person, type RepositoryView } from "@open-inspect/protocol";
import { ChevronDown, Search, X } from "lucide-react";
import { type ReactNode, type RefObject, useEffect, useState } from "react";
import { cn } from "../../lib/cn.ts";
import { filterStatuses, isFiltered, readFilters, type SessionFilters } from "../../lib/session-filters.ts";
import { sessionWords } from "../../lib/words.ts";
import { Button } from "../../ui/button.tsx";
import { inputStyles } from "../../ui/field.tsx";

/** Typing rests for so long before it is searched for. */
const restMs = 250;

interface SessionFilterBarProps {
  filters: SessionFilters;
  onFilters: (filters: SessionFilters) => void;
  repositories: readonly RepositoryView[];
  /** whoever began one of the sessions that are shown */
  authors: readonly Person["name"][];
  field: RefObject<HTMLInputElement | null>;
}

const statusName = (status: (typeof filterStatuses)[number]): string =>
  status === "active" ? "With a sandbox" : sessionWords[status].word;

/** Filters that are read as one word each; "Created" and the like pass too quickly to be looked for. */
const offered = filterStatuses.filter((status) => ["active", "ready", "stopped", "failed"].includes(status));

export function SessionFilterBar({ filters, onFilters, repositories, authors, field }: SessionFilterBarProps) {
  const [text, setText] = useState(filters.q ?? "");
  const asked = filters.q ?? "";
  // The address has changed by itself: by going back, or by clearing.
  useEffect(() => setText(asked), [asked]);
  useEffect(() => {
    if (text.trim() === asked) return;
    const timer = setTimeout(() => change("q", text.trim()), restMs);
    return () => clearTimeout(timer);
  });

  function change(name: "q" | "repository" | "status" | "author", value: string): void {
    onFilters(readFilters({ ...filters, [name]: value }));
  }

  const withChosen = (all: readonly string[], chosen: string | undefined) =>
    chosen === undefined || all.includes(chosen) ? all : [chosen, ...all];
  return (
    <search aria-label="Sessions" className="mb-2 flex flex-wrap items-center gap-2">
      <div className="relative min-w-0 flex-1 basis-48 max-sm:basis-full">
        <Search aria-hidden="true" className="pointer-events-none absolute top-2 left-2.5 size-4 text-faint" />
        <input
          ref={field}
          type="search"
          aria-label="Search sessions"
          aria-keyshortcuts="/"
          placeholder="Search sessions"
          title="Searches titles, repositories, branches and first prompts"
          value={text}
          maxLength={200}
          onChange={(event) => setText(event.target.value)}
          className={`${inputStyles} h-8 pl-8`}
        />
      </div>
      <Choice label="Filter by status" value={filters.status ?? ""} onChange={(value) => change("status", value)}>
        <option value="">Status</option>
        {withChosen(offered, filters.status).map((status) => (
          <option key={status} value={status}>
            {statusName(filterStatuses.find((each) => each === status) ?? "active")}
          </option>
        ))}
      </Choice>
      <Choice label="Filter by repository" value={filters.repository ?? ""} onChange={(value) => change("repository", value)}>
        <option value="">Repository</option>
        {withChosen(
          repositories.map(({ owner, name }) => `${owner}/${name}`),
          filters.repository,
        ).map((name) => (
          <option key={name}>{name}</option>
        ))}
      </Choice>
      {authors.length === 0 && filters.author === undefined ? null : (
        <Choice label="Filter by author" value={filters.author ?? ""} onChange={(value) => change("author", value)}>
          <option value="">Author</option>
          {withChosen(authors, filters.author).map((name) => (
            <option key={name}>{name}</option>
          ))}
        </Choice>
      )}
      {isFiltered(filters) ? (
        <Button look="ghost" onClick={() => onFilters({})}>
          <X aria-hidden="true" />
          Clear
        </Button>
      ) : null}
    </search>
  );
}

/** Which of the two lists is shown. */
export function ArchivedSwitch({ filters, onFilters }: Pick<SessionFilterBarProps, "filters" | "onFilters">) {
  const { archived, ...unarchived } = filters;
  return (
    <label className="flex items-center gap-1.5 text-muted text-sm">
      <input
        type="checkbox"
        className="accent-accent"
        checked={archived === true}
        onChange={(event) => onFilters(event.target.checked ? { ...unarchived, archived: true } : unarchived)}
      />
      Archived
    </label>
  );
}

interface ChoiceProps {
  label: string;
  value: string;
  onChange: (value: string) => void;
  children: ReactNode;
}

function Choice({ label, value, onChange, children }: ChoiceProps) {
  return (
    <span className="relative inline-flex min-w-0 max-sm:max-w-none max-sm:flex-1 max-sm:basis-24 sm:max-w-44">
      <select
        aria-label={label}
        value={value}
        onChange={(event) => onChange(event.target.value)}
        className={cn(
          inputStyles,
          "h-8 appearance-none truncate pr-7 pl-2.5 text-sm max-sm:pr-6 max-sm:pl-2",
          value === "" ? "text-muted" : "font-medium",
        )}
      >
        {children}
      </select>
      <ChevronDown aria-hidden="true" className="pointer-events-none absolute top-2 right-2 size-4 text-faint max-sm:right-1" />
    </span>
  );
}
