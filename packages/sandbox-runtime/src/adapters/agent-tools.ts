/** Answers the agent's tools over a unix socket. Knows what they may ask, not who answers it. */
import { join } from "node:path";
import { type AgentSessionRequest, agentSessionRequestSchema } from "@open-inspect/protocol";
import { type AgentSessions } from "./bridge-socket.ts";
import { closeSocket, listenPrivately } from "./private-socket.ts";

const questionMaxBytes = 1024 * 1024;

/** @param ask rejects with a sentence for the agent */
export async function startAgentTools(options: {
  stateDir: string;
  ask: (request: AgentSessionRequest) => Promise<AgentSessions>;
}): Promise<{ close(): Promise<void> }> {
  // An import would load more than this, and before the agent begins: see agent-client.ts.
  const { createServer } = process.getBuiltinModule("node:http");
  const socketPath = join(options.stateDir, "agent-tools.sock");

  /** Text for the model. */
  const answer = async (text: string): Promise<string> => {
    let question: unknown;
    try {
      question = JSON.parse(text);
    } catch {
      return "The request is not JSON.";
    }
    const parsed = agentSessionRequestSchema.safeParse(question);
    if (!parsed.success) {
      const faults = parsed.error.issues.map((issue) => `${issue.path.join(".") || "the call"}: ${issue.message}`);
      return `Nothing was done: the arguments are not right (${faults.join("; ")}).`;
    }
    try {
      const sessions = await options.ask(parsed.data);
      return sessions.length === 0 ? "There is no such session." : JSON.stringify(sessions, null, 2);
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  };

  const server = createServer((request, response) => {
    let text = "";
    request.setEncoding("utf8");
    request.on("error", () => request.destroy());
    request.on("data", (chunk: string) => {
      text += chunk;
      if (text.length > questionMaxBytes) request.destroy();
    });
    request.on("end", () => void answer(text).then((reply) => response.end(reply)));
  });
  await listenPrivately(server, socketPath);
  return {
    async close() {
      server.closeAllConnections();
      await closeSocket(server, socketPath);
    },
  };
}
