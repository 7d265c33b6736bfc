/**
 * Takes prompts one at a time to the agent and its answers back, through crashes of either. Knows neither the bridge nor
 * how the agent is kept alive.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { type RuntimeEvent } from "@open-inspect/protocol";
import { type AgentEvent, type MessageInfo, toTodos } from "../domain/agent-messages.ts";
import { decideOutcome, silenceMaxMs } from "../domain/prompt-outcome.ts";
import { type AgentClient, type EventStream } from "./agent-client.ts";
import { abortPrompt, openAgentSession, postPrompt, readIdleSession, refuseRequest } from "./agent-session.ts";
import { type AgentInput } from "./attachments.ts";
import { createRun, type Prompt, type PromptRun } from "./prompt-run.ts";

const checkEveryMs = 10_000;
const checkAfterErrorMs = 400;
const reopenDelayMs = 250;
const resumesMax = 2;
const abortDeadlineMs = 15_000;
const queueMax = 1_000;

export interface PromptRunner {
  submit(prompt: Prompt): void;
  abort(promptId: string): void;
  /** a life of the agent, or of its instance, that can work now; each is another object */
  attach(client: AgentClient): void;
  /** that life is over */
  detach(): void;
  /** from now on prompts may run */
  open(): void;
  close(): void;
}

