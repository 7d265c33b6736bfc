/** A failed build or session: the cause in a sentence, what to do, and the last lines that were printed. */
import { type Failure, type Phase } from "@open-inspect/protocol";
import { type ReactNode, useEffect, useRef } from "react";
import { stripAnsi } from "../lib/ansi.ts";
import { phaseActivities } from "../lib/words.ts";
import { Disclosure } from "./disclosure.tsx";
import { Hint } from "./hint.tsx";

const previewLines = 5;

/** What a sentence names when it speaks of a phase: to name the phase as well would say it twice. */
const phaseMarks: Record<Phase, RegExp> = {
  sandbox: /sandbox/i,
  connect: /connect/i,
  clone: /clon/i,
  sync: /git|updating/i,
  setup: /setup\.sh/i,
  start: /start\.sh/i,
  agent: /agent/i,
  refresh: /refresh\.sh/i,
  snapshot: /snapshot/i,
  verify: /verif|candidate/i,
};

/** Where it happened and how the program ended, as far as the message leaves it out. */
function describeWhere({ message, phase, exitCode }: Failure): string | null {
  const doing = phase === null || phaseMarks[phase].test(message) ? null : `while ${phaseActivities[phase]}`;
  const ended = exitCode === null || /exit(ed with)? (code|status)|exited with/i.test(message) ? null : `exit code ${exitCode}`;
  const parts = [doing, ended].filter((part) => part !== null).join(", ");
  return parts === "" ? null : `${parts[0]?.toUpperCase()}${parts.slice(1)}.`;
}

interface FailurePanelProps {
  failure: Failure;
  /** shows all lines at once, where the failure is what the page is about */
  open?: boolean;
  children?: ReactNode;
}

export function FailurePanel({ failure, open = false, children }: FailurePanelProps) {
  const where = describeWhere(failure);
  return (
    <div data-failure={failure.code} className="min-w-0 rounded-md border border-bad/25 bg-bad-soft px-3.5 py-2.5 text-sm">
      <p className="break-words font-medium text-bad">
        {failure.message}
        {where === null ? null : <span className="font-normal"> {where}</span>}
      </p>
      {failure.hint ? (
        <p className="mt-0.5 break-words text-fg/85">
          <Hint text={failure.hint} />
        </p>
      ) : null}
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
      <OutputBlock label="Last lines of output" text={shown.join("\n")} fromEnd className="mt-1.5" />
    </>
  );
}

interface OutputBlockProps {
  label: string;
  text: string;
  /** shows the end at first, where a failure says why */
  fromEnd?: boolean;
  className?: string;
}

/** Output of a program, scrolling in itself; reachable by keyboard. */
export function OutputBlock({ label, text, fromEnd = false, className }: OutputBlockProps) {
  const region = useRef<HTMLElement>(null);
  useEffect(() => {
    if (fromEnd && region.current !== null) region.current.scrollTop = region.current.scrollHeight;
  }, [fromEnd]);
  return (
    <div className={className}>
      <section
        ref={region}
        aria-label={label}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard
        tabIndex={0}
        className="max-h-80 overflow-auto rounded-md border border-line bg-sunken"
      >
        <pre className="w-max min-w-full px-3 py-2 font-mono text-fg text-xs leading-5">{stripAnsi(text)}</pre>
      </section>
    </div>
  );
}
