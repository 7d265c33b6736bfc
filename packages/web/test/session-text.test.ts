/** Words, lines and lists of a session: pure functions from data to what is read. */
import { type SessionReplica } from "@open-inspect/protocol";
import { describe, expect, it } from "vitest";
import { languageOf } from "../src/lib/highlight.ts";
import { readAttachments } from "../src/lib/session-attachments.ts";
import { compareTexts, parseHunks } from "../src/lib/session-diff.ts";
import { createEventQueue } from "../src/lib/session-events.ts";
import { matchFilters, readFilters, sessionQuery } from "../src/lib/session-filters.ts";
import { arrangePrompts, describeStaleSetup, formatCost, formatTokens } from "../src/lib/session-sentences.ts";
import { describeLooks, describeTool, foldLooks } from "../src/lib/session-tools.ts";
import { prompt, promptId, session, sessionId, summary, text, tool } from "./fixtures.ts";

const root = "/workspace/repo";

describe("tool calls", () => {
  it.each([
    [tool("1", "read", { filePath: `${root}/src/a.ts` }), "Read src/a.ts"],
    [tool("1", "read", "", { status: "running", title: "src/b.ts" }), "Reading src/b.ts"],
    [tool("1", "bash", "npm ci &&\nnpm test", { status: "running" }), "Running npm ci &&"],
    [tool("1", "grep", { pattern: "total", path: `${root}/src` }), "Searched total in src"],
    [tool("1", "glob", { pattern: "**/*.ts", path: root }), "Searched **/*.ts"],
    [tool("1", "write", { filePath: `${root}/a.ts`, content: "" }), "Wrote a.ts"],
    [tool("1", "todowrite", { todos: [{ status: "completed" }, { status: "pending" }] }), "Updated the to-do list: 1 of 2 done"],
    [tool("1", "task", { description: "Look at the tests" }), "Asked a sub-agent Look at the tests"],
    [tool("1", "webfetch", { url: "https://x.test" }), "Fetched https://x.test"],
    [tool("1", "start_session", { prompt: "x" }, { title: "Docs" }), "Used start_session: Docs"],
    [tool("1", "edit", '{"filePath":"/workspace/repo/cut', { title: "src/c.ts" }), "Edited src/c.ts"],
  ])("%#: %s", (part, sentence) => {
    const { verb, object } = describeTool(part);
    expect(`${verb} ${object}`).toBe(sentence);
  });

  it("one look stays as it is, a run of them is folded, an error is not", () => {
    const look = (id: string, over = {}) => tool(id, "read", { filePath: `${root}/${id}` }, over);
    const steps = foldLooks([look("a"), text("t", "x"), look("b"), text("u", " "), look("c"), look("d", { status: "error" })]);
    expect(steps.map((step) => (step.kind === "look" ? step.parts.map(({ id }) => id) : step.part.id))).toEqual([
      ...["a", "t", ["b", "c"], "d"],
    ]);
  });

  it("a run of looks says what it is at while it goes on", () => {
    expect(describeLooks([tool("1", "read", {}), tool("2", "grep", { pattern: "x" }, { status: "running" })])).toBe(
      "Searching x",
    );
  });
});

describe("changes", () => {
  it("an empty line at a hunk's end is a line, and the end of the text is not", () => {
    const [hunk] = parseHunks("@@ -1,2 +1 @@\n a\n-\n\\ No newline at end of file\n");
    expect(hunk?.lines).toEqual([
      { kind: "same", before: 1, after: 1, text: "a" },
      { kind: "removed", before: 2, after: null, text: "", isUnended: true },
    ]);
  });

  it("what a replacement leaves as it was is not shown as changed", () => {
    expect(compareTexts("a\nb\nc", "a\nx\ny\nc").map(({ kind, text: line }) => `${kind[0]} ${line}`)).toEqual([
      ...["s a", "r b", "a x", "a y", "s c"],
    ]);
    expect(compareTexts("a\na", "a").map(({ kind }) => kind)).toEqual(["same", "removed"]);
  });

  it.each([
    ["src/a.TS", "ts"],
    ["Dockerfile", "dockerfile"],
    ["LICENSE", ""],
  ])("the language of %s is %s", (path, language) => expect(languageOf(path)).toBe(language));
});

