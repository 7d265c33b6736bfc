/** A named fact in a description list. */
import { type ReactNode } from "react";
import { cn } from "../lib/cn.ts";

export function Fact({ name, className, children }: { name: string; className?: string; children: ReactNode }) {
  return (
    <div className={cn("min-w-0", className)}>
      <dt className="text-faint text-xs">{name}</dt>
      <dd className="break-words">{children}</dd>
    </div>
  );
}
