/**
 * Runs inside OpenCode: keeps tools that could change files waiting until the workspace is on the branch's head, and gives the agent
 * tools to begin sessions of its own. Imports nothing of ours and knows of the runtime only the files beside it.
 */
import { readFileSync, realpathSync, renameSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { basename, dirname, join, relative, resolve, sep } from "node:path";

const folder = import.meta.dirname;
const gateFile = join(folder, "edit-gate.json");
const readyFile = join(folder, "edit-gate.ready");
const socketFile = join(folder, "agent-tools.sock");

const nonce = process.env.OPEN_INSPECT_BOOT ?? "";
// None of these is for the commands that the agent runs.
for (const name of Object.keys(process.env))
  if (/^(OPEN_INSPECT_BOOT|npm_config_fetch_retries|BUN_JSC_threshold\w+)$/.test(name)) delete process.env[name];

/** What only looks, or asks others that are gated themselves. Everything else waits, tools that nobody here knows included. */
const readers = new Set([
  ...["read", "glob", "grep", "list", "lsp", "webfetch", "websearch", "codesearch"],
  ...["todowrite", "todoread", "task", "skill", "question", "invalid", "plan_exit"],
  ...["session_start", "session_list", "session_read"],
]);
/** What says in `filePath` which one file it changes. */
const editors = new Set(["write", "edit"]);
const lookEveryMs = 50;
const waitMaxMs = 20 * 60_000;
const answerTimeoutMs = 90_000;

/** `changed`: the files that are still to be brought up to date; null: any may be. */
type Gate = { state: "open" } | { state: "closed"; changed: string[] | null };
const closed: Gate = { state: "closed", changed: null };

/** Closed when it cannot be read. */
function readGate(): Gate {
  try {
    const read: unknown = JSON.parse(readFileSync(gateFile, "utf8"));
    if (typeof read !== "object" || read === null || !("state" in read)) return closed;
    if (read.state === "open") return { state: "open" };
    const changed: unknown = "changed" in read ? read.changed : null;
    const isList = Array.isArray(changed) && changed.every((path) => typeof path === "string");
    return isList ? { state: "closed", changed } : closed;
  } catch {
    return closed;
  }
}

/** The path with every link on its way followed; of what is not there yet, the folders that are. */
function follow(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    const parent = dirname(path);
    return parent === path ? path : join(follow(parent), basename(path));
  }
}

function mayEdit(gate: Gate, workspace: string, tool: string, args: unknown): boolean {
  if (gate.state === "open") return true;
  if (gate.changed === null || !editors.has(tool)) return false;
  const filePath = typeof args === "object" && args !== null && "filePath" in args ? args.filePath : null;
  if (typeof filePath !== "string") return false;
  const path = relative(follow(workspace), follow(resolve(workspace, filePath)))
    .split(sep)
    .join("/");
  if (path === ".git" || path.startsWith(".git/")) return false;
  return gate.changed.every((changed) => path !== changed && !path.startsWith(`${changed}/`) && !changed.startsWith(`${path}/`));
}

const pause = (delayMs: number) => new Promise((done) => setTimeout(done, delayMs));

/** Asks the runtime. Resolves with text for the model, also when the answer is no. */
function askRuntime(question: unknown): Promise<string> {
  return new Promise((answer) => {
    const outgoing = request({ socketPath: socketFile, path: "/sessions", method: "POST", agent: false }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => {
        text += chunk;
      });
      response.on("end", () => answer(text));
    });
    const timer = setTimeout(() => outgoing.destroy(new Error("no answer in time")), answerTimeoutMs);
    outgoing.on("error", (error) => answer(`The request failed: ${error.message}.`));
    outgoing.on("close", () => clearTimeout(timer));
    outgoing.end(JSON.stringify(question));
  });
}

interface ToolCall {
  tool: string;
  sessionID: string;
}
interface AgentEvent {
  type: string;
  properties?: { sessionID?: string; status?: { type?: string } };
}

/** What the model leaves out arrives as undefined or null: arguments are not checked before they get here. */
const given = (fields: Record<string, unknown>) =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined && value !== null && value !== ""));

export const OpenInspect = async ({ directory }: { directory: string }) => {
  /** how often each session has stopped: a tool that waited must not run after its prompt was stopped */
  const stops = new Map<string, number>();
  writeFileSync(`${readyFile}.partial`, JSON.stringify({ pid: process.pid, nonce }), { mode: 0o600 });
  renameSync(`${readyFile}.partial`, readyFile);
  return {
    async event({ event }: { event: AgentEvent }) {
      const { sessionID, status } = event.properties ?? {};
      const isStop =
        event.type === "session.idle" ||
        event.type === "session.error" ||
        (event.type === "session.status" && status?.type === "idle");
      if (isStop && sessionID !== undefined) stops.set(sessionID, (stops.get(sessionID) ?? 0) + 1);
    },

    async "tool.execute.before"({ tool, sessionID }: ToolCall, { args }: { args: unknown }) {
      if (readers.has(tool)) return;
      const before = stops.get(sessionID);
      for (const deadline = Date.now() + waitMaxMs; !mayEdit(readGate(), directory, tool, args); await pause(lookEveryMs)) {
        if (stops.get(sessionID) !== before) break;
        if (Date.now() > deadline)
          throw new Error("The workspace is not up to date yet, so nothing may be changed. Reading works. Try again later.");
      }
      if (stops.get(sessionID) !== before) throw new Error("The prompt was stopped.");
    },

    tool: {
      session_start: {
        description:
          "Starts another coding session of this repository: an agent like you in a sandbox of its own, beginning at a branch's head with none of your changes. Use it for work that can be done apart from yours. Answers with the session's id and address at once; the work goes on by itself. Look at it with session_read.",
        args: {
          prompt: { type: "string", description: "What the other agent is to do. It knows nothing of this conversation." },
          branch: { type: ["string", "null"], description: "Branch to begin from; null for the same as here" },
          model: { type: ["string", "null"], description: "Model to use; null for the same as here" },
        },
        execute: (args: Record<string, unknown>) =>
          askRuntime({ call: "start", ...given({ prompt: args?.prompt, branch: args?.branch, model: args?.model }) }),
      },
      session_list: {
        description: "Lists the sessions that this one started, with their state.",
        args: {},
        execute: () => askRuntime({ call: "list" }),
      },
      session_read: {
        description: "Reads the state of a session that this one started, and the end of its last answer.",
        args: { sessionId: { type: "string", description: "Id that session_start answered with" } },
        execute: (args: Record<string, unknown>) => askRuntime({ call: "read", ...given({ sessionId: args?.sessionId }) }),
      },
    },
  };
};