describe("events", () => {
  const delta = (cursor: number, words: string) =>
    ({ type: "delta", cursor, promptId: promptId(1), partId: "a", kind: "text", delta: words }) as const;

  it("text waits for a moment, anything else comes at once and after what waited", () => {
    let replica: SessionReplica = { view: session({ prompts: [prompt(1)] }), cursor: 1 };
    let changes = 0;
    const queue = createEventQueue((step) => {
      replica = step(replica);
      changes += 1;
    });
    queue.push(delta(2, "one"));
    queue.push(delta(3, " two"));
    expect(changes).toBe(0);
    queue.push({ type: "todos", cursor: 4, todos: [] });
    expect(changes).toBe(1);
    expect(replica.view?.prompts[0]?.parts).toEqual([text("a", "one two")]);
    expect(replica.cursor).toBe(4);
    queue.push(delta(5, "!"));
    queue.flush();
    expect(replica.cursor).toBe(5);
  });
});

describe("prompts", () => {
  const statuses = (prompts: { status: string }[]) => prompts.map(({ status }) => status);

  it("the one that is next stands in the conversation while nothing runs; behind a running one all wait in the queue", () => {
    const waiting = [prompt(2, { status: "queued" }), prompt(3, { status: "queued" })];
    const idle = arrangePrompts([prompt(1), ...waiting]);
    expect([statuses(idle.shown), statuses(idle.queue)]).toEqual([["done", "queued"], ["queued"]]);
    const busy = arrangePrompts([prompt(1, { status: "running" }), ...waiting]);
    expect([statuses(busy.shown), statuses(busy.queue)]).toEqual([["running"], ["queued", "queued"]]);
  });

  it("costs and tokens are short", () => {
    expect([0, 0.0042, 0.126, 12].map(formatCost)).toEqual([null, "$0.0042", "$0.13", "$12.00"]);
    expect([812, 4_210, 45_300, 999_600].map(formatTokens)).toEqual(["812", "4.2k", "45k", "1.0M"]);
  });
});

describe("stale setup", () => {
  it.each([
    [
      ["a.lock"],
      "offered",
      "a.lock has changed since the image was made: what setup installed may be out of date. There is no refresh.sh.",
    ],
    [["a", "b"], "running", "a and b have changed since the image was made: it is refreshed beside the agent."],
    [
      ["a", "b", "c", "d"],
      "failed",
      "a, b and 2 more have changed since the image was made, and refreshing it failed: see the output.",
    ],
    [[], "running", "Setup is refreshed beside the agent."],
    [[], "failed", "Refreshing setup failed: see the output."],
  ] as const)("%j %s", (files, refresh, sentence) => {
    expect(describeStaleSetup({ files: [...files], refresh })).toBe(sentence);
  });
});

describe("filters", () => {
  it("from an address only what is a filter is taken", () => {
    expect(readFilters({ q: " a ", repository: "no-slash", status: "nonsense", author: 7, archived: true, more: 1 })).toEqual({
      ...{ q: "a", author: "7", archived: true },
    });
    expect(sessionQuery({}, null)).toBe("");
    expect(sessionQuery({ q: "a b", archived: true }, `1.${sessionId(1)}`)).toBe(`?q=a+b&archived=true&before=1.${sessionId(1)}`);
  });

  it("whether words fit is not known where they may stand in the first prompt", () => {
    expect(matchFilters(summary(1), { q: "session 1" })).toBe("yes");
    expect(matchFilters(summary(1), { q: "else" })).toBe("unknown");
    expect(matchFilters(summary(1, { status: "stopped" }), { q: "else", status: "active" })).toBe("no");
  });
});

describe("attachments", () => {
  it("the sixth file is refused by name, the others are taken", async () => {
    const files = Array.from({ length: 6 }, (_, index) => new File(["x"], `${index}.md`, { type: "" }));
    const { taken, refusals } = await readAttachments(files, 0);
    expect(taken.map(({ mime }) => mime)).toEqual(Array(5).fill("text/markdown"));
    expect(refusals).toEqual(["5.md was left out: at most 5 files go with a prompt."]);
  });
});
