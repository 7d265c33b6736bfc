/** A log as the page holds it: bounded, and searched across colours. */
import { type LogEntry } from "@open-inspect/protocol";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { parseAnsi } from "../src/lib/ansi.ts";
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
