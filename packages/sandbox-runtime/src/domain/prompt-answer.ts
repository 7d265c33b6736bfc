/**
 * One prompt's answer as it grows: from the agent's parts and deltas to bridge events, coalesced, each change once.
 * Pure: the time is passed in.
 */
import { createHash } from "node:crypto";
import { type PromptPart, type RuntimeEvent } from "@open-inspect/protocol";
import { type AgentMessages, type AgentPart, type MessageInfo, toPromptPart } from "./agent-messages.ts";

const textDelayMs = 40;
/** A running tool resends its whole tail each time it prints. */
const runningToolDelayMs = 250;

interface Waiting {
  part: PromptPart | null;
  delta: { kind: "text" | "reasoning"; text: string } | null;
  dueAt: number;
}

const digest = (part: PromptPart): string => createHash("sha1").update(JSON.stringify(part)).digest("base64");

export function createAnswer(promptId: string, userMessageId: string) {
  const messages = new Set<string>();
  const kinds = new Map<string, "text" | "reasoning">();
  /** digest of what was last sent of each part */
  const sent = new Map<string, string>();
  /** text parts of which the other side has more than an empty beginning */
  const grown = new Set<string>();
  /** text parts that have begun and not ended */
  const open = new Set<string>();
  /** open parts that their agent will not go on with; they count until something takes their place */
  const abandoned = new Set<string>();
  const runningTools = new Map<string, PromptPart>();
  const waiting = new Map<string, Waiting>();

  const wait = (partId: string, dueAt: number): Waiting => {
    const known = waiting.get(partId);
    if (known) {
      known.dueAt = Math.min(known.dueAt, dueAt);
      return known;
    }
    const entry: Waiting = { part: null, delta: null, dueAt };
    waiting.set(partId, entry);
    return entry;
  };

  /** What is said anew takes the place of what was broken off: a whole part without text takes that back. */
  const replaceAbandoned = (now: number) => {
    for (const id of abandoned) {
      grown.delete(id);
      Object.assign(wait(id, now), { part: { kind: kinds.get(id) ?? "text", id, text: "" }, delta: null });
    }
    abandoned.clear();
  };

  const follow = (partId: string, isEnded: boolean, now: number) => {
    abandoned.delete(partId);
    replaceAbandoned(now);
    if (isEnded) open.delete(partId);
    else open.add(partId);
  };

  const offer = (part: PromptPart, now: number) => {
    const isRunningTool = part.kind === "tool" && part.status === "running";
    if (part.kind === "tool") {
      if (part.status === "running" || part.status === "pending") runningTools.set(part.id, part);
      else runningTools.delete(part.id);
    } else if (part.text !== "") grown.add(part.id);
    // The empty beginning of a text says nothing that its first delta does not say.
    else if (!grown.has(part.id)) return;
    const entry = wait(part.id, now + (isRunningTool ? runningToolDelayMs : 0));
    entry.part = part;
    entry.delta = null;
  };

  const take = (entry: Waiting, partId: string): RuntimeEvent[] => {
    const events: RuntimeEvent[] = [];
    if (entry.part) {
      const mark = digest(entry.part);
      if (sent.get(partId) !== mark) {
        sent.set(partId, mark);
        events.push({ type: "prompt.part", promptId, part: entry.part });
      }
    }
    if (entry.delta) {
      // Deltas came after the part that was sent: the same part again would be news.
      sent.delete(partId);
      events.push({ type: "prompt.delta", promptId, partId, kind: entry.delta.kind, delta: entry.delta.text });
    }
    return events;
  };

  return {
    /** Learns which messages belong to this answer. */
    message(info: MessageInfo): void {
      if (info.role === "assistant" && info.id !== userMessageId && !info.summary) messages.add(info.id);
    },
    part(part: AgentPart, now: number): void {
      if (!messages.has(part.messageID)) return;
      const mapped = toPromptPart(part);
      if (!mapped) return;
      if (mapped.kind === "tool") follow(mapped.id, true, now);
      else {
        kinds.set(mapped.id, mapped.kind);
        if (mapped.text !== "") follow(mapped.id, part.time?.end !== undefined, now);
      }
      offer(mapped, now);
    },
    delta(messageId: string, partId: string, text: string, now: number): void {
      const kind = kinds.get(partId);
      if (!kind || !messages.has(messageId)) return;
      grown.add(partId);
      follow(partId, false, now);
      const entry = wait(partId, now + textDelayMs);
      entry.delta = { kind, text: (entry.delta?.text ?? "") + text };
    },
    /** Makes up for events that were missed. `isOver`: what still runs will never end. */
    reconcile(snapshot: AgentMessages, isOver: boolean, now: number): void {
      for (const { info, parts } of snapshot) {
        if (info.role !== "assistant" || !messages.has(info.id)) continue;
        for (const part of parts) {
          const mapped = toPromptPart(part);
          if (!mapped) continue;
          // The agent stores text when a part ends; until then what was streamed is all there is.
          if (mapped.kind !== "tool" && part.time?.end === undefined && grown.has(mapped.id)) continue;
          if (mapped.kind !== "tool") {
            kinds.set(mapped.id, mapped.kind);
            open.delete(mapped.id);
          }
          const isStuck = isOver && mapped.kind === "tool" && (mapped.status === "running" || mapped.status === "pending");
          offer(isStuck ? { ...mapped, status: "interrupted" } : mapped, now);
        }
      }
    },
    /** The answer was cut off here and will be begun anew: what is half said stays until something takes its place. */
    abandon(): void {
      for (const id of open) abandoned.add(id);
      open.clear();
    },
    /** The agent died: its tools will not report any more. */
    interrupt(now: number): void {
      for (const part of [...runningTools.values()]) if (part.kind === "tool") offer({ ...part, status: "interrupted" }, now);
    },
    /** A tool of the agent's works; it may have nothing to say for long. */
    hasRunningTool: (): boolean => [...runningTools.values()].some((part) => part.kind === "tool" && part.status === "running"),
    /** When something is to be sent next, or null. */
    nextDueAt(): number | null {
      let due: number | null = null;
      for (const entry of waiting.values()) due = due === null ? entry.dueAt : Math.min(due, entry.dueAt);
      return due;
    },
    /** What is due at `now`; with Infinity everything. */
    takeDue(now: number): RuntimeEvent[] {
      const events: RuntimeEvent[] = [];
      for (const [partId, entry] of [...waiting]) {
        if (entry.dueAt > now) continue;
        waiting.delete(partId);
        events.push(...take(entry, partId));
      }
      return events;
    },
  };
}
export type Answer = ReturnType<typeof createAnswer>;
