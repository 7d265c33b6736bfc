/** A log as the page holds it: bounded, searched across colours, saved as plain text. */
import { type BuildLogs, type LogEntry } from "@open-inspect/protocol";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { parseAnsi } from "../src/lib/ansi.ts";
import { collectLog } from "../src/lib/log-download.ts";
import { createLogBuffer } from "../src/lib/log-lines.ts";
import { findMatches, markSpans, matchesMax } from "../src/lib/log-search.ts";
import { logEntry } from "./fixtures.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function linesOf(entries: LogEntry[]) {
  const log = createLogBuffer();
  log.append(entries);
  vi.runAllTimers();
  return log.snapshot();
}

it("holds fewer lines when they are long", () => {
  const long = "x".repeat(1024 * 1024);
  const { lines, dropped } = linesOf(Array.from({ length: 30 }, (_, index) => logEntry(index + 1, `${long}\n`)));
  expect(lines).toHaveLength(8);
  expect(dropped).toBe(22);
});

it("finds text across colours and whatever the case, and not in gaps", () => {
  const { lines } = linesOf([
    logEntry(1, "\u001b[31mErr\u001b[0mor, error\n"),
    logEntry(2, "9 errors left out", { stream: "gap" }),
    logEntry(3, "no ERROR\n"),
  ]);
  expect(findMatches(lines, "error").map(({ index, from, to }) => [index, from, to])).toEqual([
    [0, 0, 5],
    [0, 7, 12],
    [2, 3, 8],
  ]);
  expect(findMatches(lines, "")).toEqual([]);
});

it("stops counting before a search fills the memory", () => {
  const { lines } = linesOf([logEntry(1, `${"a".repeat(matchesMax * 2)}\n`)]);
  expect(findMatches(lines, "a")).toHaveLength(matchesMax);
});

it("marks what was found without losing a character or a colour", () => {
  const spans = parseAnsi("\u001b[31mErr\u001b[0mor, error");
  const matches = [
    { index: 0, key: "1.0", from: 0, to: 5 },
    { index: 0, key: "1.0", from: 7, to: 12 },
  ];
  expect(markSpans(spans, matches, { from: 7 })).toEqual([
    { text: "Err", className: "ansi-31", mark: "match" },
    { text: "or", className: "", mark: "match" },
    { text: ", ", className: "", mark: null },
    { text: "error", className: "", mark: "current" },
  ]);
});

const textOf = async (pages: BuildLogs[]) => {
  vi.useRealTimers();
  const asked: number[] = [];
  const blob = await collectLog(async (after) => {
    asked.push(after);
    return pages[asked.length - 1] ?? { entries: [], next: after, complete: false };
  });
  const text = await new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = reject;
    reader.readAsText(blob);
  });
  return { text, asked };
};

it("a saved log has its phases headed, its gaps marked, no colours, and lines whole across pages", async () => {
  const { text, asked } = await textOf([
    {
      entries: [logEntry(1, "Cloning\n", { phase: "clone", stream: "system" }), logEntry(2, "\u001b[3")],
      next: 2,
      complete: false,
    },
    {
      entries: [logEntry(3, "2mok\u001b[0m\n10%\r100%\n"), logEntry(4, "9 MB left out", { stream: "gap" })],
      next: 4,
      complete: false,
    },
    { entries: [logEntry(5, "no newline")], next: 5, complete: true },
  ]);
  expect(text).toBe("== Clone ==\nCloning\n== Setup script ==\nok\n100%\n-- 9 MB left out --\nno newline\n");
  expect(asked).toEqual([0, 2, 4]);
});

it("the log of a build that runs is saved as far as it goes", async () => {
  const { text } = await textOf([{ entries: [logEntry(1, "so far\n")], next: 1, complete: false }]);
  expect(text).toBe("== Setup script ==\nso far\n");
});
