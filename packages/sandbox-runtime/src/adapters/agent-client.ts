/** HTTP to one life of the agent's server: calls with deadlines and its event stream. Knows no prompts. */
import { type ClientRequest, type IncomingMessage } from "node:http";
import { type AgentEvent, agentEventSchema } from "../domain/agent-messages.ts";

export interface AgentReply {
  status: number;
  /** parsed JSON, or the text when it is none */
  body: unknown;
}

export interface EventStream {
  close(): void;
}

export interface AgentClient {
  /** Rejects when there is no whole answer within `timeoutMs`. */
  call(method: string, path: string, options: { body?: unknown; timeoutMs: number }): Promise<AgentReply>;
  /** Resolves when the stream is live. `onEnd` is called once, unless it was closed from here. */
  events(onEvent: (event: AgentEvent) => void, onEnd: (why: string) => void): Promise<EventStream>;
}

const answerMaxBytes = 64 * 1024 * 1024;
const eventMaxCharacters = 16 * 1024 * 1024;
const streamOpenMs = 15_000;
/** The server beats every 10 s. */
const streamSilenceMs = 25_000;

export function createAgentClient(port: number, password: string): AgentClient {
  // An import would load the WebSocket client that node:http offers too, which takes longer than all else before the agent begins.
  const { request } = process.getBuiltinModule("node:http");
  const authorization = `Basic ${Buffer.from(`opencode:${password}`).toString("base64")}`;
  // One connection per call: a connection made before the routes are attached hangs for ever, and must not be reused.
  const open = (method: string, path: string, headers: Record<string, string | number>): ClientRequest =>
    request({ host: "127.0.0.1", port, method, path, agent: false, headers: { authorization, ...headers } });

  return {
    call: (method, path, { body, timeoutMs }) =>
      new Promise((resolve, reject) => {
        const payload = body === undefined ? null : Buffer.from(JSON.stringify(body));
        const outgoing = open(
          method,
          path,
          payload ? { "content-type": "application/json", "content-length": payload.length } : {},
        );
        const timer = setTimeout(() => outgoing.destroy(new Error(`${method} ${path}: no answer in ${timeoutMs} ms`)), timeoutMs);
        const fail = (error: Error) => {
          clearTimeout(timer);
          reject(error);
        };
        outgoing.once("error", fail);
        outgoing.once("response", (response) => {
          const chunks: Buffer[] = [];
          let bytes = 0;
          response.on("data", (chunk: Buffer) => {
            bytes += chunk.length;
            if (bytes > answerMaxBytes) outgoing.destroy(new Error(`${method} ${path}: the answer is too long`));
            else chunks.push(chunk);
          });
          response.once("error", fail);
          response.once("end", () => {
            clearTimeout(timer);
            const text = Buffer.concat(chunks).toString("utf8");
            resolve({ status: response.statusCode ?? 0, body: parseJson(text) });
          });
        });
        outgoing.end(payload ?? undefined);
      }),

    events: (onEvent, onEnd) =>
      new Promise((resolve, reject) => {
        const outgoing = open("GET", "/event", { accept: "text/event-stream" });
        let isLive = false;
        let isOver = false;
        let watchdog = setTimeout(() => over("the event stream did not open"), streamOpenMs);
        const over = (why: string) => {
          if (isOver) return;
          isOver = true;
          clearTimeout(watchdog);
          outgoing.destroy();
          if (isLive) onEnd(why);
          else reject(new Error(why));
        };
        outgoing.on("error", (error) => over(error.message));
        outgoing.once("response", (response: IncomingMessage) => {
          if (response.statusCode !== 200) return over(`the event stream answered ${response.statusCode}`);
          let text = "";
          response.setEncoding("utf8");
          response.on("error", (error) => over(error.message));
          response.on("close", () => over("the event stream ended"));
          // Always read: the server keeps what a slow reader does not take, without limit.
          response.on("data", (chunk: string) => {
            if (isOver) return;
            if (isLive) {
              clearTimeout(watchdog);
              watchdog = setTimeout(() => over("the event stream fell silent"), streamSilenceMs);
            }
            text += chunk;
            if (text.length > eventMaxCharacters) return over("an event is too long");
            const frames = text.split("\n\n");
            text = frames.pop() ?? "";
            for (const frame of frames) {
              const data = frame.startsWith("data:") ? parseJson(frame.slice(5).trim()) : null;
              const event = agentEventSchema.safeParse(data);
              if (!event.success) continue;
              if (event.data.type === "server.connected" && !isLive) {
                isLive = true;
                resolve({
                  close() {
                    isOver = true;
                    clearTimeout(watchdog);
                    outgoing.destroy();
                  },
                });
              } else if (!isOver) onEvent(event.data);
            }
          });
        });
        outgoing.end();
      }),
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
