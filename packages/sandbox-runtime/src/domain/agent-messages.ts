/** What of OpenCode's messages and events the runtime reads; everything else passes by. Pure: schemas and a mapping. */
import { type PromptPart, type Todo } from "@open-inspect/protocol";
import { z } from "zod";

const errorSchema = z.looseObject({
  name: z.string(),
  data: z.looseObject({ message: z.string().optional(), statusCode: z.number().optional() }).optional(),
});
export type AgentError = z.infer<typeof errorSchema>;

export const messageInfoSchema = z.looseObject({
  id: z.string(),
  sessionID: z.string(),
  role: z.enum(["user", "assistant"]),
  parentID: z.string().optional(),
  /** written by the agent's own compaction, no answer */
  summary: z.unknown().optional(),
  time: z.looseObject({ created: z.number(), completed: z.number().optional() }),
  finish: z.string().optional(),
  error: errorSchema.optional(),
  /** US dollars by the declared prices */
  cost: z.number().optional(),
  tokens: z
    .looseObject({
      input: z.number(),
      output: z.number(),
      reasoning: z.number(),
      cache: z.looseObject({ read: z.number(), write: z.number() }),
    })
    .optional(),
});
export type MessageInfo = z.infer<typeof messageInfoSchema>;

export const partSchema = z.looseObject({
  id: z.string(),
  messageID: z.string(),
  sessionID: z.string(),
  type: z.string(),
  text: z.string().optional(),
  time: z.looseObject({ end: z.number().optional() }).optional(),
  tool: z.string().optional(),
  state: z
    .looseObject({
      status: z.string(),
      input: z.unknown().optional(),
      output: z.unknown().optional(),
      title: z.string().optional(),
      error: z.unknown().optional(),
      metadata: z.unknown().optional(),
    })
    .optional(),
});
export type AgentPart = z.infer<typeof partSchema>;

export const messagesSchema = z.array(z.looseObject({ info: messageInfoSchema, parts: z.array(partSchema) }));
export type AgentMessages = z.infer<typeof messagesSchema>;
export const sessionSchema = z.looseObject({ id: z.string(), title: z.string().optional() });
export const statusesSchema = z.record(z.string(), z.looseObject({ type: z.string() }));
export const healthSchema = z.looseObject({ healthy: z.literal(true), version: z.string() });

const agentTodoSchema = z.looseObject({ content: z.string(), status: z.string(), priority: z.string().optional() });
export type AgentTodo = z.infer<typeof agentTodoSchema>;

const inSession = { sessionID: z.string() };
export const agentEventSchema = z.discriminatedUnion("type", [
  z.object({ type: z.literal("server.connected") }),
  z.object({ type: z.literal("message.updated"), properties: z.looseObject({ info: messageInfoSchema }) }),
  z.object({ type: z.literal("message.part.updated"), properties: z.looseObject({ part: partSchema }) }),
  z.object({
    type: z.literal("message.part.delta"),
    properties: z.looseObject({ ...inSession, messageID: z.string(), partID: z.string(), field: z.string(), delta: z.string() }),
  }),
  z.object({
    type: z.literal("session.status"),
    properties: z.looseObject({ ...inSession, status: z.looseObject({ type: z.string(), message: z.string().optional() }) }),
  }),
  z.object({ type: z.literal("session.idle"), properties: z.looseObject(inSession) }),
  z.object({
    type: z.literal("session.error"),
    properties: z.looseObject({ sessionID: z.string().optional(), error: errorSchema.optional() }),
  }),
  z.object({ type: z.literal("todo.updated"), properties: z.looseObject({ ...inSession, todos: z.array(agentTodoSchema) }) }),
  z.object({ type: z.literal("permission.asked"), properties: z.looseObject({ id: z.string() }) }),
  z.object({ type: z.literal("question.asked"), properties: z.looseObject({ id: z.string() }) }),
]);
export type AgentEvent = z.infer<typeof agentEventSchema>;

const todosMax = 200;
const todoMaxCharacters = 2_000;
const todoStatuses = ["pending", "in_progress", "completed", "cancelled"] as const;
const todoPriorities = ["high", "medium", "low"] as const;

/** The list as the protocol knows it, cut to its limits. */
export function toTodos(todos: readonly AgentTodo[]): Todo[] {
  return todos.slice(0, todosMax).map((todo) => {
    const priority = todoPriorities.find((known) => known === todo.priority);
    return {
      content: todo.content.slice(0, todoMaxCharacters),
      status: todoStatuses.find((known) => known === todo.status) ?? "pending",
      ...(priority ? { priority } : {}),
    };
  });
}

export const isAborted = (error: AgentError): boolean => error.name === "MessageAbortedError";

export function errorText(error: AgentError): string {
  // Some of the agent's messages carry its own stack.
  const [message = error.name] = (error.data?.message ?? error.name).split(/\n\s+at /);
  return error.data?.statusCode === undefined ? message : `${message} (HTTP ${error.data.statusCode})`;
}

const toolStatuses = { pending: "pending", running: "running", completed: "completed", error: "error" } as const;
const asText = (value: unknown): string => (typeof value === "string" ? value : value === undefined ? "" : JSON.stringify(value));

/** An input that is still being written is `{}`. */
const inputText = (input: unknown): string => {
  const text = asText(input);
  return text === "{}" ? "" : text;
};

const inputSchema = z.looseObject({
  command: z.string().optional(),
  description: z.string().optional(),
  filePath: z.string().optional(),
});
const metadataSchema = z.looseObject({ output: z.string().optional() });

/** The part as pages show it, or null for a kind that is the agent's own bookkeeping. */
export function toPromptPart(part: AgentPart): PromptPart | null {
  if (part.type === "text" || part.type === "reasoning") return { kind: part.type, id: part.id, text: part.text ?? "" };
  if (part.type !== "tool" || !part.state) return null;
  const { state } = part;
  const input = inputSchema.safeParse(state.input).data;
  const status = Object.entries(toolStatuses).find(([name]) => name === state.status)?.[1] ?? "running";
  const output =
    status === "completed"
      ? asText(state.output)
      : status === "error"
        ? asText(state.error)
        : (metadataSchema.safeParse(state.metadata).data?.output ?? "");
  return {
    kind: "tool",
    id: part.id,
    tool: part.tool ?? "tool",
    status,
    title: state.title || input?.description || input?.command || input?.filePath || "",
    input: input?.command ?? inputText(state.input),
    output,
  };
}
