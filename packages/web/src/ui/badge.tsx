/** A state as one word with a dot: word and colour say the same, so that neither is needed alone. */
import { cva } from "class-variance-authority";
import { cn } from "../lib/cn.ts";
import { type Tone } from "../lib/words.ts";

const badgeStyles = cva(
  "inline-flex h-5.5 shrink-0 items-center gap-1.5 whitespace-nowrap rounded-full px-2 font-medium text-xs",
  {
    variants: {
      tone: {
        ok: "bg-ok-soft text-ok",
        warn: "bg-warn-soft text-warn",
        bad: "bg-bad-soft text-bad",
        accent: "bg-accent-soft text-accent",
        neutral: "bg-hover text-muted",
      } satisfies Record<Tone, string>,
    },
  },
);

const dotColours: Record<Tone, string> = {
  ok: "bg-ok-dot",
  warn: "bg-warn-dot",
  bad: "bg-bad-dot",
  accent: "bg-accent",
  neutral: "bg-faint",
};

interface StatusBadgeProps {
  /** the protocol's word, for tests and styles */
  status: string;
  word: string;
  tone: Tone;
  busy?: boolean | undefined;
  className?: string;
}

export function StatusBadge({ status, word, tone, busy = false, className }: StatusBadgeProps) {
  return (
    <span data-status={status} data-tone={tone} className={cn(badgeStyles({ tone }), className)}>
      <span
        aria-hidden="true"
        className={cn("size-1.5 rounded-full", dotColours[tone], busy && tone === "warn" && "pulse-dot")}
      />
      {word}
    </span>
  );
}
