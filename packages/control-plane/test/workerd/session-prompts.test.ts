/** Prompts of a session and what its page shows of their answers: the queue, cut streams, lost sandboxes, and every end of a prompt. */
import { runInDurableObject } from "cloudflare:test";
import {
  applySessionEvent,
  type BridgeDown,
  type PromptPart,
  promptQueueMax,
  type RuntimeEvent,
  type SessionEvent,
  type SessionView,
  sessionEventSchema,
} from "@open-inspect/protocol";
import { expect, it } from "vitest";
import { deadlines } from "../../src/domain/deadlines.ts";
import { type Conversation, createConversation } from "../../src/objects/conversation.ts";
import { sessionObject } from "./harness.ts";
import { emptyView } from "./session-view.ts";

const promptId = (digit: number) => `prm_01k0000000000000000000000${digit}`;
const manyId = (count: number) => `prm_01k000000000000000000000${"abcdefghjk"[Math.floor(count / 10)]}${count % 10}`;
const first = promptId(1);
const text = (partId: string, value: string): PromptPart => ({ kind: "text", id: partId, text: value });
const tool: PromptPart = { kind: "tool", id: "t", tool: "bash", status: "completed", title: "ls", input: "ls", output: "x" };

interface Stage {
  /** the conversation, as this or another life of the object has it */
  talk: Conversation;
  reborn(): Conversation;
  /** one turn of the sandbox's words */
  hear(...events: RuntimeEvent[]): void;
  sent: BridgeDown[];
  /** what a browser that has watched from the beginning shows */
  shown(): SessionView;
  clock: { now: number };
}

const onStage = (work: (stage: Stage) => void, attempt = "a1") =>
  runInDurableObject(sessionObject(`prompts-${crypto.randomUUID()}`), (_, { storage }) => {
    const sent: BridgeDown[] = [];
    let shown = emptyView;
    const clock = { now: 1_000 };
    const open = () =>
      createConversation({
        storage,
        say: (said) => {
          shown = applySessionEvent(shown, sessionEventSchema.parse(JSON.parse(said)));
        },
        send: (to, message) => to === attempt && sent.push(message) > 0,
        mayBegin: () => true,
        schedule: () => {},
        changed: () => {},
        now: () => clock.now,
      });
    const stage: Stage = {
      talk: open(),
      reborn: () => {
        stage.talk = open();
        return stage.talk;
      },
      hear: (...events) => {
        for (const event of events) stage.talk.take(attempt, event);
        stage.talk.settle();
        // Whoever comes now is told the same as who was there all the time.
        expect(stage.talk.prompts()).toEqual(shown.prompts);
      },
      sent,
      shown: () => shown,
      clock,
    };
    work(stage);
  });

const ask = ({ talk }: Stage, id = first) => talk.add({ id, text: "do it", model: null, author: null, attachments: [] }, 1_000);
const delta = (partId: string, value: string, id = first): RuntimeEvent => ({
  type: "prompt.delta",
  promptId: id,
  partId,
  kind: "text",
  delta: value,
});
const part = (value: PromptPart, id = first): RuntimeEvent => ({ type: "prompt.part", promptId: id, part: value });
const started = (id = first): RuntimeEvent => ({ type: "prompt.started", promptId: id });
const finished = (outcome: "done" | "aborted" | "failed", id = first, error: string | null = null): RuntimeEvent => ({
  type: "prompt.finished",
  promptId: id,
  outcome,
  error,
});
const partsOf = (stage: Stage) => stage.shown().prompts[0]?.parts;
const statuses = (stage: Stage) => stage.shown().prompts.map((one) => one.status);
const begin = (stage: Stage) => {
  ask(stage);
  stage.talk.ready("a1");
  stage.hear(started());
};

it("[SE11] parts stand in the order in which they began, also when a later one comes whole first", async () => {
  await onStage((stage) => {
    begin(stage);
    stage.hear(delta("a", "I lo"), part(tool), delta("a", "ok"));
    expect(partsOf(stage)).toEqual([text("a", "I look"), tool]);
    stage.hear(part(text("a", "I look.")));
    stage.hear(finished("done"));
    expect(partsOf(stage)).toEqual([text("a", "I look."), tool]);
  });
});

it("[SE11] half an answer that was given anew is shown no more, at the latest when its prompt is done", async () => {
  await onStage((stage) => {
    begin(stage);
    stage.hear(delta("half", "Half a sen"), part(tool), part(text("half", "")));
    expect(partsOf(stage), "taken back").toEqual([tool]);
    stage.hear(delta("half", "and again"), delta("given up", "Half a"), delta("whole", "Half a"));
    expect(
      partsOf(stage)?.map((one) => one.id),
      "what begins again begins at the end",
    ).toEqual(["t", "half", "given up", "whole"]);
    stage.hear(part(text("half", "and again.")), part(text("whole", "Half a sentence.")), finished("done"));
    expect(partsOf(stage)).toEqual([tool, text("half", "and again."), text("whole", "Half a sentence.")]);
  });
});

