/** A reply in the format of OpenAI's Chat Completions API, whole and as stream chunks. Pure: yields what to write and when. */
import { type Reply } from "./reply.ts";
import { chunks, type StreamItem, type Usage } from "./wire.ts";

type Answer = Extract<Reply, { kind: "answer" }>;

const finishReason = (answer: Answer): "tool_calls" | "stop" => (answer.tools.length > 0 ? "tool_calls" : "stop");
const usageOf = (usage: Usage) => ({
  prompt_tokens: usage.inputTokens,
  completion_tokens: usage.outputTokens,
  total_tokens: usage.inputTokens + usage.outputTokens,
});
const toolCalls = (answer: Answer, id: string) =>
  answer.tools.map((tool, index) => ({
    id: `call_${id}${index}`,
    type: "function",
    function: { name: tool.name, arguments: JSON.stringify(tool.args) },
  }));

export function openaiCompletion(answer: Answer, model: string, id: string, created: number, usage: Usage) {
  return {
    id: `chatcmpl-${id}`,
    object: "chat.completion",
    created,
    model,
    choices: [
      {
        index: 0,
        message: {
          role: "assistant",
          content: answer.text === "" ? null : answer.text,
          refusal: null,
          ...(answer.reasoning === "" ? {} : { reasoning_content: answer.reasoning }),
          ...(answer.tools.length === 0 ? {} : { tool_calls: toolCalls(answer, id) }),
        },
        logprobs: null,
        finish_reason: finishReason(answer),
      },
    ],
    usage: usageOf(usage),
    system_fingerprint: null,
  };
}

/** @param envelope id, creation time in seconds and model of every chunk */
function chunk(envelope: Envelope, choices: unknown[], more: Record<string, unknown> = {}, delayMs = 0): StreamItem {
  const { id, created, model } = envelope;
  const body = {
    id: `chatcmpl-${id}`,
    object: "chat.completion.chunk",
    created,
    model,
    system_fingerprint: null,
    choices,
    ...more,
  };
  return { delayMs, text: `data: ${JSON.stringify(body)}\n\n` };
}
const delta = (fields: Record<string, unknown>, finish: string | null = null) => [
  { index: 0, delta: fields, logprobs: null, finish_reason: finish },
];

export interface Envelope {
  id: string;
  created: number;
  model: string;
}

export function* openaiPartial(text: string, envelope: Envelope): Generator<StreamItem> {
  yield chunk(envelope, delta({ role: "assistant", content: "" }));
  for (const piece of chunks(text, 24)) yield chunk(envelope, delta({ content: piece }));
}

export function* openaiStream(answer: Answer, envelope: Envelope, usage: Usage, withUsage: boolean): Generator<StreamItem> {
  yield chunk(envelope, delta({ role: "assistant", content: "" }));
  for (const piece of chunks(answer.reasoning, answer.chunk))
    yield chunk(envelope, delta({ reasoning_content: piece }), {}, answer.delayMs);
  for (const piece of chunks(answer.text, answer.chunk)) yield chunk(envelope, delta({ content: piece }), {}, answer.delayMs);
  for (const [index, call] of toolCalls(answer, envelope.id).entries()) {
    const { arguments: args, name } = call.function;
    yield chunk(envelope, delta({ tool_calls: [{ index, id: call.id, type: "function", function: { name, arguments: "" } }] }));
    for (const piece of chunks(args, 64))
      yield chunk(envelope, delta({ tool_calls: [{ index, function: { arguments: piece } }] }));
  }
  yield chunk(envelope, delta({}, finishReason(answer)));
  if (withUsage) yield chunk(envelope, [], { usage: usageOf(usage) });
  yield { delayMs: 0, text: "data: [DONE]\n\n" };
}

const errorTypes: Record<number, string> = {
  401: "invalid_request_error",
  429: "rate_limit_exceeded",
  500: "server_error",
};
export function openaiError(status: number, message: string) {
  const code = status === 401 ? "invalid_api_key" : status === 429 ? "rate_limit_exceeded" : null;
  return {
    error: { message, type: errorTypes[status] ?? (status < 500 ? "invalid_request_error" : "server_error"), param: null, code },
  };
}
