/** A failed build or session: the cause in a sentence, what to do, and the last lines that were printed. */
import { type Failure } from "@open-inspect/protocol";
import { type ReactNode } from "react";
import { stripAnsi } from "../lib/ansi.ts";
import { phaseNames } from "../lib/words.ts";
import { Disclosure } from "./disclosure.tsx";

const previewLines = 5;

interface FailurePanelProps {
  failure: Failure;
  /** shows all lines at once, where the failure is what the page is about */
  open?: boolean;
  children?: ReactNode;
}

export function FailurePanel({ failure, open = false, children }: FailurePanelProps) {
  const where = [
    failure.phase === null ? null : `in ${phaseNames[failure.phase].toLowerCase()}`,
    failure.exitCode === null || /exit(ed with)? code/i.test(failure.message) ? null : `exit code ${failure.exitCode}`,
  ].filter((part) => part !== null);
  return (
    <div data-failure={failure.code} className="min-w-0 rounded-md border border-bad/25 bg-bad-soft px-3.5 py-2.5 text-sm">
      <p className="break-words font-medium text-bad">
        {failure.message}
        {where.length > 0 ? <span className="font-normal text-bad/90"> ({where.join(", ")})</span> : null}
      </p>
      {failure.hint ? <p className="mt-0.5 break-words text-fg/85">{failure.hint}</p> : null}
      {failure.lines.length > 0 ? <Lines lines={failure.lines} open={open} /> : null}
      {children}
    </div>
  );
}

/** The last few lines are always in view: they are the real cause. The rest is one click away. */
function Lines({ lines, open }: { lines: string[]; open: boolean }) {
  const shown = open ? lines : lines.slice(-previewLines);
  const rest = lines.slice(0, lines.length - shown.length);
  return (
    <>
      {rest.length > 0 ? (
        <Disclosure className="mt-1.5" summary={`${rest.length} more ${rest.length === 1 ? "line" : "lines"} before`}>
          <OutputBlock label="Earlier lines of output" text={rest.join("\n")} className="mt-1.5" />
        </Disclosure>
      ) : null}
      <OutputBlock label="Last lines of output" text={shown.join("\n")} className="mt-1.5" />
    </>
  );
}

/** Output of a program, scrolling in itself; reachable by keyboard. */
export function OutputBlock({ label, text, className }: { label: string; text: string; className?: string }) {
  return (
    <div className={className}>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard */}
      <section aria-label={label} tabIndex={0} className="max-h-80 overflow-auto rounded-md border border-line bg-sunken">
        <pre className="w-max min-w-full px-3 py-2 font-mono text-fg text-xs leading-5">{stripAnsi(text)}</pre>
      </section>
    </div>
  );
}