it("[SE11] text that had arrived is kept when its prompt fails or its session ends, and by another life of the object", async () => {
  for (const end of [
    (stage: Stage) => stage.hear(finished("failed", first, "no")),
    (stage: Stage) => stage.hear(finished("aborted")),
    ({ talk }: Stage) => talk.end("all", "failed", "The sandbox is gone.", 2_000),
  ]) {
    await onStage((stage) => {
      begin(stage);
      stage.hear(delta("a", "Half a "));
      stage.reborn();
      stage.hear(delta("a", "sentence"));
      end(stage);
      expect(partsOf(stage)).toEqual([text("a", "Half a sentence")]);
      expect(stage.reborn().prompts()[0]?.parts).toEqual([text("a", "Half a sentence")]);
    });
  }
});

it("[PR1] one prompt is in flight, the next one goes when it has ended, in the order in which they came", async () => {
  await onStage((stage) => {
    for (const digit of [3, 1, 2]) ask(stage, promptId(digit));
    expect(stage.sent, "nothing is sent before the agent is there").toEqual([]);
    stage.talk.open("a1");
    expect(stage.sent.map((one) => "promptId" in one && one.promptId)).toEqual([promptId(3)]);
    expect(statuses(stage)).toEqual(["running", "queued", "queued"]);
    stage.talk.greeted("a1");
    expect(stage.sent, "after a reconnect it is sent again").toHaveLength(2);
    stage.hear(started(promptId(3)), part(text("a", "done"), promptId(3)), finished("done", promptId(3)));
    expect(stage.sent.at(-1)).toMatchObject({ type: "prompt", promptId: promptId(1) });
    stage.hear(finished("failed", promptId(1), "no"));
    expect(statuses(stage)).toEqual(["done", "failed", "running"]);
  });
});

it("[PR2] a repeated prompt changes nothing, and one too many is refused", async () => {
  await onStage((stage) => {
    expect(ask(stage)).toMatchObject({ prompt: { id: first, status: "queued" } });
    stage.talk.add({ id: first, text: "another", model: null, author: null, attachments: [] }, 2_000);
    expect(stage.talk.prompts().map((one) => one.text)).toEqual(["do it"]);
    for (let count = 1; count < promptQueueMax; count++) ask(stage, manyId(count));
    expect(ask(stage, manyId(promptQueueMax))).toEqual({ refused: "full" });
    expect(ask(stage), "what is there already is answered").toMatchObject({ prompt: { id: first } });
  });
});

it("[PR3] what waits can be changed and cancelled, what was sent cannot", async () => {
  await onStage((stage) => {
    begin(stage);
    ask(stage, promptId(2));
    ask(stage, promptId(3));
    stage.talk.change(promptId(2), { text: "better", model: "m" });
    stage.talk.cancel(promptId(3), 2_000);
    expect(stage.talk.cancel(promptId(3), 2_000), "again").toMatchObject({ prompt: { status: "cancelled" } });
    expect(stage.talk.change(first, { text: "late" })).toEqual({ refused: "started" });
    expect(stage.talk.cancel(first, 2_000)).toEqual({ refused: "started" });
    expect(stage.talk.change("prm_none", {})).toEqual({ refused: "not_found" });
    stage.hear(finished("done"));
    expect(stage.sent.at(-1)).toMatchObject({ promptId: promptId(2), text: "better", model: "m" });
    expect(statuses(stage)).toEqual(["done", "running", "cancelled"]);
  });
});

it("[PR4] a prompt that is stopped ends by the agent's word, or at the deadline; later words are not heard", async () => {
  await onStage((stage) => {
    begin(stage);
    ask(stage, promptId(2));
    stage.hear(delta("a", "I beg"));
    stage.talk.stop(first, 5_000);
    stage.talk.stop(first, 6_000);
    expect(stage.sent.filter((one) => one.type === "abort")).toEqual([{ type: "abort", promptId: first }]);
    stage.talk.greeted("a1");
    expect(stage.sent.at(-1), "asked again after a reconnect").toEqual({ type: "abort", promptId: first });
    const wakeAt = stage.talk.nextWakeAt();
    expect(wakeAt).toBe(5_000 + deadlines.promptStopMs);
    stage.talk.clock((wakeAt ?? 0) - 1);
    expect(statuses(stage)).toEqual(["running", "queued"]);
    stage.reborn().clock(wakeAt ?? 0);
    expect(statuses(stage)).toEqual(["stopped", "running"]);
    expect(stage.talk.nextWakeAt()).toBeNull();
    stage.hear(delta("a", "late"), part(text("b", "late")), finished("done"));
    expect(partsOf(stage)).toEqual([text("a", "I beg")]);
    expect(statuses(stage)).toEqual(["stopped", "running"]);
    stage.talk.stop(promptId(2), 7_000);
    stage.hear(finished("aborted", promptId(2)));
    expect(statuses(stage)).toEqual(["stopped", "stopped"]);
  });
});

