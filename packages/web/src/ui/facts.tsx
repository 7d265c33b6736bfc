/** Short facts on one line with dots between them; those that are null are left out. */
import { type ReactNode } from "react";

export function Facts({ facts }: { facts: ReactNode[] }) {
  const known = facts.filter((fact) => fact !== null);
  return (
    <span className="flex flex-wrap items-baseline gap-x-1.5">
      {known.map((fact, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: facts keep their order and hold no state worth keeping
        <span key={index} className="flex min-w-0 items-baseline gap-x-1.5">
          <span className="min-w-0 break-words">{fact}</span>
          {index < known.length - 1 ? (
            <span aria-hidden="true" className="text-faint">
              ·
            </span>
          ) : null}
        </span>
      ))}
    </span>
  );
}
