/** Short facts with dots between them; those that are null are left out. */
import { type ReactNode } from "react";

interface FactsProps {
  facts: ReactNode[];
  /** what does not fit is cut off with an ellipsis instead of going on in a second line */
  isOneLine?: boolean;
}

export function Facts({ facts, isOneLine = false }: FactsProps) {
  const known = facts.filter((fact) => fact !== null);
  if (isOneLine) {
    return (
      <span className="block truncate">
        {known.map((fact, index) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: facts keep their order and hold no state worth keeping
          <span key={index}>
            {index === 0 ? null : (
              <span aria-hidden="true" className="px-1.5 text-faint">
                ·
              </span>
            )}
            {fact}
          </span>
        ))}
      </span>
    );
  }
  return (
    // A dot stands before its fact, and outside of what is seen where the fact begins a line. A focus ring may reach over the edge.
    <span className="block overflow-clip [overflow-clip-margin:4px]">
      <span className="-ml-4 flex flex-wrap items-baseline">
        {known.map((fact, index) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: facts keep their order and hold no state worth keeping
          <span key={index} className="flex min-w-0 items-baseline">
            <span aria-hidden="true" className="w-4 shrink-0 select-none text-center text-faint">
              ·
            </span>
            <span className="min-w-0 break-words">{fact}</span>
          </span>
        ))}
      </span>
    </span>
  );
}
