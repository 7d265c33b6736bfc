/** The running diff: every file that differs from where the session began, listed, then each with its hunks. */
import { type ChangedFile, type WorkspaceDiff } from "@open-inspect/protocol";
import { ChevronRight, FileDiff, Scissors } from "lucide-react";
import { memo, useMemo, useState } from "react";
import { cn } from "../../lib/cn.ts";
import { languageOf } from "../../lib/highlight.ts";
import { parseHunks } from "../../lib/session-diff.ts";
import { Button } from "../../ui/button.tsx";
import { Commit } from "../../ui/commit.tsx";
import { EmptyState } from "../../ui/page.tsx";
import { DiffLines, LineCounts } from "./diff-lines.tsx";

/** Files that are opened at once, as long as they are no longer than that. */
const openAtFirst = { files: 12, lines: 300 };

const changeWords: Record<ChangedFile["change"], { letter: string; word: string; look: string }> = {
  added: { letter: "A", word: "added", look: "text-ok" },
  modified: { letter: "M", word: "modified", look: "text-warn" },
  deleted: { letter: "D", word: "deleted", look: "text-bad" },
  renamed: { letter: "R", word: "renamed", look: "text-accent" },
};

export function ChangesPanel({ diff }: { diff: WorkspaceDiff | null }) {
  const [opened, setOpened] = useState<ReadonlyMap<string, boolean>>(new Map());
  if (diff === null || diff.files.length === 0) {
    return (
      <EmptyState icon={<FileDiff />} title="No changes yet">
        What the agent changes is shown here as it happens, committed or not.
      </EmptyState>
    );
  }
  const isOpen = (file: ChangedFile, index: number) =>
    opened.get(file.path) ?? (index < openAtFirst.files && file.additions + file.deletions <= openAtFirst.lines);
  const set = (path: string, open: boolean) => setOpened((before) => new Map(before).set(path, open));

  function show(path: string): void {
    set(path, true);
    // After it has opened, so that its beginning is what is reached.
    requestAnimationFrame(() => document.getElementById(anchorOf(path))?.scrollIntoView({ block: "start" }));
  }

  const names = diff.files.length === 1 ? "1 file" : `${diff.files.length} files`;
  return (
    <div>
      <p className="flex flex-wrap items-baseline gap-x-2 text-muted text-sm">
        <span className="font-medium text-fg">{names}</span>
        <LineCounts additions={diff.additions} deletions={diff.deletions} />
        <span className="text-faint text-xs">
          since <Commit sha={diff.base} />
        </span>
      </p>
      {diff.isCut ? (
        <p role="note" className="mt-2 flex items-start gap-2 rounded-md bg-warn-soft px-3 py-2 text-sm text-warn">
          <Scissors aria-hidden="true" className="mt-0.5 size-4 shrink-0" />
          Too much has changed to show all of it: files or their lines are left out here, not in the workspace.
        </p>
      ) : null}
      {diff.files.length > 1 ? <FileList files={diff.files} onShow={show} /> : null}
      <div className="mt-3 space-y-3">
        {diff.files.map((file, index) => (
          <FileView key={file.path} file={file} open={isOpen(file, index)} onOpen={set} />
        ))}
      </div>
    </div>
  );
}

const anchorOf = (path: string): string => `file-${path}`;

function PathName({ path, from }: { path: string; from?: string | undefined }) {
  const cut = path.lastIndexOf("/") + 1;
  return (
    <span className="flex min-w-0 items-baseline" title={from === undefined ? path : `${from} → ${path}`}>
      <span className="truncate text-faint">{path.slice(0, cut)}</span>
      <span className="max-w-full shrink-0 truncate text-fg">{path.slice(cut)}</span>
    </span>
  );
}

function ChangeLetter({ change }: { change: ChangedFile["change"] }) {
  const { letter, word, look } = changeWords[change];
  return (
    <span title={word} className={cn("w-3 shrink-0 text-center font-medium font-mono text-xs", look)}>
      <span aria-hidden="true">{letter}</span>
      <span className="sr-only">{word}</span>
    </span>
  );
}

