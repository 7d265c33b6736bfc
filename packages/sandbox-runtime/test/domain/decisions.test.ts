import { failureSchema } from "@open-inspect/protocol";
import { describe, expect, test } from "vitest";
import { deriveAgentIds } from "../../src/domain/agent-ids.ts";
import { type AgentMessages } from "../../src/domain/agent-messages.ts";
import { decideDialDelayMs, decideRestartDelayMs } from "../../src/domain/backoff.ts";
import { fitEvent } from "../../src/domain/event-limits.ts";
import { classifyGit, explainGit, explainHook, requiredHooks } from "../../src/domain/failures.ts";
import { decideOutcome } from "../../src/domain/prompt-outcome.ts";

describe("backoff", () => {
  test("dials again ever more slowly, spread out, never slower than the ceiling", () => {
    expect(decideDialDelayMs(0, 0)).toBe(50);
    expect(decideDialDelayMs(0, 0.999)).toBeLessThan(101);
    expect(decideDialDelayMs(50, 1)).toBe(5000);
    expect(decideDialDelayMs(3, 0.5)).toBeGreaterThan(decideDialDelayMs(1, 0.5));
  });

  test("restarts the agent after 0, 0.25, 1, 4, 15 s and gives up at the seventh within a minute", () => {
    const delays = [0, 1, 2, 3, 4, 5].map((count) => decideRestartDelayMs(Array<number>(count).fill(1000), true, 2000));
    expect(delays).toEqual([0, 250, 1000, 4000, 15_000, 15_000]);
    expect(decideRestartDelayMs(Array<number>(6).fill(1000), true, 2000)).toBeNull();
    expect(decideRestartDelayMs(Array<number>(6).fill(1000), true, 62_000)).toBe(0);
  });

  test("an agent that was never healthy gets two more tries", () => {
    expect(decideRestartDelayMs([1], false, 2)).not.toBeNull();
    expect(decideRestartDelayMs([1, 2], false, 3)).toBeNull();
  });
});

describe("agent ids", () => {
  test("follow from the prompt alone and sort by its time", () => {
    const first = deriveAgentIds("prm_a", 1_795_209_600_000);
    const again = deriveAgentIds("prm_a", 1_795_209_600_000);
    const places = [0, 1, 2, 5];
    expect([first.messageId, ...places.map(first.partId)]).toEqual([again.messageId, ...places.map(again.partId)]);
    expect(first.messageId).toMatch(/^msg_[0-9a-f]{12}[0-9A-Za-z]{14}$/);
    expect(first.partId(0)).toMatch(/^prt_[0-9a-f]{12}[0-9A-Za-z]{14}$/);
    expect(places.map(first.partId).toSorted()).toEqual(places.map(first.partId));
    expect(deriveAgentIds("prm_b", 1_795_209_600_000).messageId).not.toBe(first.messageId);
    expect(deriveAgentIds("prm_b", 1_795_209_600_001).messageId > first.messageId).toBe(true);
  });
});

describe("git failures", () => {
  const outcome = (line: string, timedOut = false) => ({ exitCode: 128, timedOut, timeoutMs: 1000, lines: [line] });
  test.each([
    ["fatal: couldn't find remote ref refs/heads/x", "no_ref"],
    ["fatal: Authentication failed for 'https://github.com/a/b/'", "auth"],
    ["fatal: could not read Username for 'https://github.com': terminal prompts disabled", "auth"],
    ["fatal: unable to access 'https://x/': The requested URL returned error: 403", "auth"],
    ["remote: Repository not found.", "not_found"],
    ["fatal: repository 'https://github.com/a/b/' not found", "not_found"],
    ["fatal: unable to access 'http://x/': The requested URL returned error: 503", "network"],
    ["fatal: unable to access 'http://x/': Failed to connect to x port 80", "network"],
    ["error: RPC failed; curl 18 transfer closed", "network"],
    ["fatal: write error: No space left on device", "disk"],
    ["fatal: bad object", "other"],
  ])("%s is %s", (line, kind) => {
    expect(classifyGit(outcome(line))).toBe(kind);
  });

  test("every explanation is a valid failure with git's lines and something to do", () => {
    for (const line of ["couldn't find remote ref x", "Authentication failed", "Repository not found", "early EOF", "odd"]) {
      for (const heads of [0, 2, null]) {
        const failure = explainGit({
          phase: "clone",
          cloneUrl: "https://github.com/a/b.git",
          branch: "main",
          outcome: outcome(line),
          refusal: null,
          heads,
        });
        expect(failureSchema.safeParse(failure).success).toBe(true);
        expect(failure.hint).not.toBe("");
        expect(failure.lines).toEqual([line]);
      }
    }
  });

  test("a killed setup and a missing command say so", () => {
    expect(explainHook(requiredHooks.setup, { exitCode: null, signal: "SIGKILL", lines: [] }).hint).toMatch(/memory/);
    expect(explainHook(requiredHooks.setup, { exitCode: 127, signal: null, lines: [] }).hint).toMatch(/not found/);
  });
});

