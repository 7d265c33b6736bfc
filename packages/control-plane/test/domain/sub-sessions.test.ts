/** How many sessions agents may begin from theirs, and what they see of them. */
import { type PromptView, type SessionView } from "@open-inspect/protocol";
import { expect, it } from "vitest";
import { deadlines, limits } from "../../src/domain/deadlines.ts";
import { refuseSubSession, type SubSession, subSessionStateOf } from "../../src/domain/sub-sessions.ts";

const now = 1_000_000_000;
const some = (count: number, row: SubSession["row"], admittedAt = 0): SubSession[] =>
  Array.from({ length: count }, (_, index) => ({ id: `ses_${index}`, admittedAt, row }));
const idle = { isStarting: false, isWorking: false };

it("[SU2] levels, sessions in all and sessions at work have their most, and the agent is told which it was", () => {
  const { subSessions, subSessionsAtWork } = limits;
  expect(refuseSubSession(false, [], now)).toBeNull();
  expect(refuseSubSession(true, [], now)).toMatch(/2 levels deep/);
  expect(refuseSubSession(false, some(subSessions - 1, idle), now)).toBeNull();
  expect(refuseSubSession(false, some(subSessions, idle), now)).toMatch(/20 sessions were begun/);
  expect(refuseSubSession(false, some(subSessionsAtWork - 1, { ...idle, isWorking: true }), now)).toBeNull();
  expect(refuseSubSession(false, some(subSessionsAtWork, { ...idle, isWorking: true }), now)).toMatch(/Wait until one/);
  expect(refuseSubSession(false, some(subSessionsAtWork, { ...idle, isStarting: true }), now)).toMatch(/Wait until one/);
});

it("[SU2] one that no row tells of yet counts as one at work, for a while", () => {
  const unseen = some(limits.subSessionsAtWork, null, now);
  expect(refuseSubSession(false, unseen, now)).toMatch(/at work/);
  expect(refuseSubSession(false, unseen, now + deadlines.subSessionUnseenMs)).toBeNull();
});

it("[SU3] the last answer is the end of the text of the last prompt that said something", () => {
  const prompt = (parts: PromptView["parts"], error: string | null = null) => ({ parts, error });
  const text = (id: string, words: string) => ({ kind: "text", id, text: words }) as const;
  const reasoning = { kind: "reasoning", id: "r", text: "hm" } as const;
  const head = { id: "ses_1", status: "ready", isWorking: true, title: "T" };
  const stateOf = (...prompts: ReturnType<typeof prompt>[]) =>
    subSessionStateOf({ ...head, prompts } as SessionView, "http://dashboard.test/sessions/ses_1");
  expect(stateOf()).toMatchObject({ ...head, url: "http://dashboard.test/sessions/ses_1", lastAnswer: null });
  expect(stateOf(prompt([text("a", "one"), reasoning, text("b", "two")]), prompt([])).lastAnswer).toBe("one\n\ntwo");
  expect(stateOf(prompt([text("a", `${"x".repeat(5_000)}end`)])).lastAnswer).toMatch(/^x{3997}end$/);
  expect(stateOf(prompt([], "the sandbox died")).lastAnswer).toMatch(/the sandbox died/);
});
