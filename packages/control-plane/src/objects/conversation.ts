/**
 * A session's conversation: prompts that wait and run, answers as they grow, to-do list and diff; stored, and told to browsers as the same text.
 * It knows the sandbox as the name of an attempt and a way to send to it; when a sandbox lives is the session's business.
 */
import {
  type Attachment,
  type BridgeDown,
  type Person,
  type PromptHead,
  type PromptView,
  type RuntimeEvent,
  type SessionEvent,
  type SessionView,
  type Todo,
  todoSchema,
  type Usage,
  type WorkspaceDiff,
  workspaceDiffSchema,
} from "@open-inspect/protocol";
import { z } from "zod";
import { fitsFrame } from "../adapters/bridge.ts";
import { createAttachmentStore } from "../adapters/sqlite/attachment-store.ts";
import { createCursor } from "../adapters/sqlite/cursor.ts";
import { createFactStore } from "../adapters/sqlite/fact-store.ts";
import { createPartStore } from "../adapters/sqlite/part-store.ts";
import { createPromptStore, type StoredPrompt } from "../adapters/sqlite/prompt-store.ts";
import { deadlines } from "../domain/deadlines.ts";
import { decideLoss, decideStop, endOf, inFlight, isHeard, isQueueFull, nextToSend } from "../domain/prompt-queue.ts";
import { createAnswerWriter } from "./answer-writer.ts";
import { eventsSince } from "./conversation-history.ts";
import { createUnheardPrompts } from "./unheard-prompts.ts";

export interface PromptOrder {
  id: string;
  text: string;
  model: string | null;
  author: Person | null;
  attachments: { attachment: Attachment; bytes: Uint8Array }[];
}

/** What a session's list and its idle stop need of the conversation. */
export interface Work {
  isWorking: boolean;
  promptCount: number;
  usage: Usage | null;
  /** the last prompt or word of an answer; 0 before the first */
  activeAt: number;
  firstPrompt: string | null;
}

/** What an order about a prompt came to. */
export type PromptAnswer = { prompt: PromptView } | { refused: "not_found" | "started" | "full" | "archived" };

export interface ConversationPorts {
  storage: DurableObjectStorage;
  say(text: string): void;
  send(attempt: string, message: BridgeDown): boolean;
  /** whether the sandbox may be given another prompt; not while it is about to end */
  mayBegin(): boolean;
  /** a deadline of this module has moved */
  schedule(): void;
  /** the work may be another; called in the turn of the change */
  changed(): void;
  now(): number;
}

export type Conversation = ReturnType<typeof createConversation>;

const factSchemas = { todos: z.array(todoSchema), diff: workspaceDiffSchema };
const readyKey = "conversation:ready";
const openKey = "conversation:open";
const activeKey = "conversation:activeAt";

