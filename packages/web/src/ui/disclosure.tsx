/** A fold: the platform's own `details`, so that it needs no script and the browser's search can open it. */
import { ChevronRight } from "lucide-react";
import { type ReactNode, useState } from "react";
import { cn } from "../lib/cn.ts";

interface DisclosureProps {
  summary: ReactNode;
  children: ReactNode;
  open?: boolean;
  className?: string;
}

/** Its content is made when it is first opened: folded output of a long session costs nothing. */
export function Disclosure({ summary, children, open = false, className }: DisclosureProps) {
  const [shown, setShown] = useState(open);
  const [wasShown, setWasShown] = useState(open);
  return (
    <details
      className={className}
      open={shown}
      onToggle={(event) => {
        setShown(event.currentTarget.open);
        if (event.currentTarget.open) setWasShown(true);
      }}
    >
      <summary className="flex min-w-0 items-center gap-1.5 rounded-sm text-muted text-sm hover:text-fg">
        <ChevronRight
          aria-hidden="true"
          className={cn("size-3.5 shrink-0 text-faint transition-transform", shown && "rotate-90")}
        />
        <span className="flex min-w-0 flex-1 items-baseline gap-2">{summary}</span>
      </summary>
      {wasShown ? children : null}
    </details>
  );
}
