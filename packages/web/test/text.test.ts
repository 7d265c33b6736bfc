/** Words of time, output and answers: pure functions from data to what is read. */
import { describe, expect, it, vi } from "vitest";
import { parseAnsi, stripAnsi } from "../src/lib/ansi.ts";
import { describeChecks, foldChecks, joinPages } from "../src/lib/history.ts";
import { createLogBuffer, keptLines } from "../src/lib/log-lines.ts";
import { decode, parseMarkdown, safeAddress } from "../src/lib/markdown.ts";
import { changesAddress } from "../src/lib/repository-links.ts";
import { formatAge, formatBytes, formatDuration, formatElapsed, formatUntil } from "../src/lib/time.ts";
import { build, buildId, check, logEntry, sha } from "./fixtures.ts";

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

it.each([
  [0, "now"],
  [11_500, "in 12 s"],
  [3 * 60_000, "in 3 min"],
  [3_599_000, "in 1 h"],
  [30 * 3_600_000, "in 30 h"],
  [5 * 86_400_000, "in 5 d"],
])("a wait of %d ms reads %s", (ms, words) => expect(formatUntil(ms, 0)).toBe(words));

it.each([
  [812, "812 B"],
  [4_200, "4.2 kB"],
  [380_000_000, "380 MB"],
  [999_900_000, "1.0 GB"],
  [12_340_000_000, "12 GB"],
])("a size of %d bytes reads %s", (bytes, words) => expect(formatBytes(bytes)).toBe(words));

it.each([
  ["https://github.test/a/b.git", null, "https://github.test/a/b/commit/2"],
  ["https://github.test/a/b.git", "1", "https://github.test/a/b/compare/1...2"],
  ["https://github.test/a/b.git", "2", "https://github.test/a/b/commit/2"],
  ["git@github.test:a/b.git", "1", null],
])("the changes in %s since %s are at %s", (cloneUrl, from, address) =>
  expect(changesAddress(cloneUrl, "2", from)).toBe(address),
);

describe("history", () => {
  const at = (number: number, over = {}) => build({ id: buildId(number), requestedAt: number, ...over });

  it("a build on two pages is there once, and the feed's word of it counts", () => {
    const pages = [
      { builds: [at(3), at(2)], next: "x" },
      { builds: [at(2), at(1)], next: null },
    ];
    const joined = joinPages(pages, at(3, { status: "failed" }));
    expect(joined.map(({ id, status }) => [id, status])).toEqual([
      [buildId(3), "failed"],
      [buildId(2), "ready"],
      [buildId(1), "ready"],
    ]);
    expect(joinPages(pages, at(9))[0]?.id).toBe(buildId(9));
  });

  it("checks one after the other are one entry, a build between them makes two", () => {
    const folded = foldChecks([check(5, 10), check(4, 2), at(3), check(2, 1)]);
    expect(folded.map((entry) => (entry.kind === "checks" ? entry.count : entry.build.id))).toEqual([12, buildId(3), 1]);
  });

  it("a fold says whether nothing had changed", () => {
    expect(describeChecks([check(1, 1)], 1)).toBe("1 check without change");
    const ignored = check(2, 2, { sha: sha("def"), skipped: { reason: "ignored_paths", count: 2 } });
    expect(describeChecks([check(1, 1), ignored], 3)).toBe("3 checks without a build");
  });
});

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
    const [first, second] = parseMarkdown("Look:\n```ts\nconst a = 1;\n\nconst b");
    expect(first).toMatchObject({ type: "paragraph", text: "Look:" });
    expect(second).toMatchObject({ type: "code", lang: "ts", text: "const a = 1;\n\nconst b" });
  });

  it("only web addresses become links", () => {
    expect(["https://x.test/a", "javascript:alert(1)", "data:text/html,x", "/etc", "http://"].map(safeAddress)).toEqual([
      "https://x.test/a",
      ...[null, null, null, null],
    ]);
  });

  it("character references are read, and nothing else is", () => {
    expect(decode("a &lt;b&gt; &amp;amp; &#39;c&#39; &copy;")).toBe("a <b> &amp; 'c' &copy;");
  });
});