function FileList({ files, onShow }: { files: readonly ChangedFile[]; onShow: (path: string) => void }) {
  return (
    <ul aria-label="Changed files" className="mt-2 max-h-56 overflow-y-auto rounded-md border border-line py-1">
      {files.map((file) => (
        <li key={file.path}>
          <button
            type="button"
            onClick={() => onShow(file.path)}
            className="flex w-full min-w-0 items-center gap-2 px-2.5 py-1 text-left font-mono text-xs hover:bg-hover focus-visible:-outline-offset-2"
          >
            <ChangeLetter change={file.change} />
            <span className="min-w-0 flex-1">
              <PathName path={file.path} from={file.from} />
            </span>
            <LineCounts additions={file.additions} deletions={file.deletions} />
          </button>
        </li>
      ))}
    </ul>
  );
}

interface FileViewProps {
  file: ChangedFile;
  open: boolean;
  onOpen: (path: string, open: boolean) => void;
}

const FileView = memo(
  function FileView({ file, open, onOpen }: FileViewProps) {
    return (
      <section
        id={anchorOf(file.path)}
        aria-label={file.path}
        data-file={file.path}
        className="scroll-mt-2 rounded-md border border-line"
      >
        <h2 className="sticky top-0 z-1 rounded-md bg-sunken">
          <button
            type="button"
            aria-expanded={open}
            onClick={() => onOpen(file.path, !open)}
            className="flex w-full min-w-0 items-center gap-2 px-2.5 py-1.5 text-left font-mono text-xs focus-visible:-outline-offset-2"
          >
            <ChevronRight
              aria-hidden="true"
              className={cn("size-3.5 shrink-0 text-faint transition-transform", open && "rotate-90")}
            />
            <ChangeLetter change={file.change} />
            <span className="min-w-0 flex-1">
              <PathName path={file.path} from={file.from} />
            </span>
            <LineCounts additions={file.additions} deletions={file.deletions} />
          </button>
        </h2>
        {open ? <Hunks file={file} /> : null}
      </section>
    );
  },
  // The callback is made anew with each diff and does the same.
  (before, after) => before.open === after.open && sameFile(before.file, after.file),
);

const sameFile = (a: ChangedFile, b: ChangedFile): boolean =>
  a.path === b.path && a.hunks === b.hunks && a.change === b.change && a.additions === b.additions && a.deletions === b.deletions;

/** Lines of one file that are drawn until somebody asks for more. */
const shownLines = 600;

function Hunks({ file }: { file: ChangedFile }) {
  const [isWhole, setIsWhole] = useState(false);
  const hunks = useMemo(() => parseHunks(file.hunks ?? ""), [file.hunks]);
  const note = "border-line border-t px-3 py-2 text-muted text-sm";
  if (file.hunks === null) return <p className={note}>Binary, or too large to be shown here.</p>;
  if (hunks.length === 0) {
    return <p className={note}>{file.from === undefined ? "No line has changed." : `Renamed from ${file.from}, unchanged.`}</p>;
  }
  const total = hunks.reduce((sum, { lines }) => sum + lines.length, 0);
  let left = isWhole ? total : shownLines;
  return (
    <div className="overflow-hidden rounded-b-md">
      {hunks.map((hunk, index) => {
        const lines = left >= hunk.lines.length ? hunk.lines : hunk.lines.slice(0, Math.max(0, left));
        left -= hunk.lines.length;
        if (lines.length === 0) return null;
        const first = hunk.lines[0];
        return (
          // biome-ignore lint/suspicious/noArrayIndexKey: hunks keep their order
          <div key={index} data-hunk="" className="border-line border-t">
            {hunk.place === "" ? (
              index === 0 ? null : (
                <p className="bg-sunken px-3 text-faint text-xs leading-5">⋯</p>
              )
            ) : (
              <p className="truncate bg-sunken px-3 font-mono text-faint text-xs leading-5">⋯ {hunk.place}</p>
            )}
            <DiffLines
              lines={lines}
              language={languageOf(file.path)}
              label={`${file.path} from line ${first?.after ?? first?.before ?? 1}`}
            />
          </div>
        );
      })}
      {left < 0 ? (
        <div className="border-line border-t p-2 text-center">
          <Button look="ghost" onClick={() => setIsWhole(true)}>
            Show {(total - shownLines).toLocaleString("en")} more lines
          </Button>
        </div>
      ) : null}
    </div>
  );
}
