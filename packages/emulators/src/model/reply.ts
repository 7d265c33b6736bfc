/**
 * Decides what the model says. Stateless: a script travels in the prompt (`SCRIPT=[…]`), and the step is the number of
 * assistant turns after it, so crashes, retries and parallel sessions need no memory here. Pure.
 */
import { z } from "zod";
import { type Conversation, type Turn } from "./conversation.ts";

const toolCallSchema = z.strictObject({ name: z.string(), args: z.record(z.string(), z.unknown()).default({}) });
/** How the text is cut into stream events. */
const pace = { chunk: z.number().int().positive().optional(), delayMs: z.number().nonnegative().optional() };
const times = z.number().int().positive().optional();

function isPattern(source: string): boolean {
  try {
    return new RegExp(source) instanceof RegExp;
  } catch {
    return false;
  }
}

/**
 * One step of a script. The first two kinds are answers; the others are faults, which leave no assistant turn behind:
 * each is served `times` times (`cut` once, the others for ever when left out) before the next answer.
 */
export const stepSchema = z.union([
  z.strictObject({
    text: z.string().optional(),
    reasoning: z.string().optional(),
    tool: toolCallSchema.optional(),
    tools: z.array(toolCallSchema).optional(),
    ...pace,
  }),
  /** answers with what the pattern's first group finds in earlier turns, newest first: shows that the agent sent them along */
  z.strictObject({ recall: z.string().min(1).max(200).refine(isPattern, { error: "must be a regular expression" }) }),
  z.strictObject({
    status: z.number().int().min(400).max(599),
    message: z.string().optional(),
    headers: z.record(z.string(), z.string()).optional(),
    times,
  }),
  /** sends `text`, then nothing more, and never ends */
  z.strictObject({ hang: z.literal(true), text: z.string().optional(), times }),
  /** sends `text`, then breaks the connection */
  z.strictObject({ cut: z.literal(true), text: z.string().optional(), times }),
]);
export type Step = z.infer<typeof stepSchema>;

export interface ToolCall {
  name: string;
  args: Record<string, unknown>;
}
export type Reply =
  | { kind: "answer"; reasoning: string; text: string; tools: ToolCall[]; chunk: number; delayMs: number }
  | { kind: "status"; status: number; message: string; headers: Record<string, string> }
  | { kind: "hang" | "cut"; text: string };

const defaultPace = { chunk: 24, delayMs: 12 };
const lookCommand = "git log -1 --oneline && ls";
const quotedLinesMax = 12;

const answer = (
  text: string,
  tools: ToolCall[] = [],
  more: { reasoning?: string; chunk?: number; delayMs?: number } = {},
): Reply => ({
  kind: "answer",
  reasoning: more.reasoning ?? "",
  text,
  tools,
  chunk: more.chunk ?? defaultPace.chunk,
  delayMs: more.delayMs ?? defaultPace.delayMs,
});

/** The text of the JSON array that begins at `from`, by counting brackets outside strings. */
function arrayAt(text: string, from: number): string | null {
  let depth = 0;
  let inString = false;
  for (let index = from; index < text.length; index++) {
    const character = text[index];
    if (inString) {
      if (character === "\\") index++;
      else if (character === '"') inString = false;
    } else if (character === '"') inString = true;
    else if (character === "[" || character === "{") depth++;
    else if (character === "]" || character === "}") {
      depth--;
      if (depth === 0) return text.slice(from, index + 1);
    }
  }
  return null;
}

/** The script in a prompt; null when there is none. Throws a sentence when there is one that cannot be used. */
export function parseScript(prompt: string): Step[] | null {
  const match = /SCRIPT=\[/.exec(prompt);
  if (!match) return null;
  const text = arrayAt(prompt, match.index + "SCRIPT=".length);
  if (text === null) throw new Error("The SCRIPT in the prompt does not end.");
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new Error(`The SCRIPT in the prompt is not JSON: ${error instanceof Error ? error.message : error}`);
  }
  const steps = z.array(stepSchema).safeParse(json);
  if (!steps.success) throw new Error(`The SCRIPT in the prompt is not valid: ${steps.error.issues[0]?.message ?? ""}`);
  return steps.data;
}

