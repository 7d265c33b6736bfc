/** A searchable choice by the ARIA combobox pattern: typing filters, arrows move, Enter takes, Escape closes. Knows no data. */
import { Check, ChevronsUpDown } from "lucide-react";
import { type KeyboardEvent, type ReactNode, useEffect, useId, useRef, useState } from "react";
import { cn } from "../lib/cn.ts";
import { inputStyles } from "./field.tsx";

export interface ComboboxOption {
  value: string;
  /** what is searched and what the input shows once chosen */
  label: string;
  /** stands after the label and is part of the option's name */
  note?: ReactNode;
}

interface ComboboxProps {
  id: string;
  options: readonly ComboboxOption[];
  value: string | null;
  onChange: (value: string) => void;
  placeholder: string;
  /** what its list is called */
  listLabel: string;
  /** said when nothing matches */
  empty: string;
  disabled?: boolean;
}

/** Where the arrow keys lead, round the ends; null for a key that does not move. */
function moveActive(key: string, active: number, count: number): number | null {
  const last = Math.max(0, count - 1);
  if (key === "ArrowDown") return active >= last ? 0 : active + 1;
  if (key === "ArrowUp") return active <= 0 ? last : active - 1;
  if (key === "Home") return 0;
  if (key === "End") return last;
  return null;
}

export function Combobox({ id, options, value, onChange, placeholder, listLabel, empty, disabled = false }: ComboboxProps) {
  const listId = useId();
  const [query, setQuery] = useState<string | null>(null);
  const [active, setActive] = useState(0);
  const root = useRef<HTMLDivElement>(null);
  const list = useRef<HTMLDivElement>(null);
  const open = query !== null;
  const chosen = options.find((option) => option.value === value);
  const words = (query ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  const matches = options.filter((option) => words.every((word) => option.label.toLowerCase().includes(word)));
  const current = matches[Math.min(active, matches.length - 1)];

  useEffect(() => {
    if (!open) return;
    list.current?.querySelector('[data-active="true"]')?.scrollIntoView?.({ block: "nearest" });
  });

  function show(): void {
    if (open || disabled) return;
    setQuery("");
    setActive(
      Math.max(
        0,
        options.findIndex((option) => option.value === value),
      ),
    );
  }

  function take(option: ComboboxOption | undefined): void {
    if (option === undefined) return;
    setQuery(null);
    onChange(option.value);
  }

  function onKeyDown(event: KeyboardEvent<HTMLInputElement>): void {
    // Ctrl or Cmd with Enter belongs to the form around it.
    if (event.ctrlKey || event.metaKey) return;
    if (!open && (event.key === "ArrowDown" || event.key === "ArrowUp")) show();
    else if (!open) return;
    else if (event.key === "Enter") take(current);
    else if (event.key === "Escape") setQuery(null);
    else {
      const next = moveActive(event.key, active, matches.length);
      if (next === null) return;
      setActive(next);
    }
    event.preventDefault();
    event.stopPropagation();
  }

  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: it only hears that the focus has left
    <div
      ref={root}
      className="relative"
      onBlur={(event) => {
        if (!root.current?.contains(event.relatedTarget)) setQuery(null);
      }}
    >
      <input
        id={id}
        role="combobox"
        aria-expanded={open}
        aria-controls={listId}
        aria-autocomplete="list"
        aria-activedescendant={open && current !== undefined ? `${listId}-${current.value}` : undefined}
        autoComplete="off"
        spellCheck={false}
        disabled={disabled}
        placeholder={open && chosen !== undefined ? chosen.label : placeholder}
        value={query ?? chosen?.label ?? ""}
        onChange={(event) => {
          setQuery(event.target.value);
          setActive(0);
        }}
        onClick={show}
        onKeyDown={onKeyDown}
        className={cn(inputStyles, "h-9 truncate pr-8")}
      />
      <ChevronsUpDown aria-hidden="true" className="pointer-events-none absolute top-2.5 right-2.5 size-4 text-faint" />
      <div
        ref={list}
        id={listId}
        role="listbox"
        aria-label={listLabel}
        hidden={!open}
        className="absolute inset-x-0 top-10 z-30 max-h-72 overflow-y-auto rounded-lg border border-line-strong bg-raised p-1 shadow-pop"
      >
        {matches.map((option) => (
          // biome-ignore lint/a11y/useKeyWithClickEvents: the input above has the focus and takes the keys
          // biome-ignore lint/a11y/useFocusableInteractive: by the pattern, options are reached by aria-activedescendant
          <div
            key={option.value}
            id={`${listId}-${option.value}`}
            role="option"
            aria-selected={option.value === value}
            data-active={option === current}
            onPointerDown={(event) => event.preventDefault()}
            onPointerMove={() => setActive(matches.indexOf(option))}
            onClick={() => take(option)}
            className={cn("flex items-center gap-2 rounded-md px-2 py-1.5 text-sm", option === current && "bg-hover")}
          >
            <Check aria-hidden="true" className={cn("size-3.5 shrink-0", option.value !== value && "invisible")} />
            <span className="min-w-0 flex-1 truncate">{option.label}</span> {option.note}
          </div>
        ))}
        {matches.length === 0 ? <p className="px-2 py-3 text-center text-faint text-sm">{empty}</p> : null}
      </div>
    </div>
  );
}
