/** A tool call in one line, opened to what went in and came out: a command as in a terminal, an edit as its lines. */
import { CircleX, Eye, FilePen, Globe, ListChecks, LoaderCircle, Search, SquareTerminal, Users, Wrench } from "lucide-react";
import { type ReactNode } from "react";
import { parseAnsi } from "../../lib/ansi.ts";
import { languageOf } from "../../lib/highlight.ts";
import { compareTexts, countChanges } from "../../lib/session-diff.ts";
import { describeLooks, describeTool, kindOf, shortPath, type ToolKind, type ToolPart } from "../../lib/session-tools.ts";
import { Disclosure } from "../../ui/disclosure.tsx";
import { DiffLines, LineCounts } from "./diff-lines.tsx";

const icons: Record<ToolKind, ReactNode> = {
  read: <Eye />,
  search: <Search />,
  edit: <FilePen />,
  command: <SquareTerminal />,
  web: <Globe />,
  todo: <ListChecks />,
  agent: <Users />,
  other: <Wrench />,
};

const statusWords: Record<ToolPart["status"], string> = {
  pending: "waits",
  running: "running",
  completed: "",
  error: "failed",
  interrupted: "interrupted",
};

/** A spinner and the verb say that it runs; who does not see them hears it. */
const statusLooks: Record<ToolPart["status"], string> = {
  pending: "sr-only",
  running: "sr-only",
  completed: "",
  error: "shrink-0 text-bad text-xs",
  interrupted: "shrink-0 text-faint text-xs",
};

function StatusIcon({ part }: { part: ToolPart }) {
  const isRunning = part.status === "running" || part.status === "pending";
  return (
    <span aria-hidden="true" className="shrink-0 self-center text-faint [&_svg]:size-3.5">
      {isRunning ? (
        <LoaderCircle className="animate-spin text-warn" />
      ) : part.status === "error" ? (
        <CircleX className="text-bad" />
      ) : (
        icons[kindOf(part)]
      )}
    </span>
  );
}

export function ToolCall({ part }: { part: ToolPart }) {
  const { verb, object, isCode, change, path } = describeTool(part);
  const lines = change === null ? null : compareTexts(change.before, change.after);
  const word = statusWords[part.status];
  return (
    <div data-tool={part.tool} data-tool-status={part.status}>
      <Disclosure
        summary={
          <>
            <StatusIcon part={part} />
            <span className="shrink-0">{verb}</span>
            <span className={isCode ? "min-w-0 truncate font-mono text-fg text-xs" : "min-w-0 truncate text-fg"}>{object}</span>
            {lines === null || part.status !== "completed" ? null : <LineCounts {...countChanges(lines)} />}
            {word === "" ? null : <span className={statusLooks[part.status]}>{word}</span>}
          </>
        }
      >
        <div className="mt-1.5 mb-1 ml-5 space-y-2">
          {lines === null ? (
            <ToolText part={part} />
          ) : (
            <>
              <div className="overflow-hidden rounded-md border border-line">
                <DiffLines
                  lines={lines}
                  language={languageOf(path ?? "")}
                  label={`Change of ${shortPath(path ?? "")}`}
                  isBounded
                />
              </div>
              {part.status === "error" ? <Terminal label={`Output of ${part.tool}`} text={part.output} /> : null}
            </>
          )}
        </div>
      </Disclosure>
    </div>
  );
}

function ToolText({ part }: { part: ToolPart }) {
  if (kindOf(part) === "command") return <Terminal label={`Output of ${part.tool}`} command={part.input} text={part.output} />;
  if (part.input === "" && part.output === "") return <p className="text-faint text-sm">Nothing printed yet.</p>;
  return (
    <>
      {part.input === "" ? null : <Terminal label={`Input of ${part.tool}`} text={part.input} />}
      {part.output === "" ? null : <Terminal label={`Output of ${part.tool}`} text={part.output} />}
    </>
  );
}

/** Output as a terminal shows it, scrolling in itself; reachable by keyboard. */
function Terminal({ label, command, text }: { label: string; command?: string; text: string }) {
  return (
    <section
      aria-label={label}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard
      tabIndex={0}
      className="max-h-80 overflow-auto rounded-md border border-line bg-sunken"
    >
      <pre className="whitespace-pre-wrap px-3 py-2 font-mono text-fg text-xs leading-5 [overflow-wrap:anywhere]">
        {command === undefined || command === "" ? null : (
          <span className="block select-text text-muted before:text-faint before:content-['$_']">{command}</span>
        )}
        {parseAnsi(text).map((span, index) =>
          span.className === "" ? (
            span.text
          ) : (
            // biome-ignore lint/suspicious/noArrayIndexKey: spans of a text keep their places
            <span key={index} className={span.className}>
              {span.text}
            </span>
          ),
        )}
      </pre>
    </section>
  );
}

/** A run of looking around, folded into one line. */
export function Looks({ parts }: { parts: readonly ToolPart[] }) {
  const last = parts.at(-1);
  return (
    <div data-looks={parts.length}>
      <Disclosure
        summary={
          <>
            {last === undefined ? null : <StatusIcon part={parts.find(({ status }) => status === "running") ?? last} />}
            <span className="min-w-0 truncate">{describeLooks(parts)}</span>
          </>
        }
      >
        <div className="mt-1 ml-5 space-y-1 border-line border-l pl-3">
          {parts.map((part) => (
            <ToolCall key={part.id} part={part} />
          ))}
        </div>
      </Disclosure>
    </div>
  );
}