it("[PR5] when its sandbox is gone the prompt in hand fails with the cause and the others wait; what had not begun waits, too", async () => {
  await onStage((stage) => {
    begin(stage);
    ask(stage, promptId(2));
    stage.talk.lost("a1");
    stage.talk.end("running", "failed", "The sandbox is gone.", 2_000);
    expect(stage.shown().prompts.map(({ status, error }) => [status, error])).toEqual([
      ["failed", "The sandbox is gone."],
      ["queued", null],
    ]);
    stage.talk.greeted("a1");
    expect(
      stage.sent.filter((one) => one.type === "prompt"),
      "nothing goes to what is gone",
    ).toHaveLength(1);
  });
  await onStage((stage) => {
    ask(stage);
    stage.talk.open("a1");
    stage.hear(started(), delta("a", "I re"));
    stage.talk.lost("a1");
    expect(stage.shown().prompts[0], "it only read: the start is made again from the base").toMatchObject({
      status: "queued",
      parts: [],
    });
    stage.hear(delta("a", "late"));
    expect(partsOf(stage)).toEqual([]);
  });
});

it("[PR5] when the session does not go on by itself, what waits is cancelled with the sentence that says why", async () => {
  await onStage((stage) => {
    begin(stage);
    ask(stage, promptId(2));
    stage.talk.add({ id: promptId(3), text: "later", model: null, author: null, attachments: [] }, 3_000);
    stage.talk.end("all", "stopped", "The session was stopped.", 2_000);
    expect(stage.shown().prompts.map(({ status, error }) => [status, error])).toEqual([
      ["stopped", null],
      ["cancelled", "The session was stopped."],
      ["queued", null],
    ]);
  });
});

it("[PR6] what a prompt costs is kept with it and summed; the work says whether something runs or waits", async () => {
  await onStage((stage) => {
    const usage = { inputTokens: 5, outputTokens: 2, reasoningTokens: 0, cacheReadTokens: 1, cacheWriteTokens: 0, costUsd: 0.25 };
    expect(stage.talk.work()).toEqual({ isWorking: false, promptCount: 0, usage: null, firstPrompt: null, activeAt: 0 });
    begin(stage);
    stage.clock.now = 9_000;
    stage.hear({ type: "prompt.usage", promptId: first, usage }, finished("done"));
    ask(stage, promptId(2));
    stage.clock.now = 12_000;
    stage.hear(started(promptId(2)), { type: "prompt.usage", promptId: promptId(2), usage: { ...usage, costUsd: 1 } });
    stage.hear(finished("done", promptId(2)));
    expect(stage.shown().prompts.map((one) => one.usage?.costUsd)).toEqual([0.25, 1]);
    const { usage: sum, ...work } = stage.talk.work();
    expect(sum).toMatchObject({ inputTokens: 10, outputTokens: 4, costUsd: 1.25 });
    expect(work).toEqual({ isWorking: false, promptCount: 2, firstPrompt: "do it", activeAt: 12_000 });
  });
});

it("[PR8] to-do list and diff are told as they are, and not again when they are the same", async () => {
  await onStage((stage) => {
    const todos = [{ content: "write", status: "pending" }] as const;
    const diff = { base: "a".repeat(40), files: [], additions: 0, deletions: 0, isCut: false };
    stage.hear({ type: "todos", todos: [...todos] }, { type: "workspace.diff", diff });
    expect(stage.shown()).toMatchObject({ todos, diff });
    const known = cursorOf(stage.talk);
    stage.reborn().take("a1", { type: "todos", todos: [...todos] });
    expect([...stage.talk.since(known, () => emptyView)]).toEqual([]);
    expect(stage.talk.todos()).toEqual(todos);
  });
});

const cursorOf = (talk: Conversation): number => {
  const [said = ""] = talk.since(null, () => emptyView);
  const event: SessionEvent = sessionEventSchema.parse(JSON.parse(said));
  return "cursor" in event ? event.cursor : 0;
};
