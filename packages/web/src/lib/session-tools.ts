/** What a tool call did, in one line: verb and object, from the agent's tools as they are named. Pure; knows no page. */
import { type PromptPart, sandboxPaths } from "@open-inspect/protocol";
import { z } from "zod";

export type ToolPart = Extract<PromptPart, { kind: "tool" }>;
export type ToolKind = "read" | "search" | "edit" | "command" | "web" | "todo" | "agent" | "other";

export interface ToolSummary {
  kind: ToolKind;
  /** "Edited", or "Editing" while it runs */
  verb: string;
  object: string;
  /** the object is code: a path, a command, a pattern */
  isCode: boolean;
  /** lines that it added and took away, of an edit */
  change: { before: string; after: string } | null;
  path: string | null;
}

const inputSchema = z.looseObject({
  filePath: z.string().optional(),
  path: z.string().optional(),
  oldString: z.string().optional(),
  newString: z.string().optional(),
  content: z.string().optional(),
  pattern: z.string().optional(),
  query: z.string().optional(),
  url: z.string().optional(),
  command: z.string().optional(),
  description: z.string().optional(),
  prompt: z.string().optional(),
  todos: z.array(z.looseObject({ status: z.string().optional() })).optional(),
});
type ToolInput = z.infer<typeof inputSchema>;

function readInput(part: ToolPart): ToolInput {
  if (!part.input.startsWith("{")) return {};
  try {
    return inputSchema.safeParse(JSON.parse(part.input)).data ?? {};
  } catch {
    // Cut off or still being written.
    return {};
  }
}

/** As the repository names it. */
export function shortPath(path: string): string {
  const root = `${sandboxPaths.workspace}/`;
  return path.startsWith(root) ? path.slice(root.length) : path === sandboxPaths.workspace ? "." : path;
}

const firstLine = (text: string): string => text.trim().split("\n", 1)[0] ?? "";
const isOver = ({ status }: ToolPart): boolean => status === "completed" || status === "error" || status === "interrupted";

const verbs: Record<ToolKind, [doing: string, done: string]> = {
  read: ["Reading", "Read"],
  search: ["Searching", "Searched"],
  edit: ["Editing", "Edited"],
  command: ["Running", "Ran"],
  web: ["Fetching", "Fetched"],
  todo: ["Updating", "Updated"],
  agent: ["Asking a sub-agent", "Asked a sub-agent"],
  other: ["Using", "Used"],
};

const kinds: Record<string, ToolKind> = {
  ...{ read: "read", list: "read", ls: "read" },
  ...{ grep: "search", glob: "search", codesearch: "search" },
  ...{ edit: "edit", write: "edit", multiedit: "edit", patch: "edit", apply_patch: "edit" },
  ...{ bash: "command", shell: "command" },
  ...{ webfetch: "web", websearch: "web" },
  ...{ todowrite: "todo", todoread: "todo", task: "agent" },
};

export const kindOf = (part: ToolPart): ToolKind => kinds[part.tool] ?? "other";

function describeTodos(input: ToolInput): string {
  const todos = input.todos ?? [];
  const done = todos.filter(({ status }) => status === "completed").length;
  return todos.length === 0 ? "the to-do list" : `the to-do list: ${done} of ${todos.length} done`;
}

export function describeTool(part: ToolPart): ToolSummary {
  const kind = kindOf(part);
  const input = readInput(part);
  const [doing, done] = verbs[kind];
  const path = input.filePath ?? input.path ?? null;
  const common = { kind, verb: isOver(part) ? done : doing, isCode: true, change: null, path };
  const named = (path === null ? "" : shortPath(path)) || part.title;
  switch (kind) {
    case "read":
      return { ...common, object: named || "a file" };
    case "search": {
      const pattern = input.pattern ?? input.query ?? part.title;
      return {
        ...common,
        object: path === null || path === sandboxPaths.workspace ? pattern : `${pattern} in ${shortPath(path)}`,
      };
    }
    case "edit": {
      const isNew = part.tool === "write";
      const change =
        isNew && input.content !== undefined
          ? { before: "", after: input.content }
          : input.newString !== undefined
            ? { before: input.oldString ?? "", after: input.newString }
            : null;
      const verb = isNew ? (isOver(part) ? "Wrote" : "Writing") : common.verb;
      return { ...common, verb, object: named || "files", change };
    }
    case "command":
      return { ...common, object: firstLine(part.input) || part.title };
    case "web":
      return { ...common, object: input.url ?? input.query ?? part.title };
    case "todo":
      return { ...common, object: describeTodos(input), isCode: false };
    case "agent":
      return { ...common, object: input.description ?? part.title, isCode: false };
    case "other":
      return {
        ...common,
        object: part.title === "" || part.title === part.tool ? part.tool : `${part.tool}: ${part.title}`,
        isCode: false,
      };
  }
}

export type Step = { kind: "part"; part: PromptPart } | { kind: "look"; id: string; parts: ToolPart[] };

const isLook = (part: PromptPart): part is ToolPart =>
  part.kind === "tool" && (kindOf(part) === "read" || kindOf(part) === "search") && part.status !== "error";

/** The answer with runs of looking around folded together; a part that says nothing is left out. */
export function foldLooks(parts: readonly PromptPart[]): Step[] {
  const steps: Step[] = [];
  for (const part of parts) {
    if (part.kind !== "tool" && part.text.trim() === "") continue;
    const before = steps.at(-1);
    if (!isLook(part)) steps.push({ kind: "part", part });
    else if (before?.kind === "look") before.parts.push(part);
    else steps.push({ kind: "look", id: part.id, parts: [part] });
  }
  return steps.map((step) => {
    const [only] = step.kind === "look" && step.parts.length === 1 ? step.parts : [];
    return only === undefined ? step : { kind: "part", part: only };
  });
}

const count = (number: number, one: string, many: string): string => `${number} ${number === 1 ? one : many}`;

/** "Read 4 files, searched 2 times", or what it is looking at now. */
export function describeLooks(parts: readonly ToolPart[]): string {
  const running = parts.find((part) => !isOver(part));
  if (running !== undefined) {
    const { verb, object } = describeTool(running);
    return `${verb} ${object}`;
  }
  const read = new Set(parts.filter((part) => kindOf(part) === "read").map((part) => describeTool(part).object)).size;
  const searched = parts.filter((part) => kindOf(part) === "search").length;
  const told = [
    read > 0 ? `read ${count(read, "file", "files")}` : "",
    searched > 0 ? `searched ${count(searched, "time", "times")}` : "",
  ].filter(Boolean);
  const sentence = told.join(", ");
  return sentence.slice(0, 1).toUpperCase() + sentence.slice(1);
}