/** @param earlier texts of the turns before the prompt that carries the script */
function toReply(step: Step, earlier: readonly string[]): Reply {
  if ("recall" in step) {
    const pattern = new RegExp(step.recall);
    const found = earlier.toReversed().map((text) => pattern.exec(text)?.[1]);
    return answer(found.find((text) => text !== undefined) ?? "I do not remember.");
  }
  if ("status" in step)
    return {
      kind: "status",
      status: step.status,
      message: step.message ?? `scripted ${step.status}`,
      headers: step.headers ?? {},
    };
  if ("hang" in step) return { kind: "hang", text: step.text ?? "" };
  if ("cut" in step) return { kind: "cut", text: step.text ?? "" };
  const { text = "", tool, tools = [], reasoning, chunk, delayMs } = step;
  return answer(text, tool ? [tool, ...tools] : tools, {
    ...(reasoning === undefined ? {} : { reasoning }),
    ...(chunk === undefined ? {} : { chunk }),
    ...(delayMs === undefined ? {} : { delayMs }),
  });
}

const faultTimes = (step: Step): number | null => {
  if ("status" in step || "hang" in step) return step.times ?? Number.POSITIVE_INFINITY;
  if ("cut" in step) return step.times ?? 1;
  return null;
};

/** @param asked how often this very request was made before */
function playScript(steps: readonly Step[], answered: number, asked: number, earlier: readonly string[]): Reply {
  let answers = 0;
  let faults = 0;
  for (const step of steps) {
    const fault = faultTimes(step);
    if (fault === null) {
      if (answers === answered) return toReply(step, earlier);
      answers++;
      faults = 0;
    } else if (answers === answered) {
      faults += fault;
      if (asked < faults) return toReply(step, earlier);
    }
  }
  return answer("Done.");
}

/** Behaviour without a script: looks around once, then says what it saw. */
function playDemo(prompt: string, tools: readonly string[], results: readonly string[]): Reply {
  if (results.length === 0 && tools.includes("bash")) {
    const args = { command: lookCommand, description: "Looks at the last commit and the files" };
    return answer("I will look at the repository first.", [{ name: "bash", args }]);
  }
  const seen = (results.at(-1) ?? "").trim().split("\n").slice(0, quotedLinesMax).join("\n");
  const asked = prompt.trim().replace(/\s+/g, " ").slice(0, 200);
  const looked = seen === "" ? "" : `This is what I found:\n\n\`\`\`\n${seen}\n\`\`\`\n\n`;
  return answer(
    `${looked}You asked: "${asked}". I am the scripted model that Open-Inspect runs without an API key, so I stop here. ` +
      "Set ANTHROPIC_API_KEY to let a real model do the work.",
  );
}

/** Agents that want a title offer no tools. */
const isTitleRequest = (conversation: Conversation): boolean => conversation.tools.length === 0;

function title(prompt: string): string {
  const words = prompt
    .replace(/SCRIPT=\[[\s\S]*/, "")
    .replace(/\s+/g, " ")
    .trim()
    .split(" ")
    .slice(0, 6)
    .join(" ");
  return words.slice(0, 50) || "New session";
}

/** What a person asked last in this turn; agents add reminders of their own. */
function promptOf(turn: Turn | undefined): string | null {
  if (turn?.role !== "user") return null;
  const asked = turn.blocks.filter(
    ({ kind, text }) => kind === "text" && text.trim() !== "" && !text.startsWith("<system-reminder>"),
  );
  return asked.at(-1)?.text ?? null;
}

/** @param asked how often this very request was made before: what a retry after a fault looks like */
export function decideReply(conversation: Conversation, asked: number): Reply {
  const { turns, tools } = conversation;
  const promptAt = turns.findLastIndex((turn) => promptOf(turn) !== null);
  const prompt = promptOf(turns[promptAt]) ?? "";
  const since = turns.slice(promptAt + 1);
  if (isTitleRequest(conversation) && !/SCRIPT=\[/.test(prompt)) return answer(title(prompt));
  let steps: Step[] | null;
  try {
    steps = parseScript(prompt);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return { kind: "status", status: 400, message, headers: {} };
  }
  if (steps) {
    const texts = turns.slice(0, promptAt + 1).flatMap(({ blocks }) => blocks.map(({ text }) => text));
    const earlier = texts.slice(0, texts.lastIndexOf(prompt));
    return playScript(steps, since.filter((turn) => turn.role === "assistant").length, asked, earlier);
  }
  return playDemo(
    prompt,
    tools,
    since.flatMap(({ blocks }) => blocks.filter(({ kind }) => kind === "toolResult").map(({ text }) => text)),
  );
}
