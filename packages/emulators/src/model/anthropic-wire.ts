/** A reply in the format of Anthropic's Messages API, whole and as stream events. Pure: yields what to write and when. */
import { type Reply } from "./reply.ts";
import { chunks, countTokens, type StreamItem, type Usage } from "./wire.ts";

type Answer = Extract<Reply, { kind: "answer" }>;

const stopReason = (answer: Answer): "tool_use" | "end_turn" => (answer.tools.length > 0 ? "tool_use" : "end_turn");
const signature = "c2NyaXB0ZWQ=";

const usageOf = (usage: Usage, output: number) => ({
  input_tokens: usage.inputTokens,
  cache_creation_input_tokens: 0,
  cache_read_input_tokens: 0,
  output_tokens: output,
});

export function anthropicMessage(answer: Answer, model: string, id: string, usage: Usage) {
  return {
    id: `msg_${id}`,
    type: "message",
    role: "assistant",
    model,
    content: [
      ...(answer.reasoning === "" ? [] : [{ type: "thinking", thinking: answer.reasoning, signature }]),
      ...(answer.text === "" ? [] : [{ type: "text", text: answer.text }]),
      ...answer.tools.map((tool, index) => ({ type: "tool_use", id: `toolu_${id}${index}`, name: tool.name, input: tool.args })),
    ],
    stop_reason: stopReason(answer),
    stop_sequence: null,
    usage: usageOf(usage, usage.outputTokens),
  };
}

const event = (type: string, fields: Record<string, unknown>, delayMs = 0): StreamItem => ({
  delayMs,
  text: `event: ${type}\ndata: ${JSON.stringify({ type, ...fields })}\n\n`,
});

export function* anthropicStart(model: string, id: string, usage: Usage): Generator<StreamItem> {
  const message = {
    id: `msg_${id}`,
    type: "message",
    role: "assistant",
    model,
    content: [],
    stop_reason: null,
    stop_sequence: null,
    usage: usageOf(usage, 1),
  };
  yield event("message_start", { message });
  yield event("ping", {});
}

/** A block of streamed text that is not closed: what a connection that breaks has sent. */
export function* anthropicPartial(text: string, index = 0): Generator<StreamItem> {
  yield event("content_block_start", { index, content_block: { type: "text", text: "" } });
  for (const piece of chunks(text, 24)) yield event("content_block_delta", { index, delta: { type: "text_delta", text: piece } });
}

export function* anthropicStream(answer: Answer, model: string, id: string, usage: Usage): Generator<StreamItem> {
  yield* anthropicStart(model, id, usage);
  let index = 0;
  if (answer.reasoning !== "") {
    yield event("content_block_start", { index, content_block: { type: "thinking", thinking: "", signature: "" } });
    for (const piece of chunks(answer.reasoning, answer.chunk))
      yield event("content_block_delta", { index, delta: { type: "thinking_delta", thinking: piece } }, answer.delayMs);
    yield event("content_block_delta", { index, delta: { type: "signature_delta", signature } });
    yield event("content_block_stop", { index });
    index++;
  }
  if (answer.text !== "") {
    yield event("content_block_start", { index, content_block: { type: "text", text: "" } });
    for (const piece of chunks(answer.text, answer.chunk))
      yield event("content_block_delta", { index, delta: { type: "text_delta", text: piece } }, answer.delayMs);
    yield event("content_block_stop", { index });
    index++;
  }
  for (const [number, tool] of answer.tools.entries()) {
    yield event("content_block_start", {
      index,
      content_block: { type: "tool_use", id: `toolu_${id}${number}`, name: tool.name, input: {} },
    });
    yield event("content_block_delta", { index, delta: { type: "input_json_delta", partial_json: "" } });
    for (const piece of chunks(JSON.stringify(tool.args), 64))
      yield event("content_block_delta", { index, delta: { type: "input_json_delta", partial_json: piece } });
    yield event("content_block_stop", { index });
    index++;
  }
  const delta = { stop_reason: stopReason(answer), stop_sequence: null };
  yield event("message_delta", { delta, usage: { output_tokens: usage.outputTokens } });
  yield event("message_stop", {});
}

const errorTypes: Record<number, string> = {
  400: "invalid_request_error",
  401: "authentication_error",
  403: "permission_error",
  404: "not_found_error",
  413: "request_too_large",
  429: "rate_limit_error",
  500: "api_error",
  529: "overloaded_error",
};

export function anthropicError(status: number, message: string, id: string) {
  const type = errorTypes[status] ?? (status < 500 ? "invalid_request_error" : "api_error");
  return { type: "error", error: { type, message }, request_id: `req_${id}` };
}

export const anthropicUsage = (request: unknown, answer: Answer): Usage => ({
  inputTokens: countTokens(JSON.stringify(request)),
  outputTokens: countTokens(answer.reasoning + answer.text + JSON.stringify(answer.tools)),
});
