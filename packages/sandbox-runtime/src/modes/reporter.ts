/** Turns phases and their output into bridge events: started, log, finished. Knows no git, hook or agent. */
import { type Phase, type RuntimeEvent } from "@open-inspect/protocol";
import { createLogBudget } from "../domain/log-budget.ts";

export interface PhaseReport {
  /** the command's own output, as it comes */
  output(stream: "stdout" | "stderr", text: string): void;
  /** one line of ours */
  system(line: string): void;
  finish(outcome: "done" | "failed" | "skipped", detail?: string): void;
}

const flushDelayMs = 50;
/** Two reads of a pipe make an event as large as it may be; what is held back costs the least memory as it was read. */
const sentCharacters = 96 * 1024;
const heldCharacters = 16 * 1024;
/** How old what is shown of a flood may be. */
const catchUpMs = 2_000;

/** Phases that a failure has to name are those begun and not finished; `running` gives the latest of them. */
export function createReporter(send: (event: RuntimeEvent) => void, log: (line: string) => void) {
  const running: Phase[] = [];

  const begin = (phase: Phase): PhaseReport => {
    const startedAt = Date.now();
    const budget = createLogBudget(phase);
    let stream: "stdout" | "stderr" = "stdout";
    let held = "";
    let timer: NodeJS.Timeout | undefined;
    let catchUpTimer: NodeJS.Timeout | undefined;
    let isFinished = false;
    const flush = () => {
      clearTimeout(timer);
      timer = undefined;
      const text = held;
      held = "";
      for (const event of budget.push(stream, text)) send(event);
      if (budget.isHolding()) catchUpTimer ??= setTimeout(catchUp, catchUpMs);
    };
    const catchUp = () => {
      catchUpTimer = undefined;
      for (const event of budget.catchUp()) send(event);
      if (budget.isHolding()) catchUpTimer = setTimeout(catchUp, catchUpMs);
    };
    running.push(phase);
    send({ type: "phase.started", phase });
    return {
      output(next, text) {
        if (next !== stream) flush();
        stream = next;
        held += text;
        if (held.length >= (budget.isOver() ? heldCharacters : sentCharacters)) flush();
        // Many small writes become one event; still live to the eye.
        else timer ??= setTimeout(flush, flushDelayMs);
      },
      system(line) {
        flush();
        log(`${phase}: ${line}`);
        for (const event of budget.push("system", `${line}\n`)) send(event);
      },
      finish(outcome, detail) {
        if (isFinished) return;
        isFinished = true;
        flush();
        clearTimeout(catchUpTimer);
        for (const event of budget.finish()) send(event);
        const at = running.lastIndexOf(phase);
        if (at >= 0) running.splice(at, 1);
        const durationMs = Date.now() - startedAt;
        log(`${phase}: ${outcome} after ${durationMs} ms${detail ? ` (${detail})` : ""}`);
        send({ type: "phase.finished", phase, outcome, durationMs, ...(detail === undefined ? {} : { detail }) });
      },
    };
  };

  return {
    begin,
    skip(phase: Phase, detail: string) {
      begin(phase).finish("skipped", detail);
    },
    running: (): Phase | null => running.at(-1) ?? null,
  };
}
export type Reporter = ReturnType<typeof createReporter>;
