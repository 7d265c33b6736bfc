/** The frame of a page and its plain parts: header, card, skeleton, hints for "nothing here" and "that failed". */
import { Link } from "@tanstack/react-router";
import { CircleAlert, Compass, RotateCw } from "lucide-react";
import { type ReactNode } from "react";
import { toApiError } from "../lib/api.ts";
import { cn } from "../lib/cn.ts";
import { Button } from "./button.tsx";

interface PageProps {
  title: ReactNode;
  /** stands before the title, on its line */
  lead?: ReactNode;
  subtitle?: ReactNode;
  actions?: ReactNode;
  children: ReactNode;
}

export function Page({ title, lead, subtitle, actions, children }: PageProps) {
  return (
    <div className="mx-auto w-full max-w-5xl px-4 pt-6 pb-16 sm:px-8 sm:pt-9">
      <header className="mb-6 flex flex-wrap items-start justify-between gap-x-6 gap-y-3">
        <div className="min-w-0 flex-1 basis-64">
          <div className="flex min-w-0 flex-wrap items-center gap-x-3 gap-y-1">
            <h1 className="min-w-0 break-words font-semibold text-xl tracking-tight">{title}</h1>
            {lead}
          </div>
          {subtitle ? <div className="mt-1 break-words text-muted text-sm">{subtitle}</div> : null}
        </div>
        {actions ? <div className="flex shrink-0 items-center gap-2">{actions}</div> : null}
      </header>
      {children}
    </div>
  );
}

export function Card({ className, children, ...props }: { className?: string; children: ReactNode; "aria-label"?: string }) {
  return (
    <section className={cn("rounded-lg border border-line bg-raised shadow-card", className)} {...props}>
      {children}
    </section>
  );
}

export function SectionTitle({ children, aside }: { children: ReactNode; aside?: ReactNode }) {
  return (
    <div className="mb-2 flex items-center justify-between gap-3">
      <h2 className="font-medium text-muted text-sm">{children}</h2>
      {aside}
    </div>
  );
}

function Skeleton({ className }: { className?: string }) {
  return <span aria-hidden="true" className={cn("block animate-pulse rounded bg-hover", className)} />;
}

/** Rows that stand in for a list while it loads; heard as "Loading". */
export function SkeletonRows({ rows, label }: { rows: number; label: string }) {
  return (
    <div role="status" aria-label={label} className="divide-y divide-line">
      {Array.from({ length: rows }, (_, row) => row).map((row) => (
        <div key={row} className="flex items-center gap-4 px-4 py-4">
          <Skeleton className="h-4 w-40 max-w-[40%]" />
          <Skeleton className="h-4 w-20" />
          <Skeleton className="ml-auto h-4 w-24 max-w-[25%]" />
        </div>
      ))}
    </div>
  );
}

export function EmptyState({ icon, title, children }: { icon: ReactNode; title: string; children: ReactNode }) {
  return (
    <div className="flex flex-col items-center px-6 py-12 text-center">
      <div
        aria-hidden="true"
        className="mb-3 flex size-9 items-center justify-center rounded-lg border border-line bg-sunken text-faint [&_svg]:size-4.5"
      >
        {icon}
      </div>
      <h2 className="font-medium">{title}</h2>
      <div className="mt-1 max-w-md text-balance text-muted text-sm">{children}</div>
    </div>
  );
}

/** An empty list among others on its page. */
export function EmptyNote({ children }: { children: ReactNode }) {
  return <div className="px-4 py-4 text-muted text-sm">{children}</div>;
}

/** Asking again for what does not exist, or cannot, leads nowhere. */
const isHopeless = (error: unknown) => [400, 404, 410].includes(toApiError(error).status);

/** A page's thing could not be loaded: because there is none, or for a reason that may pass. */
export function LoadFailure({ what, error, onRetry }: { what: Thing; error: unknown; onRetry: () => void }) {
  return isHopeless(error) ? <NotThere what={what} /> : <ErrorNotice error={error} onRetry={onRetry} />;
}

type Thing = "build" | "session" | "repository";

/** Nothing is at the address, with the way to where such things are listed. */
export function NotThere({ what }: { what: Thing }) {
  return (
    <EmptyState icon={<Compass />} title={`There is no ${what} at this address`}>
      <p className="mb-4">The address may have been mistyped, or the {what} is gone.</p>
      <Button asChild>
        {what === "session" ? <Link to="/">Go to Sessions</Link> : <Link to="/settings/images">Go to Settings &gt; Images</Link>}
      </Button>
    </EmptyState>
  );
}

/** A failure in words: what happened, what to do, and another try where that can help. */
export function ErrorNotice({ error, onRetry, className }: { error: unknown; onRetry?: () => void; className?: string }) {
  const { message, hint, code } = toApiError(error);
  return (
    <div
      role="alert"
      data-code={code}
      className={cn("flex flex-wrap items-start gap-2.5 rounded-md bg-bad-soft px-3.5 py-2.5 text-sm", className)}
    >
      <CircleAlert aria-hidden="true" className="mt-0.5 size-4 shrink-0 text-bad" />
      <div className="min-w-0 flex-1 basis-48 break-words">
        <p className="font-medium text-bad">{message}</p>
        {hint ? <p className="text-fg/80">{hint}</p> : null}
      </div>
      {onRetry && !isHopeless(error) ? (
        <Button onClick={onRetry}>
          <RotateCw aria-hidden="true" />
          Try again
        </Button>
      ) : null}
    </div>
  );
}
