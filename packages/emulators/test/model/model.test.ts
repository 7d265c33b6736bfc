/** The wire formats of both APIs, and that what the model says follows from the request alone. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { type ModelEmulator, startModelEmulator } from "../../src/model/model.ts";

let model: ModelEmulator;
beforeAll(async () => {
  model = await startModelEmulator({ apiKeys: ["right"] });
});
afterAll(() => model.stop());

const post = (path: string, body: unknown, headers: Record<string, string> = {}) =>
  fetch(`${model.url}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
const anthropicHeaders = { "x-api-key": "right", "anthropic-version": "2023-06-01" };
const openaiHeaders = { authorization: "Bearer right" };
const bash = { name: "bash", description: "runs", input_schema: { type: "object" } };
const anthropic = (messages: unknown[], more: Record<string, unknown> = {}) =>
  post("/v1/messages", { model: "claude-sonnet-4-5", max_tokens: 1000, messages, tools: [bash], ...more }, anthropicHeaders);
const user = (content: unknown) => ({ role: "user", content });
const scripted = (...steps: unknown[]) => `Please do this. SCRIPT=${JSON.stringify(steps)} Thank you.`;

const eventSchema = z.looseObject({
  type: z.string(),
  index: z.number().optional(),
  delta: z
    .looseObject({ type: z.string().optional(), text: z.string().optional(), partial_json: z.string().optional() })
    .optional(),
});
const readEvents = async (response: Response) =>
  (await response.text())
    .split("\n\n")
    .filter((frame) => frame !== "")
    .map((frame) => {
      const [, name, data] = /^event: (.+)\ndata: (.+)$/.exec(frame) ?? [];
      const event = eventSchema.parse(JSON.parse(data ?? ""));
      expect(event.type).toBe(name);
      return event;
    });

describe("Anthropic's Messages API", () => {
  test("streams its events in the order of the real API, with usage and stop reason", async () => {
    const prompt = scripted({
      reasoning: "Hm.",
      text: "Hello there",
      tool: { name: "bash", args: { command: "ls" } },
      chunk: 5,
      delayMs: 0,
    });
    const response = await anthropic([user(prompt)], { stream: true });
    expect(response.headers.get("content-type")).toMatch(/^text\/event-stream/);
    const events = await readEvents(response);
    const order = events.map(({ type, index }) => (index === undefined ? type : `${type} ${index}`));
    expect(order.filter((name, at) => name !== order[at - 1])).toEqual([
      "message_start",
      "ping",
      "content_block_start 0",
      "content_block_delta 0",
      "content_block_stop 0",
      "content_block_start 1",
      "content_block_delta 1",
      "content_block_stop 1",
      "content_block_start 2",
      "content_block_delta 2",
      "content_block_stop 2",
      "message_delta",
      "message_stop",
    ]);
    expect(events.map(({ delta }) => delta?.text ?? "").join("")).toBe("Hello there");
    expect(JSON.parse(events.map(({ delta }) => delta?.partial_json ?? "").join(""))).toEqual({ command: "ls" });
    const end = events.find(({ type }) => type === "message_delta");
    expect(end).toMatchObject({
      delta: { stop_reason: "tool_use", stop_sequence: null },
      usage: { output_tokens: expect.any(Number) },
    });
    expect(events[0]).toMatchObject({ message: { role: "assistant", content: [], usage: { input_tokens: expect.any(Number) } } });
  });

  test("answers whole without a stream", async () => {
    const response = await anthropic([user(scripted({ text: "Hi" }))]);
    expect(await response.json()).toMatchObject({
      type: "message",
      role: "assistant",
      content: [{ type: "text", text: "Hi" }],
      stop_reason: "end_turn",
    });
  });

  test.each([
    ["a wrong key", { "x-api-key": "wrong", "anthropic-version": "1" }, {}, 401, "authentication_error"],
    ["no key", { "anthropic-version": "1" }, {}, 401, "authentication_error"],
    ["no version", { "x-api-key": "right" }, {}, 400, "invalid_request_error"],
    ["no messages", anthropicHeaders, { model: "m", max_tokens: 1 }, 400, "invalid_request_error"],
    ["no JSON", anthropicHeaders, "{", 400, "invalid_request_error"],
  ])("refuses %s as the real API does", async (_name, headers, body, status, type) => {
    const response = await post("/v1/messages", body, headers);
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({
      type: "error",
      error: { type, message: expect.any(String) },
      request_id: expect.any(String),
    });
  });
});

describe("OpenAI's Chat Completions API", () => {
  const chunkSchema = z.looseObject({
    object: z.literal("chat.completion.chunk"),
    choices: z.array(
      z.looseObject({
        delta: z.looseObject({
          content: z.string().nullish(),
          tool_calls: z.array(z.looseObject({ function: z.looseObject({ arguments: z.string() }) })).optional(),
        }),
        finish_reason: z.string().nullable(),
      }),
    ),
    usage: z.unknown().optional(),
  });

  test("streams chunks, tool calls by pieces, usage when asked for, and [DONE]", async () => {
    const body = {
      model: "gpt-x",
      stream: true,
      stream_options: { include_usage: true },
      messages: [user(scripted({ text: "Hello", tool: { name: "bash", args: { command: "ls" } } }))],
      tools: [{ type: "function", function: { name: "bash", parameters: {} } }],
    };
    const frames = (await (await post("/v1/chat/completions", body, openaiHeaders)).text()).trim().split("\n\n");
    expect(frames.at(-1)).toBe("data: [DONE]");
    const chunks = frames.slice(0, -1).map((frame) => chunkSchema.parse(JSON.parse(frame.slice(6))));
    const deltas = chunks.flatMap(({ choices }) => choices);
    expect(deltas.map(({ delta }) => delta.content ?? "").join("")).toBe("Hello");
    expect(
      deltas
        .flatMap(({ delta }) => delta.tool_calls ?? [])
        .map((call) => call.function.arguments)
        .join(""),
    ).toBe('{"command":"ls"}');
    expect(deltas.at(-1)?.finish_reason).toBe("tool_calls");
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { total_tokens: expect.any(Number) } });
  });

  test("refuses a wrong key in its own format", async () => {
    const response = await post("/v1/chat/completions", {}, { authorization: "Bearer wrong" });
    expect(response.status).toBe(401);
    expect(await response.json()).toMatchObject({ error: { code: "invalid_api_key" } });
  });
});

test("models are listed in the format of the API that asks", async () => {
  expect(await (await fetch(`${model.url}/v1/models`, { headers: openaiHeaders })).json()).toMatchObject({ object: "list" });
  expect(await (await fetch(`${model.url}/v1/models`, { headers: anthropicHeaders })).json()).toMatchObject({
    has_more: false,
    data: expect.arrayContaining([expect.objectContaining({ type: "model", id: "claude-sonnet-4-5" })]),
  });
});

describe("the script", () => {
  const textSchema = z.looseObject({ content: z.array(z.looseObject({ type: z.string(), text: z.string().optional() })) });
  const say = async (messages: unknown[], more: Record<string, unknown> = {}) => {
    const { content } = textSchema.parse(await (await anthropic(messages, more)).json());
    return content.map(({ type, text }) => text ?? type).join(" ");
  };
  const assistant = (content: unknown) => ({ role: "assistant", content });
  const result = (text: string) => ({ type: "tool_result", tool_use_id: "x", content: text });

  test("is at the step that the number of answers since the prompt says", async () => {
    const prompt = user(scripted({ text: "one" }, { text: "two" }));
    expect(await say([prompt])).toBe("one");
    expect(await say([prompt, assistant("one"), user([result("r")])])).toBe("two");
    expect(await say([prompt, assistant("one"), user([result("r")]), assistant("two"), user([result("r")])])).toBe("Done.");
  });

  test("of the last prompt counts, also when a client merged it with older ones or with results of tools", async () => {
    const merged = user([
      { type: "text", text: scripted({ text: "old" }) },
      { type: "text", text: scripted({ text: "new" }) },
    ]);
    expect(await say([merged])).toBe("new");
    const afterResult = user([result("r"), { type: "text", text: scripted({ text: "newest" }) }]);
    expect(await say([merged, assistant("new"), afterResult])).toBe("newest");
  });

  test("can fail some times, then answer; cut and hang break the stream", async () => {
    const prompt = [user(scripted({ status: 429, times: 2, headers: { "retry-after": "7" } }, { text: `ok ${Math.random()}` }))];
    const first = await anthropic(prompt);
    expect([first.status, first.headers.get("retry-after")]).toEqual([429, "7"]);
    expect((await anthropic(prompt)).status).toBe(429);
    expect((await anthropic(prompt)).status).toBe(200);
    const cut = await anthropic([user(scripted({ cut: true, text: "half" }))], { stream: true });
    await expect(cut.text()).rejects.toThrow();
    const abort = new AbortController();
    const hang = await fetch(`${model.url}/v1/messages`, {
      method: "POST",
      headers: anthropicHeaders,
      signal: abort.signal,
      body: JSON.stringify({
        model: "m",
        max_tokens: 1,
        stream: true,
        messages: [user(scripted({ hang: true, text: "half" }))],
        tools: [bash],
      }),
    });
    const text = hang.text();
    setTimeout(() => abort.abort(), 200);
    await expect(text).rejects.toThrow(/abort/i);
  });

  test("that cannot be read is the caller's error and says what is wrong", async () => {
    const response = await anthropic([user("SCRIPT=[{oops}]")]);
    expect(response.status).toBe(400);
    expect(await response.text()).toMatch(/not JSON/);
  });

  test("can ask for what was said in earlier turns, and in no other", async () => {
    const ask = user(scripted({ recall: "the colour is (\\w+)" }));
    const before = [user("Note that the colour is teal"), assistant("Noted.")];
    expect(await say([...before, ask])).toBe("teal");
    expect(await say([ask])).toBe("I do not remember.");
    const response = await anthropic([user(scripted({ recall: "(" }))]);
    expect(response.status).toBe(400);
  });

  test("is not needed: the model looks around once, then quotes what it saw and what was asked", async () => {
    const prompt = user("Fix the login page");
    expect(await say([prompt])).toBe("I will look at the repository first. tool_use");
    const said = await say([prompt, assistant("…"), user([result("abc123 Change\nREADME.md")])]);
    expect(said).toContain("abc123 Change");
    expect(said).toContain("Fix the login page");
    expect(await say([user("Fix the login page of the shop as soon as you can")], { tools: [] })).toBe(
      "Fix the login page of the",
    );
  });
});

test("requests are kept for tests, without the key", () => {
  expect(model.requests().length).toBeGreaterThan(0);
  expect(JSON.stringify(model.requests())).not.toMatch(/"right"|"wrong"/);
});