describe("prompt outcome", () => {
  const messageId = "msg_u";
  const user: AgentMessages[number] = { info: { id: messageId, sessionID: "s", role: "user", time: { created: 1 } }, parts: [] };
  const assistant = (info: Partial<AgentMessages[number]["info"]>): AgentMessages[number] => ({
    info: { id: "msg_a", sessionID: "s", role: "assistant", parentID: messageId, time: { created: 2 }, ...info },
    parts: [],
  });
  const decide = (snapshot: AgentMessages, more: { abortRequested?: boolean; lastError?: { name: string } } = {}) =>
    decideOutcome({ snapshot, messageId, abortRequested: more.abortRequested ?? false, lastError: more.lastError ?? null }).kind;

  test("is done only with a completed answer that asks for no more tools", () => {
    expect(decide([user, assistant({ time: { created: 2, completed: 3 }, finish: "stop" })])).toBe("done");
    expect(decide([user, assistant({ time: { created: 2, completed: 3 }, finish: "tool-calls" })])).toBe("unfinished");
    expect(decide([user, assistant({})])).toBe("unfinished");
  });

  test("an answer to an earlier prompt is not this one's", () => {
    const earlier = assistant({ id: "msg_0", parentID: "msg_z", time: { created: 0, completed: 1 }, finish: "stop" });
    expect(decide([earlier, user])).toBe("unfinished");
    expect(decide([earlier])).toBe("unfinished");
  });

  test("an error of the session alone is not the end, but it is when there is no answer", () => {
    const lastError = { name: "UnknownError" };
    expect(decide([user, assistant({ time: { created: 2, completed: 3 }, finish: "stop" })], { lastError })).toBe("done");
    expect(decide([user], { lastError })).toBe("failed");
  });

  test("an abort is an abort, also before the answer began", () => {
    expect(decide([user, assistant({ error: { name: "MessageAbortedError" } })])).toBe("aborted");
    expect(decide([user], { abortRequested: true })).toBe("aborted");
    expect(decide([user, assistant({ error: { name: "APIError" } })])).toBe("failed");
  });
});

describe("event limits", () => {
  test("the largest part becomes a frame that the bridge takes, whatever JSON makes of it", () => {
    for (const character of ["x", "\u0001", "🙂", '"']) {
      const event = fitEvent({
        type: "prompt.part",
        promptId: "prm_00000000000000000000000000",
        part: { kind: "text", id: "p", text: character.repeat(2_000_000) },
      });
      expect(Buffer.byteLength(JSON.stringify(event))).toBeLessThan(512 * 1024 - 1024);
    }
  });

  test("of a tool's output the end is kept", () => {
    const event = fitEvent({
      type: "prompt.part",
      promptId: "prm_00000000000000000000000000",
      part: {
        kind: "tool",
        id: "p",
        tool: "bash",
        status: "completed",
        title: "",
        input: "",
        output: `${"x".repeat(200_000)}END`,
      },
    });
    expect(event.type === "prompt.part" && event.part.kind === "tool" && event.part.output.endsWith("END")).toBe(true);
  });
});