export function createConversation(ports: ConversationPorts) {
  const { storage, say, send, now } = ports;
  const { sql, kv } = storage;
  const cursor = createCursor(sql);
  const prompts = createPromptStore(sql);
  const parts = createPartStore(sql);
  const attachments = createAttachmentStore(sql);
  const facts = createFactStore(sql);
  const answers = createAnswerWriter(parts, cursor, say);
  const unheard = createUnheardPrompts(kv);

  /** the prompt in flight, kept beside its row because each word of the answer asks for it */
  let running: StoredPrompt | null | undefined;
  let activeAt = kv.get<number>(activeKey) ?? null;
  let usageTold = 0;
  let usageTimer: ReturnType<typeof setTimeout> | null = null;

  const current = (): StoredPrompt | null => {
    if (running === undefined) running = inFlight(prompts.open());
    return running;
  };

  function active(at: number, stepMs = 0): void {
    if (activeAt !== null && at - activeAt < stepMs) return;
    activeAt = at;
    kv.put(activeKey, at);
  }

  /** Stores the prompt as it is now and tells it. */
  function tell(prompt: StoredPrompt): void {
    prompt.cursor = cursor.next();
    prompt.head = { ...prompt.head, status: prompt.status };
    prompts.save(prompt);
    if (prompt.status === "running") running = prompt;
    else if (running?.id === prompt.id) running = null;
    say(JSON.stringify({ type: "prompt", cursor: prompt.cursor, prompt: prompt.head } satisfies SessionEvent));
  }

  function finish(
    prompt: StoredPrompt,
    status: "done" | "stopped" | "failed" | "cancelled",
    error: string | null,
    at: number,
  ): void {
    answers.flush();
    if (usageTimer !== null && prompt.status === "running") {
      clearTimeout(usageTimer);
      usageTimer = null;
    }
    if (status === "done") answers.takeBack(prompt.id, "growing");
    else parts.settle(prompt.id, cursor.next());
    active(at);
    tell({ ...prompt, status, stopBy: null, head: { ...prompt.head, error, finishedAt: at } });
    ports.schedule();
  }

  /** Ends a running prompt without its sandbox's word. */
  function endUnheard(prompt: StoredPrompt, status: "stopped" | "failed", error: string | null, at: number): void {
    if (prompt.sentTo !== null) unheard.add(prompt.sentTo, prompt.id);
    finish(prompt, status, error, at);
  }

  /** Sends the next prompt when none is in flight. `again`: also the one in flight, which the runtime knows by its id. */
  function pump(again = false): void {
    const attempt = kv.get<string>(openKey);
    if (attempt === undefined) return;
    const known = current();
    const prompt = known ?? nextToSend(prompts.open());
    if (!prompt || (known && !again && known.sentTo === attempt)) return;
    if (!known && !ports.mayBegin()) return;
    if (prompt.sentTo !== null && prompt.sentTo !== attempt) {
      finish(prompt, "failed", "The sandbox that it ran in has ended.", now());
      pump();
      return;
    }
    const { id: promptId, text, model, author, createdAt, attachments: files } = prompt.head;
    const more = { author, ...(files.length === 0 ? {} : { attachments: files }) };
    const message: BridgeDown = { type: "prompt", promptId, text, model, createdAt, ...more };
    if (!fitsFrame(JSON.stringify(message))) {
      finish(prompt, "failed", "The prompt is too long for one message to its sandbox; attach long texts as files.", now());
      pump();
      return;
    }
    if (!send(attempt, message)) return;
    if (prompt.stopBy !== null) send(attempt, { type: "abort", promptId });
    if (prompt.status === "running") return;
    tell({ ...prompt, status: "running", sentTo: attempt, head: { ...prompt.head, startedAt: now() } });
  }

  const viewOf = (prompt: StoredPrompt): PromptView => ({ ...prompt.head, parts: parts.list(prompt.id) });
  const answer = (id: string): PromptAnswer => {
    const prompt = prompts.find(id);
    return prompt ? { prompt: viewOf(prompt) } : { refused: "not_found" };
  };

  function fact<K extends keyof typeof factSchemas>(key: K): z.output<(typeof factSchemas)[K]> | null;
  function fact(key: keyof typeof factSchemas): Todo[] | WorkspaceDiff | null {
    const json = facts.read(key);
    return json === null ? null : factSchemas[key].parse(JSON.parse(json));
  }

  /** Stores and tells it, unless it is what was told last. */
  function state(type: "todos" | "diff" | "session", json: string): void {
    const at = facts.put(type, json, cursor.next);
    if (at !== null) say(`{"type":"${type}","cursor":${at},"${type}":${json}}`);
  }

  function tellUsage(): void {
    usageTimer = null;
    usageTold = now();
    const prompt = current();
    if (prompt) tell(prompt);
    ports.changed();
  }

  function ended(prompt: StoredPrompt, event: Extract<RuntimeEvent, { type: "prompt.finished" }>, at: number): void {
    finish(prompt, endOf(event.outcome), event.error, at);
    pump();
    ports.changed();
  }

  /** @returns false when the event is none of the conversation's */
  function take(attempt: string, event: RuntimeEvent): boolean {
    switch (event.type) {
      case "prompt.delta": {
        const prompt = current();
        if (!isHeard(prompt, attempt) || prompt.id !== event.promptId) return true;
        answers.grow(event.promptId, event.partId, event.kind, event.delta);
        return true;
      }
      case "prompt.part": {
        const prompt = current();
        if (!isHeard(prompt, attempt) || prompt.id !== event.promptId) return true;
        answers.put(event.promptId, event.part);
        return true;
      }
      case "prompt.started": {
        const prompt = current();
        if (!isHeard(prompt, attempt) || prompt.id !== event.promptId || prompt.hasBegun) return true;
        tell({ ...prompt, hasBegun: true });
        return true;
      }
      case "prompt.finished": {
        const prompt = current();
        if (isHeard(prompt, attempt) && prompt.id === event.promptId) ended(prompt, event, now());
        unheard.heard(attempt, event.promptId);
        return true;
      }
      case "prompt.usage": {
        const prompt = current();
        if (!isHeard(prompt, attempt) || prompt.id !== event.promptId) return true;
        prompt.head = { ...prompt.head, usage: event.usage };
        prompts.save(prompt);
        const restMs = usageTold + deadlines.usageRestMs - now();
        if (restMs <= 0) tellUsage();
        else usageTimer ??= setTimeout(tellUsage, restMs);
        return true;
      }
      case "todos":
        state("todos", JSON.stringify(event.todos));
        return true;
      case "workspace.diff":
        state("diff", JSON.stringify(event.diff));
        return true;
      default:
        return false;
    }
  }

  return {
    take,
    /** The end of a turn in which events were taken. */
    settle(): void {
      answers.flush();
      if (current()) active(now(), deadlines.activeStepMs);
    },
    add(order: PromptOrder, at: number): PromptAnswer {
      const known = prompts.find(order.id);
      if (known) return { prompt: viewOf(known) };
      if (isQueueFull(prompts.open())) return { refused: "full" };
      for (const { attachment, bytes } of order.attachments) attachments.put(attachment, bytes);
      const { id, text, model, author } = order;
      const files = order.attachments.map(({ attachment }) => attachment);
      prompts.add({ id, text, model, author, attachments: files, createdAt: at }, cursor.next());
      active(at);
      const added = prompts.find(id);
      if (added) tell(added);
      pump();
      ports.changed();
      return answer(id);
    },
    change(id: string, changes: { text?: string | undefined; model?: string | null | undefined }): PromptAnswer {
      const prompt = prompts.find(id);
      if (!prompt) return { refused: "not_found" };
      if (prompt.status !== "queued") return { refused: "started" };
      const { text = prompt.head.text, model = prompt.head.model } = changes;
      tell({ ...prompt, head: { ...prompt.head, text, model } });
      ports.changed();
      return answer(id);
    },
    cancel(id: string, at: number): PromptAnswer {
      const prompt = prompts.find(id);
      if (!prompt) return { refused: "not_found" };
      if (prompt.status === "cancelled") return answer(id);
      if (prompt.status !== "queued") return { refused: "started" };
      finish(prompt, "cancelled", null, at);
      ports.changed();
      return answer(id);
    },
    stop(id: string, at: number): PromptAnswer {
      const prompt = prompts.find(id);
      if (!prompt) return { refused: "not_found" };
      switch (decideStop(prompt)) {
        case "cancel":
          finish(prompt, "cancelled", null, at);
          ports.changed();
          break;
        case "abort":
          tell({ ...prompt, stopBy: at + deadlines.promptStopMs });
          if (prompt.sentTo !== null) send(prompt.sentTo, { type: "abort", promptId: id });
          ports.schedule();
          break;
        case "nothing":
          break;
      }
      return answer(id);
    },
    /** Prompts may be sent to the attempt from now on; also after each of its reconnects. */
    open(attempt: string): void {
      kv.put(openKey, attempt);
      pump(true);
    },
    /** The sandbox is not about to end any more. */
    goOn: (): void => pump(),
    /** The attempt has greeted again: what it was told may be lost. */
    greeted(attempt: string): void {
      for (const promptId of unheard.of(attempt)) send(attempt, { type: "abort", promptId });
      if (kv.get<string>(openKey) === attempt) pump(true);
    },
    /** The attempt's start is proved: what its agent does from now on may have changed files. */
    ready(attempt: string): void {
      kv.put(readyKey, attempt);
      kv.put(openKey, attempt);
      pump();
    },
    /**
     * The attempt is not listened to any more. What the agent has not begun, or had begun in a sandbox that never became ready, waits for the
     * next one; what it had in hand is ended by whoever knows the cause.
     */
    lost(attempt: string): void {
      if (kv.get<string>(openKey) === attempt) kv.delete(openKey);
      answers.flush();
      const prompt = current();
      if (!prompt || prompt.sentTo !== attempt || decideLoss(prompt, kv.get<string>(readyKey) === attempt) !== "wait") return;
      answers.takeBack(prompt.id, "all");
      const head: PromptHead = { ...prompt.head, startedAt: null, usage: null };
      tell({ ...prompt, status: "queued", sentTo: null, hasBegun: false, head });
      ports.changed();
    },
    /**
     * The session's sandbox is gone with `cause`: the prompt in hand ends. With `all` it will not go on by itself either, and what waits never
     * runs. Prompts asked after `before` are another start's.
     */
    end(which: "running" | "all", outcome: "failed" | "stopped", cause: string, before: number): void {
      const at = now();
      for (const prompt of prompts.open()) {
        if (prompt.head.createdAt > before) continue;
        // Its sandbox may live on for a moment, and its files are kept as they are then.
        if (prompt.sentTo !== null) send(prompt.sentTo, { type: "abort", promptId: prompt.id });
        if (prompt.status === "queued") {
          if (which === "all") finish(prompt, "cancelled", cause, at);
        } else if (prompt.stopBy !== null || outcome === "stopped") endUnheard(prompt, "stopped", null, at);
        else endUnheard(prompt, "failed", cause, at);
      }
      ports.changed();
    },
    nextWakeAt: (): number | null => current()?.stopBy ?? null,
    /** Ends what was to be stopped and was not: its sandbox's late words are not heard any more. */
    clock(at: number): void {
      const prompt = current();
      if (!prompt || prompt.stopBy === null || at < prompt.stopBy) return;
      endUnheard(prompt, "stopped", null, at);
      pump();
      ports.changed();
    },
    work(): Work {
      return { ...prompts.totals(), activeAt: activeAt ?? 0 };
    },
    attachment: attachments.read,
    /** the prompts without their answers */
    asked: (): PromptHead[] => prompts.list().map(({ head }) => head),
    prompts: (): PromptView[] => prompts.list().map(viewOf),
    todos: () => fact("todos") ?? [],
    diff: () => fact("diff"),
    /** Tells the session's state, unless it is what was told last. @param json serialised */
    tellState: (json: string): void => state("session", json),
    /** What a browser is told first. @param known the cursor that it has, or null */
    since(known: number | null, view: () => SessionView): Generator<string> {
      answers.flush();
      return eventsSince(known, cursor.now(), { prompts, parts, facts }, view);
    },
  };
}