export function createPromptRunner(options: {
  /** title and mark of the agent's session, by which a later life finds it again */
  sessionTitle: string;
  defaultModel: string;
  send: (event: RuntimeEvent) => void;
  /** before the agent gets a prompt. Rejects with a sentence for whoever asked */
  prepare: (prompt: Prompt, signal: AbortSignal) => Promise<readonly AgentInput[]>;
  /** files may have changed: a tool of the agent's has run, or a prompt is over */
  onWork: (why: "tool" | "finished") => void;
  /** the agent is past reason: end this life */
  giveUpOnAgent: (reason: string) => void;
  log: (line: string) => void;
}): PromptRunner {
  const { send, log } = options;
  const queue: Prompt[] = [];
  const known = new Set<string>();
  let run: PromptRun | null = null;
  let client: AgentClient | null = null;
  let stream: EventStream | null = null;
  let agentSession: string | null = null;
  let isReady = false;
  let isOpen = false;
  let isClosed = false;
  let isChecking = false;
  let isCheckOwed = false;
  let toldTodos = "";
  let flushTimer: NodeJS.Timeout | undefined;
  let abortTimer: NodeJS.Timeout | undefined;

  const flush = (now: number) => {
    clearTimeout(flushTimer);
    flushTimer = undefined;
    if (!run) return;
    for (const event of run.answer.takeDue(now)) send(event);
    const due = run.answer.nextDueAt();
    if (due !== null) flushTimer = setTimeout(() => flush(Date.now()), Math.max(1, due - Date.now()));
  };
  const scheduleFlush = () => {
    const due = run?.answer.nextDueAt() ?? null;
    if (due === null) return;
    if (due <= Date.now()) flush(Date.now());
    else flushTimer ??= setTimeout(() => flush(Date.now()), due - Date.now());
  };

  const finish = (outcome: "done" | "aborted" | "failed", error: string | null) => {
    const ended = run;
    if (!ended) return;
    if (outcome !== "done") ended.answer.interrupt(Date.now());
    flush(Number.POSITIVE_INFINITY);
    tellUsage(ended, true);
    run = null;
    clearTimeout(abortTimer);
    ended.preparing.abort();
    send({ type: "prompt.finished", promptId: ended.prompt.promptId, outcome, error });
    if (ended.parts) options.onWork("finished");
    void pump();
  };

  const tellUsage = ({ usage, prompt }: PromptRun, isLast: boolean) => {
    const due = usage.takeDue(Date.now(), isLast);
    if (due) send({ type: "prompt.usage", promptId: prompt.promptId, usage: due });
  };

  /** Learns of a message of the agent's, of its own session or of a sub-agent's. */
  const learn = (current: PromptRun, info: MessageInfo) => {
    const isAnswer = info.parentID === current.ids.messageId;
    // A late word of the prompt before is older; times are the agent's, which runs by the same clock as we do.
    if (!isAnswer && info.time.created < current.startedAt) return;
    if (info.sessionID === agentSession) current.answer.message(info);
    current.usage.message(info);
    tellUsage(current, false);
  };

  const post = async (current: PromptRun, from: AgentClient) => {
    current.isPosted = false;
    if (agentSession === null || !current.parts) return;
    const { ids, prompt, parts } = current;
    try {
      const status = await postPrompt(from, agentSession, {
        ids,
        parts,
        model: prompt.model ?? options.defaultModel,
      });
      if (run !== current || client !== from) return;
      if (status >= 400) return finish("failed", `The agent refused the prompt (HTTP ${status}).`);
      current.isPosted = true;
      if (current.abortRequested) void sendAbort(current, from);
    } catch (error) {
      // The next life, or the regular check, sends it again.
      log(`agent: sending a prompt failed: ${error instanceof Error ? error.message : error}`);
      if (run === current && client === from) setTimeout(() => void check(), checkAfterErrorMs);
    }
  };

  const pump = async () => {
    if (run || !isOpen || !isReady || !client || isClosed) return;
    const prompt = queue.shift();
    if (!prompt) return;
    const current = createRun(prompt);
    run = current;
    send({ type: "prompt.started", promptId: prompt.promptId });
    try {
      const parts = await options.prepare(prompt, current.preparing.signal);
      if (run !== current) return;
      current.parts = parts;
      current.lastEventAt = Date.now();
    } catch (error) {
      if (run === current) finish("failed", error instanceof Error ? error.message : String(error));
      return;
    }
    // A life of the agent that begins later sends it by itself.
    if (client && isReady) await post(current, client);
  };

  const sendAbort = async (current: PromptRun, from: AgentClient) => {
    if (agentSession !== null) await abortPrompt(from, agentSession);
    if (run === current) await check();
  };

  /** Idle is the only sign of the end; the messages then say how it ended. */
  const check = async () => {
    const current = run;
    const from = client;
    if (!current?.parts || !from || !isReady || agentSession === null) return;
    if (isChecking) {
      isCheckOwed = true;
      return;
    }
    isChecking = true;
    isCheckOwed = false;
    try {
      const snapshot = await readIdleSession(from, agentSession);
      if (snapshot === null) return;
      if (run !== current || client !== from) return;
      const asked = snapshot.findIndex(({ info }) => info.id === current.ids.messageId);
      for (const { info } of snapshot.slice(asked + 1)) {
        if (asked < 0 && info.parentID !== current.ids.messageId) continue;
        current.answer.message(info);
        current.usage.message(info);
      }
      const { abortRequested, lastError } = current;
      const outcome = decideOutcome({ snapshot, messageId: current.ids.messageId, abortRequested, lastError });
      current.answer.reconcile(snapshot, outcome.kind !== "unfinished", Date.now());
      flush(Date.now());
      if (outcome.kind === "failed") finish("failed", outcome.error);
      else if (outcome.kind !== "unfinished") finish(outcome.kind, null);
      else if (current.resumes++ < resumesMax) {
        current.lastError = null;
        await post(current, from);
      } else finish("failed", "The agent stopped in the middle of its answer and did not go on.");
    } catch (error) {
      log(`agent: a check failed: ${error instanceof Error ? error.message : error}`);
    } finally {
      isChecking = false;
      // What came meanwhile may be the only sign of the end.
      if (isCheckOwed) void check();
    }
  };

  const onEvent = (event: AgentEvent, from: AgentClient) => {
    if (client !== from) return;
    const now = Date.now();
    if (run) run.lastEventAt = now;
    switch (event.type) {
      case "server.connected":
        return;
      case "permission.asked":
        void refuseRequest(from, "permission", event.properties.id);
        return;
      case "question.asked":
        void refuseRequest(from, "question", event.properties.id);
        return;
      case "message.updated": {
        if (run) learn(run, event.properties.info);
        return;
      }
      case "message.part.updated": {
        const { part } = event.properties;
        run?.answer.part(part, now);
        if (part.state?.status === "completed" || part.state?.status === "error") options.onWork("tool");
        return scheduleFlush();
      }
      case "todo.updated": {
        if (event.properties.sessionID !== agentSession) return;
        const todos = toTodos(event.properties.todos);
        const mark = JSON.stringify(todos);
        if (mark !== toldTodos) send({ type: "todos", todos });
        toldTodos = mark;
        return;
      }
      case "message.part.delta":
        if (event.properties.field === "text")
          run?.answer.delta(event.properties.messageID, event.properties.partID, event.properties.delta, now);
        return scheduleFlush();
      case "session.status":
        if (event.properties.sessionID === agentSession && event.properties.status.type === "retry") {
          run?.answer.abandon();
          send({
            type: "log",
            phase: "agent",
            stream: "system",
            text: `The model did not answer (${event.properties.status.message ?? "no reason"}); trying again.\n`,
          });
        }
        return;
      case "session.idle":
        if (event.properties.sessionID === agentSession && run?.isPosted) void check();
        return;
      case "session.error":
        if (event.properties.sessionID !== agentSession || !run?.isPosted) return;
        run.lastError = event.properties.error ?? null;
        setTimeout(() => void check(), checkAfterErrorMs);
        return;
    }
  };

  const openStream = async (from: AgentClient): Promise<void> => {
    const opened = await from.events(
      (event) => onEvent(event, from),
      (why) => {
        if (client !== from || isClosed) return;
        log(`agent: ${why}, opening it again`);
        void reopen(from);
      },
    );
    // Two streams would tell everything twice.
    if (client !== from || isClosed) opened.close();
    else stream = opened;
  };
  const reopen = async (from: AgentClient) => {
    while (client === from && !isClosed) {
      await sleep(reopenDelayMs);
      try {
        await openStream(from);
        return await check();
      } catch {
        // The liveness check decides about the server; here we only go on.
      }
    }
  };

  const take = async (from: AgentClient) => {
    try {
      await openStream(from);
      agentSession = await openAgentSession(from, options.sessionTitle);
      if (client !== from) return;
      isReady = true;
      if (!run) return await pump();
      if (run.parts) await post(run, from);
    } catch (error) {
      if (client === from)
        options.giveUpOnAgent(`its session could not be opened (${error instanceof Error ? error.message : error})`);
    }
  };

  const regular = setInterval(() => {
    if (!run || !isReady) return;
    const maxMs = silenceMaxMs(run.answer.hasRunningTool());
    if (Date.now() - run.lastEventAt > maxMs && !run.abortRequested) {
      run.lastError = { name: "Silence", data: { message: `no sign of life for ${maxMs / 60_000} minutes` } };
      return runner.abort(run.prompt.promptId);
    }
    if (run.isPosted) void check();
    else if (client && run.parts) void post(run, client);
  }, checkEveryMs);

  const runner: PromptRunner = {
    submit(prompt) {
      if (known.has(prompt.promptId) || isClosed) return;
      known.add(prompt.promptId);
      if (queue.length >= queueMax)
        return send({
          type: "prompt.finished",
          promptId: prompt.promptId,
          outcome: "failed",
          error: "Too many prompts are waiting.",
        });
      queue.push(prompt);
      void pump();
    },
    abort(promptId) {
      const waiting = queue.findIndex((prompt) => prompt.promptId === promptId);
      if (waiting >= 0) {
        queue.splice(waiting, 1);
        return send({ type: "prompt.finished", promptId, outcome: "aborted", error: null });
      }
      const current = run;
      if (current?.prompt.promptId !== promptId || current.abortRequested) return;
      // Nothing of it is with an agent that lives.
      if (!client || !current.parts) return finish("aborted", null);
      current.abortRequested = true;
      if (current.isPosted) void sendAbort(current, client);
      abortTimer = setTimeout(() => {
        if (run !== current) return;
        finish("aborted", null);
        options.giveUpOnAgent("it did not stop when asked to");
      }, abortDeadlineMs);
    },
    attach(next) {
      client = next;
      isReady = false;
      void take(next);
    },
    detach() {
      client = null;
      isReady = false;
      stream?.close();
      stream = null;
      if (!run) return;
      if (run.abortRequested) return finish("aborted", null);
      run.isPosted = false;
      run.answer.interrupt(Date.now());
      flush(Number.POSITIVE_INFINITY);
      run.answer.abandon();
    },
    open() {
      isOpen = true;
      void pump();
    },
    close() {
      isClosed = true;
      clearInterval(regular);
      clearTimeout(flushTimer);
      clearTimeout(abortTimer);
      stream?.close();
    },
  };
  return runner;
}
