/** Sessions that an agent begins from its own: how many it may, and what it sees of them. Pure. */
import { type AgentSessionState, type SessionView } from "@open-inspect/protocol";
import { deadlines, limits } from "./deadlines.ts";

/** One that was admitted under a root, as the root and the database know it. */
export interface SubSession {
  id: string;
  admittedAt: number;
  /** null: the database does not have it (yet) */
  row: { isStarting: boolean; isWorking: boolean } | null;
}

/** Why another one may not begin, as a sentence for the agent; null: it may. */
export function refuseSubSession(isNested: boolean, others: readonly SubSession[], now: number): string | null {
  // A root's sessions may begin sessions, and those may not.
  if (isNested) {
    return `Sessions may begin sessions ${limits.subSessionDepth} levels deep, and this one is at the last. Do the work here.`;
  }
  if (others.length >= limits.subSessions) {
    return `${limits.subSessions} sessions were begun from here, and that is the most. Do the rest of the work here.`;
  }
  const busy = others.filter(({ row, admittedAt }) => {
    return row ? row.isStarting || row.isWorking : now - admittedAt < deadlines.subSessionUnseenMs;
  }).length;
  if (busy < limits.subSessionsAtWork) return null;
  return `${limits.subSessionsAtWork} sessions that were begun from here are at work, and that is the most. Wait until one has answered, then try again.`;
}

const lastAnswerLength = 4_000;

/** @param url the session's page */
export function subSessionStateOf(view: SessionView, url: string): AgentSessionState {
  const { id, status, isWorking, title } = view;
  return { id, status, isWorking, title, url, lastAnswer: lastAnswerOf(view) };
}

/** The end of what the last prompt that was answered says, its text alone. */
function lastAnswerOf({ prompts }: Pick<SessionView, "prompts">): string | null {
  for (const { parts, error } of prompts.toReversed()) {
    const texts = parts.flatMap((part) => (part.kind === "text" && part.text !== "" ? [part.text] : []));
    const text = [...texts, ...(error === null ? [] : [`(It ended early: ${error})`])].join("\n\n");
    if (text !== "") return text.slice(-lastAnswerLength);
  }
  return null;
}
