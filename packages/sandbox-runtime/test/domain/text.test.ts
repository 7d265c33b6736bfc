import { failureLinesMax } from "@open-inspect/protocol";
import { describe, expect, test } from "vitest";
import { createLastLines, stripAnsi } from "../../src/domain/text.ts";

describe("last lines", () => {
  test("keeps the last lines of the protocol's limit, without empty ones", () => {
    const last = createLastLines();
    for (let index = 0; index < 100; index++) last.push(`line ${index}\n\n`);
    expect(last.lines()).toHaveLength(failureLinesMax);
    expect(last.lines().at(-1)).toBe("line 99");
  });

  test("shows lines as a terminal would: without colours, and only the last state of a progress line", () => {
    const last = createLastLines();
    last.push("\u001b[31merror\u001b[0m: \u001b[1mno\u001b[22m\r\n10%\r50%\r100% done\n\u001b]0;title\u0007text");
    expect(last.lines()).toEqual(["error: no", "100% done", "text"]);
  });

  test("joins a line that comes in pieces", () => {
    const last = createLastLines();
    for (const piece of ["fa", "tal: ", "no\nend"]) last.push(piece);
    expect(last.lines()).toEqual(["fatal: no", "end"]);
  });

  test("a line without an end does not grow memory or the failure", () => {
    const last = createLastLines();
    for (let index = 0; index < 1000; index++) last.push("x".repeat(10_000));
    expect(last.lines()).toHaveLength(1);
    expect(last.lines()[0]?.length).toBeLessThanOrEqual(1000);
  });

  test("strips what would move a terminal's cursor and keeps tabs", () => {
    expect(stripAnsi("\u001b[2K\u001b[1Gok\tyes\u0008")).toBe("ok\tyes");
  });
});
