/** The calls of the agent's API that prompts need, typed and with deadlines. Knows no queue and no order of events. */
import { z } from "zod";
import { type AgentIds } from "../domain/agent-ids.ts";
import { type AgentMessages, messagesSchema, sessionSchema, statusesSchema } from "../domain/agent-messages.ts";
import { type AgentClient } from "./agent-client.ts";
import { agentProvider } from "./agent-setup.ts";
import { type AgentInput } from "./attachments.ts";

const callTimeoutMs = 15_000;
const snapshotMessages = 100;

/** The session with this title, made when there is none. Rejects when the agent does not answer as it should. */
export async function openAgentSession(client: AgentClient, title: string): Promise<string> {
  const listed = z.array(sessionSchema).safeParse((await client.call("GET", "/session", { timeoutMs: callTimeoutMs })).body);
  const mine = listed.data?.find((session) => session.title === title);
  if (mine) return mine.id;
  // With a title of its own the agent does not ask the model for one.
  return sessionSchema.parse((await client.call("POST", "/session", { body: { title }, timeoutMs: callTimeoutMs })).body).id;
}

/** Safe to repeat with the same ids: answered it does nothing, unanswered it goes on. @returns the HTTP status */
export async function postPrompt(
  client: AgentClient,
  session: string,
  prompt: { ids: AgentIds; parts: readonly AgentInput[]; model: string },
): Promise<number> {
  const body = {
    messageID: prompt.ids.messageId,
    model: { providerID: agentProvider, modelID: prompt.model },
    parts: prompt.parts.map((part, index) => ({ id: prompt.ids.partId(index), ...part })),
  };
  return (await client.call("POST", `/session/${session}/prompt_async`, { body, timeoutMs: callTimeoutMs })).status;
}

/** Never rejects: whether it worked shows in the session. */
export async function abortPrompt(client: AgentClient, session: string): Promise<void> {
  await client.call("POST", `/session/${session}/abort`, { timeoutMs: callTimeoutMs }).catch(() => undefined);
}

/** The latest messages, oldest first, once the session is idle; null while it works. */
export async function readIdleSession(client: AgentClient, session: string): Promise<AgentMessages | null> {
  const statuses = statusesSchema.parse((await client.call("GET", "/session/status", { timeoutMs: callTimeoutMs })).body);
  if (statuses[session]) return null;
  const path = `/session/${session}/message?limit=${snapshotMessages}`;
  return messagesSchema.parse((await client.call("GET", path, { timeoutMs: callTimeoutMs })).body);
}

/** Nobody is there to be asked; unanswered, the prompt would wait for ever. */
export async function refuseRequest(client: AgentClient, kind: "permission" | "question", id: string): Promise<void> {
  const [path, body] = kind === "permission" ? [`/permission/${id}/reply`, { reply: "reject" }] : [`/question/${id}/reject`, {}];
  await client.call("POST", path, { body, timeoutMs: callTimeoutMs }).catch(() => undefined);
}
