/** A build's whole log as a text file, read page by page. Knows no button and no browser's way to save. */
import { type BuildLogs, type LogEntry } from "@open-inspect/protocol";
import { stripAnsi } from "./ansi.ts";
import { createPhaseWatch, lastVersion } from "./log-lines.ts";
import { phaseNames } from "./words.ts";

/** Far beyond what a server keeps of one log: a server that never ends must not be read for ever. */
const pagesMax = 5_000;

/** Makes plain lines of entries; what has no newline yet waits for the next page. */
function createLogText() {
  const beginsPhase = createPhaseWatch();
  let open = "";
  function endLine(): string {
    const line = open === "" ? "" : `${open}\n`;
    open = "";
    return line;
  }
  const toPlain = (text: string) => text.split("\n").map(lastVersion).map(stripAnsi).join("\n");
  return {
    take(entries: readonly LogEntry[]): string {
      let text = "";
      for (const entry of entries) {
        if (beginsPhase(entry)) text += `${endLine()}== ${phaseNames[entry.phase]} ==\n`;
        if (entry.stream === "gap") text += `${endLine()}-- ${entry.text} --\n`;
        else {
          open += entry.text;
          const end = open.lastIndexOf("\n") + 1;
          text += open.slice(0, end);
          open = open.slice(end);
        }
      }
      return toPlain(text);
    },
    end: () => toPlain(endLine()),
  };
}

/**
 * Everything that the log holds now, without colours. Each page becomes a blob of its own, which the browser may keep on disk.
 * @param readPage reads on after a cursor
 */
export async function collectLog(readPage: (after: number) => Promise<BuildLogs>): Promise<Blob> {
  const log = createLogText();
  const parts: Blob[] = [];
  let after = 0;
  for (let page = 0; page < pagesMax; page++) {
    const { entries, next, complete } = await readPage(after);
    parts.push(new Blob([log.take(entries)]));
    if (complete || entries.length === 0) break;
    after = next;
  }
  return new Blob([...parts, log.end()], { type: "text/plain;charset=utf-8" });
}
