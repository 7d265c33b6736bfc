/** What a request to either API asks, in one shape. Pure: schemas of both wires and a mapping, no answer. */
import { z } from "zod";

export type Block = { kind: "text" | "toolResult"; text: string };
export interface Turn {
  role: "user" | "assistant";
  /** in order. Clients merge neighbours of one role, so a turn can hold several prompts, also after tool results. */
  blocks: Block[];
}

export interface Conversation {
  model: string;
  isStream: boolean;
  turns: Turn[];
  /** names of the tools on offer */
  tools: string[];
}

const textBlock = z.looseObject({ type: z.literal("text"), text: z.string() });
const blocksToText = (content: string | { type: string }[]): string =>
  typeof content === "string"
    ? content
    : content
        .flatMap((block) => {
          const parsed = textBlock.safeParse(block);
          return parsed.success ? [parsed.data.text] : [];
        })
        .join("\n");

const block = z.looseObject({ type: z.string() });
const content = z.union([z.string(), z.array(block)]);

export const anthropicRequestSchema = z.looseObject({
  model: z.string().min(1),
  max_tokens: z.number().int().min(1),
  messages: z.array(z.looseObject({ role: z.enum(["user", "assistant"]), content })).min(1),
  system: z.union([z.string(), z.array(block)]).optional(),
  stream: z.boolean().optional(),
  tools: z.array(z.looseObject({ name: z.string() })).optional(),
});

const toolResult = z.looseObject({ type: z.literal("tool_result"), content: content.optional() });

export function fromAnthropic(request: z.infer<typeof anthropicRequestSchema>): Conversation {
  return {
    model: request.model,
    isStream: request.stream ?? false,
    tools: (request.tools ?? []).map((tool) => tool.name),
    turns: request.messages.map(({ role, content }) => ({
      role,
      blocks: typeof content === "string" ? [{ kind: "text", text: content }] : content.flatMap(toBlock),
    })),
  };
}

function toBlock(item: { type: string }): Block[] {
  const text = textBlock.safeParse(item);
  if (text.success) return [{ kind: "text", text: text.data.text }];
  const result = toolResult.safeParse(item);
  return result.success ? [{ kind: "toolResult", text: blocksToText(result.data.content ?? "") }] : [];
}

export const openaiRequestSchema = z.looseObject({
  model: z.string().min(1),
  messages: z
    .array(
      z.looseObject({
        role: z.enum(["system", "developer", "user", "assistant", "tool"]),
        content: z.union([z.string(), z.array(block), z.null()]).optional(),
      }),
    )
    .min(1),
  stream: z.boolean().optional(),
  stream_options: z.looseObject({ include_usage: z.boolean().optional() }).nullish(),
  tools: z.array(z.looseObject({ type: z.literal("function"), function: z.looseObject({ name: z.string() }) })).optional(),
});

export function fromOpenai(request: z.infer<typeof openaiRequestSchema>): Conversation {
  const turns: Turn[] = [];
  for (const { role, content } of request.messages) {
    const text = blocksToText(content ?? "");
    if (role === "user" || role === "assistant") turns.push({ role, blocks: [{ kind: "text", text }] });
    else if (role === "tool") turns.push({ role: "user", blocks: [{ kind: "toolResult", text }] });
  }
  return {
    model: request.model,
    isStream: request.stream ?? false,
    tools: (request.tools ?? []).map((tool) => tool.function.name),
    turns,
  };
}
