import { describe, expect, test } from "vitest";
import { type AgentMessages, type AgentPart } from "../../src/domain/agent-messages.ts";
import { createAnswer } from "../../src/domain/prompt-answer.ts";

const promptId = "prm_00000000000000000000000000";
const at = (created: number) => ({ time: { created } });
const info = { id: "msg_a", sessionID: "s", role: "assistant" as const, parentID: "msg_u", ...at(1) };
const base = { messageID: "msg_a", sessionID: "s" };
const text = (value: string, end?: number): AgentPart => ({
  ...base,
  id: "t",
  type: "text",
  text: value,
  time: end ? { end } : {},
});
const tool = (status: string, output = ""): AgentPart => ({
  ...base,
  id: "b",
  type: "tool",
  tool: "bash",
  state: { status, input: { command: "ls" }, ...(status === "completed" ? { output } : { metadata: { output } }) },
});
const begin = () => {
  const answer = createAnswer(promptId, "msg_u");
  answer.message(info);
  return answer;
};

describe("prompt answer", () => {
  test("deltas of one part within the delay become one event, and the whole part follows once", () => {
    const answer = begin();
    answer.part(text(""), 0);
    for (const piece of ["a", "b", "c"]) answer.delta("msg_a", "t", piece, 1);
    expect(answer.takeDue(20)).toEqual([]);
    expect(answer.takeDue(41)).toEqual([{ type: "prompt.delta", promptId, partId: "t", kind: "text", delta: "abc" }]);
    answer.part(text("abc", 50), 50);
    answer.part(text("abc", 50), 51);
    expect(answer.takeDue(100)).toEqual([{ type: "prompt.part", promptId, part: { kind: "text", id: "t", text: "abc" } }]);
    answer.part(text("abc", 50), 120);
    expect(answer.takeDue(200)).toEqual([]);
  });

  test("a whole part makes the deltas that wait for it needless", () => {
    const answer = begin();
    answer.part(text(""), 0);
    answer.delta("msg_a", "t", "ab", 1);
    answer.part(text("abc", 2), 2);
    expect(answer.takeDue(100).map(({ type }) => type)).toEqual(["prompt.part"]);
  });

  test("a running tool is sent at most every 250 ms, its end at once", () => {
    const answer = begin();
    for (let index = 0; index < 20; index++) answer.part(tool("running", `${index}`), index);
    expect(answer.takeDue(200)).toEqual([]);
    expect(answer.takeDue(250)).toMatchObject([{ part: { output: "19", status: "running" } }]);
    answer.part(tool("completed", "all"), 260);
    expect(answer.takeDue(260)).toMatchObject([{ part: { output: "all", status: "completed", input: "ls" } }]);
  });

  test("parts of the person's message and of other messages do not belong to the answer", () => {
    const answer = begin();
    answer.message({ id: "msg_u", sessionID: "s", role: "user", ...at(0) });
    answer.part({ ...text("question"), messageID: "msg_u" }, 0);
    answer.part({ ...text("old"), messageID: "msg_old" }, 0);
    expect(answer.takeDue(1000)).toEqual([]);
  });

  test("a snapshot heals what the stream lost, and repeats nothing", () => {
    const answer = begin();
    answer.part(text("abc", 1), 0);
    answer.takeDue(1);
    const snapshot: AgentMessages = [{ info, parts: [text("abc", 1), tool("completed", "x")] }];
    answer.reconcile(snapshot, true, 2);
    expect(answer.takeDue(3).map((event) => (event.type === "prompt.part" ? event.part.id : event.type))).toEqual(["b"]);
    answer.reconcile(snapshot, true, 4);
    expect(answer.takeDue(5)).toEqual([]);
  });

  test("streamed text is not taken back by a snapshot in which it is not stored yet", () => {
    const answer = begin();
    answer.part(text(""), 0);
    answer.delta("msg_a", "t", "half a sen", 1);
    answer.takeDue(100);
    answer.reconcile([{ info, parts: [text("")] }], true, 101);
    expect(answer.takeDue(200)).toEqual([]);
  });

  test("tools that were running when the agent died are shown as interrupted", () => {
    const answer = begin();
    answer.part(tool("running", "1"), 0);
    answer.takeDue(300);
    answer.interrupt(301);
    expect(answer.takeDue(302)).toMatchObject([{ part: { status: "interrupted", output: "1" } }]);
  });

  test("text that was cut off is taken back when the answer is begun anew, and not before", () => {
    const answer = begin();
    answer.part(text(""), 0);
    answer.delta("msg_a", "t", "Half a sen", 1);
    answer.takeDue(100);
    answer.abandon();
    expect(answer.takeDue(200)).toEqual([]);
    answer.part({ ...text(""), id: "t2" }, 300);
    expect(answer.takeDue(400), "nothing has taken its place yet").toEqual([]);
    answer.delta("msg_a", "t2", "Half a sentence.", 401);
    expect(answer.takeDue(500)).toEqual([
      { type: "prompt.part", promptId, part: { kind: "text", id: "t", text: "" } },
      { type: "prompt.delta", promptId, partId: "t2", kind: "text", delta: "Half a sentence." },
    ]);
    answer.reconcile([{ info, parts: [text(""), { ...text("Half a sentence.", 9), id: "t2" }] }], true, 600);
    expect(answer.takeDue(700)).toMatchObject([{ part: { id: "t2" } }]);
  });

  test("text that goes on after a pause, or had ended before it, is not taken back", () => {
    const answer = begin();
    answer.part({ ...text("Whole.", 1), id: "whole" }, 0);
    answer.part(text(""), 1);
    answer.delta("msg_a", "t", "a", 1);
    answer.takeDue(100);
    answer.abandon();
    answer.delta("msg_a", "t", "b", 101);
    answer.part(tool("completed", "x"), 102);
    expect(answer.takeDue(200)).toMatchObject([{ delta: "b" }, { part: { id: "b" } }]);
  });
});
