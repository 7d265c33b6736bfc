/** The search of a log: text, how many matches, and the way from one to the next. Enter and Shift+Enter step, Escape clears. */
import { ChevronDown, ChevronUp, Search } from "lucide-react";
import { cn } from "../lib/cn.ts";
import { matchesMax } from "../lib/log-search.ts";
import { Button } from "./button.tsx";
import { inputStyles } from "./field.tsx";

interface LogSearchBoxProps {
  query: string;
  onQuery: (query: string) => void;
  /** how many matches there are, and which of them is stepped to: from 0, null before the first step */
  count: number;
  current: number | null;
  onStep: (by: 1 | -1) => void;
}

export function LogSearchBox({ query, onQuery, count, current, onStep }: LogSearchBoxProps) {
  return (
    <div className="flex min-w-0 items-center gap-1">
      <span className="relative min-w-0">
        <Search aria-hidden="true" className="pointer-events-none absolute top-2 left-2 size-3.5 text-faint" />
        <input
          type="search"
          aria-label="Search the log"
          placeholder="Search"
          value={query}
          onChange={(event) => onQuery(event.target.value)}
          onKeyDown={(event) => {
            if (event.key === "Enter") onStep(event.shiftKey ? -1 : 1);
            else if (event.key === "Escape" && query !== "") onQuery("");
            else return;
            event.preventDefault();
          }}
          className={cn(inputStyles, "h-7.5 w-36 pr-2 pl-7 sm:w-52 sm:text-xs")}
        />
      </span>
      <span role="status" className="whitespace-nowrap">
        {query === "" ? "" : describeMatches(count, current)}
      </span>
      {query === "" ? null : (
        <>
          <Button look="ghost" size="icon" aria-label="Previous match" disabled={count === 0} onClick={() => onStep(-1)}>
            <ChevronUp aria-hidden="true" />
          </Button>
          <Button look="ghost" size="icon" aria-label="Next match" disabled={count === 0} onClick={() => onStep(1)}>
            <ChevronDown aria-hidden="true" />
          </Button>
        </>
      )}
    </div>
  );
}

function describeMatches(count: number, current: number | null): string {
  if (count === 0) return "No match";
  const many = count.toLocaleString("en") + (count === matchesMax ? "+" : "");
  if (current !== null) return `${(current + 1).toLocaleString("en")} of ${many}`;
  return count === 1 ? "1 match" : `${many} matches`;
}
