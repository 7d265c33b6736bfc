/** Lines of a change: numbers on either side, a sign, and the text in colour. */
import { memo } from "react";
import { cn } from "../../lib/cn.ts";
import { useHighlight } from "../../lib/highlight.ts";
import { type DiffLine } from "../../lib/session-diff.ts";
import { CodeLineView } from "../../ui/code-block.tsx";

const signs: Record<DiffLine["kind"], string> = { same: " ", added: "+", removed: "−" };
const looks: Record<DiffLine["kind"], string> = {
  same: "",
  added: "bg-ok-soft",
  removed: "bg-bad-soft",
};
const signLooks: Record<DiffLine["kind"], string> = { same: "text-faint", added: "text-ok", removed: "text-bad" };

/** Such a word would leave its indentation alone on a line and go on below it. */
const beginsLong = /^\s+\S{20}/;

interface DiffLinesProps {
  lines: readonly DiffLine[];
  /** a file's extension */
  language: string;
  label: string;
  /** scrolls in itself */
  isBounded?: boolean;
}

export const DiffLines = memo(function DiffLines({ lines, language, label, isBounded = false }: DiffLinesProps) {
  const coloured = useHighlight(lines.map(({ text }) => text).join("\n"), language);
  const last = lines.reduce((most, { before, after }) => Math.max(most, before ?? 0, after ?? 0), 0);
  const number = `calc(${String(last).length}ch + 1rem)`;
  const columns = `${last === 0 ? "" : `${number} ${number} `}1.25rem minmax(0, 1fr)`;
  return (
    <section
      aria-label={label}
      // A region that scrolls must be reachable by keyboard.
      {...(isBounded ? { tabIndex: 0 } : {})}
      className={cn("bg-bg font-mono text-xs leading-5", isBounded && "max-h-80 overflow-auto")}
    >
      {lines.map((line, index) => {
        const spans = coloured?.[index];
        return (
          <div
            // biome-ignore lint/suspicious/noArrayIndexKey: lines keep their places
            key={index}
            data-line={line.kind}
            style={{ gridTemplateColumns: columns }}
            className={cn("grid", looks[line.kind])}
          >
            {last > 0 ? (
              <>
                <LineNumber value={line.before} />
                <LineNumber value={line.after} />
              </>
            ) : null}
            <span className={cn("select-none text-center", signLooks[line.kind])}>{signs[line.kind]}</span>
            <span
              className={cn("whitespace-pre-wrap pr-2", beginsLong.test(line.text) ? "break-all" : "[overflow-wrap:anywhere]")}
            >
              {spans === undefined ? line.text : <CodeLineView line={spans} />}
              {line.isUnended ? <span className="select-none text-faint"> (no newline at the end)</span> : null}
            </span>
          </div>
        );
      })}
    </section>
  );
});

function LineNumber({ value }: { value: number | null }) {
  return (
    <span aria-hidden="true" className="select-none pr-2 text-right text-faint">
      {value ?? ""}
    </span>
  );
}

/** `+12 −3`; what is zero is left out. */
export function LineCounts({ additions, deletions }: { additions: number; deletions: number }) {
  return (
    <span className="shrink-0 whitespace-nowrap font-mono text-xs">
      {additions > 0 ? <span className="text-ok">+{additions.toLocaleString("en")}</span> : null}
      {additions > 0 && deletions > 0 ? " " : null}
      {deletions > 0 ? <span className="text-bad">−{deletions.toLocaleString("en")}</span> : null}
    </span>
  );
}
