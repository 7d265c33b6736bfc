/** Words of time, output and answers: pure functions from data to what is read. */
import { describe, expect, it, vi } from "vitest";
import { parseAnsi, stripAnsi } from "../src/lib/ansi.ts";
import { createLogBuffer, keptLines } from "../src/lib/log-lines.ts";
import { parseBlocks, parseInline } from "../src/lib/markdown.ts";
import { formatAge, formatDuration, formatElapsed } from "../src/lib/time.ts";
import { logEntry } from "./fixtures.ts";

it.each([
  [87, "87 ms"],
  [1_600, "1.6 s"],
  [41_000, "41 s"],
  [125_000, "2 min 5 s"],
  [120_000, "2 min"],
  [3_780_000, "1 h 3 min"],
  [-5, "0 ms"],
  [9_970, "10 s"],
  [59_800, "1 min"],
])("a duration of %d ms reads %s", (ms, words) => expect(formatDuration(ms)).toBe(words));

it.each([
  [1_000, "just now"],
  [12_000, "12 s ago"],
  [3 * 60_000, "3 min ago"],
  [2 * 3_600_000, "2 h ago"],
  [5 * 86_400_000, "5 d ago"],
  [-60_000, "just now"],
])("an age of %d ms reads %s", (ms, words) => expect(formatAge(0, ms)).toBe(words));

it("a running clock counts whole seconds", () => {
  expect(formatElapsed(950)).toBe("0 s");
  expect(formatElapsed(59_900)).toBe("59 s");
  expect(formatElapsed(61_900)).toBe("1 min 1 s");
});

describe("terminal output", () => {
  it("colours become classes, every other sequence disappears", () => {
    expect(parseAnsi("\u001b[1;31mbad\u001b[0m \u001b]0;title\u0007ok\u001b[2K\u001b[38;5;31mx")).toEqual([
      { text: "bad", className: "ansi-31 ansi-bold" },
      { text: " ok", className: "" },
      { text: "x", className: "" },
    ]);
    expect(stripAnsi("\u001b[?25l\u001b[32mgreen\u001b[m\u0008")).toBe("green");
  });
});

describe("log lines", () => {
  const linesOf = (...entries: Parameters<typeof logEntry>[]) => {
    vi.useFakeTimers();
    const buffer = createLogBuffer();
    buffer.append(entries.map((entry) => logEntry(...entry)));
    vi.runAllTimers();
    vi.useRealTimers();
    return buffer.snapshot();
  };
  const texts = (...entries: Parameters<typeof logEntry>[]) => linesOf(...entries).lines.map((line) => line.text);

  it("a line that came in two pieces is one line", () => {
    expect(texts([1, "hel"], [2, "lo\nwor"], [3, "ld\n"])).toEqual(["hello", "world"]);
  });

  it("pieces of different streams and our own lines are never joined", () => {
    expect(
      texts([1, "out"], [2, "err", { stream: "stderr" }], [3, "ours", { stream: "system" }], [4, "gap", { stream: "gap" }]),
    ).toEqual(["out", "err", "ours", "gap"]);
  });

  it("a progress bar shows its last version, also across pieces", () => {
    expect(texts([1, "10%\r50%"], [2, "\r100%\r\n"])).toEqual(["100%"]);
  });

  it("memory is bounded, and what was let go is counted", () => {
    const { lines, dropped } = linesOf([1, "x\n".repeat(keptLines + 5)]);
    expect(lines).toHaveLength(keptLines);
    expect(dropped).toBe(5);
  });
});

describe("answers", () => {
  it("an open fence, as it streams in, is code already", () => {
    expect(parseBlocks("Look:\n```ts\nconst a = 1;\n\nconst b")).toEqual([
      { kind: "paragraph", text: "Look:" },
      { kind: "code", language: "ts", text: "const a = 1;\n\nconst b" },
    ]);
  });

  it("paragraphs, headings and lists are told apart", () => {
    expect(parseBlocks("# Title\none\ntwo\n\n- a\n- b\n1. c")).toEqual([
      { kind: "heading", text: "Title" },
      { kind: "paragraph", text: "one\ntwo" },
      { kind: "list", ordered: false, items: ["a", "b"] },
      { kind: "list", ordered: true, items: ["c"] },
    ]);
  });

  it("only web addresses become links", () => {
    expect(parseInline("[a](https://x.test) [b](javascript:alert(1))").map((part) => part.kind)).toEqual(["link", "text"]);
  });
});
