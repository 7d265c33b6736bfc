/** Form fields: label, input looks, and the platform's own select in our clothes. */
import { ChevronDown } from "lucide-react";
import { type ComponentProps, type ReactNode } from "react";
import { cn } from "../lib/cn.ts";

export const inputStyles =
  "w-full rounded-md border border-control bg-raised px-3 text-base text-fg shadow-card placeholder:text-faint disabled:opacity-50 aria-invalid:border-bad sm:text-sm";

interface FieldProps {
  label: string;
  id: string;
  /** id of the label, for widgets that are named by reference */
  labelId?: string;
  hint?: ReactNode;
  /** what is wrong with the value; with the hint it is the element `<id>-note`, for `aria-describedby` */
  error?: string | undefined;
  children: ReactNode;
  className?: string;
}

export function Field({ label, id, labelId, hint, error, children, className }: FieldProps) {
  return (
    <div className={cn("min-w-0", className)}>
      <label id={labelId} htmlFor={id} className="mb-1 block font-medium text-muted text-xs">
        {label}
      </label>
      {children}
      <div id={`${id}-note`}>
        {error === undefined ? null : <p className="mt-1 font-medium text-bad text-xs">{error}</p>}
        {hint ? <p className="mt-1 text-faint text-xs">{hint}</p> : null}
      </div>
    </div>
  );
}

export function Select({ className, ...props }: ComponentProps<"select">) {
  return (
    <div className="relative">
      <select className={cn(inputStyles, "h-9 appearance-none truncate pr-8", className)} {...props} />
      <ChevronDown aria-hidden="true" className="pointer-events-none absolute top-2.5 right-2.5 size-4 text-faint" />
    </div>
  );
}
