/** What a session's sandbox says and asks over its bridge, and who of the session answers it. Decides only whether the sandbox is still the session's. */
import { type RuntimeEvent } from "@open-inspect/protocol";
import { type Bridge, createBridge } from "../adapters/bridge.ts";
import { type GitHub, type Log } from "../domain/ports.ts";
import { type SessionInput } from "../domain/session.ts";
import { liveAttemptOf, type SessionState } from "../domain/session-state.ts";
import { type Conversation } from "./conversation.ts";
import { type createWriteCredentials, gitCredential } from "./credentials.ts";
import { type SessionLog } from "./session-log.ts";
import { type createSubSessions } from "./sub-sessions.ts";

export interface SessionBridgePorts {
  state(): SessionState | null;
  dispatch(input: SessionInput): SessionState | null;
  /** a deadline may have moved */
  schedule(): void;
  /** whether the sandbox is there to work, and not about to end */
  mayWork(): boolean;
  conversation(): Pick<Conversation, "take" | "settle" | "open" | "ready" | "greeted">;
  sessionLog: Pick<SessionLog, "print">;
  writing(): Pick<ReturnType<typeof createWriteCredentials>, "give">;
  subSessions(): Pick<ReturnType<typeof createSubSessions>, "answer">;
  github(): GitHub;
  log: Log;
  now(): number;
}

const retired = "The session has left this sandbox.";

export function createSessionBridge(ctx: DurableObjectState, ports: SessionBridgePorts): Bridge {
  const isLive = (attempt: string): boolean => liveAttemptOf(ports.state()) === attempt;

  function take(attempt: string, event: RuntimeEvent, at: number): void {
    if (!isLive(attempt)) return;
    const { sessionLog } = ports;
    switch (event.type) {
      case "log":
        sessionLog.print({ at, phase: event.phase, stream: event.stream, text: event.text });
        break;
      case "agent.restarted": {
        const text = `The agent was restarted (${event.attempt}): ${event.reason}\n`;
        sessionLog.print({ at, phase: "agent", stream: "system", text });
        break;
      }
      default: {
        const conversation = ports.conversation();
        if (conversation.take(attempt, event)) return;
        ports.dispatch({ type: "runtime.event", attempt, event });
        if (event.type === "agent.ready") conversation.open(attempt);
        if (event.type === "session.ready") conversation.ready(attempt);
      }
    }
  }

  return createBridge(
    ctx,
    {
      hello: (attempt, { runtimeVersion, revision: runtimeRevision = 1, protocol }) => {
        const after = ports.dispatch({ type: "runtime.connected", attempt, runtimeVersion, runtimeRevision, protocol });
        return liveAttemptOf(after) === attempt;
      },
      event: take,
      applied: () => ports.conversation().settle(),
      welcomed: (attempt) => {
        ports.conversation().greeted(attempt);
        ports.schedule();
      },
      closed: (attempt) => void ports.dispatch({ type: "bridge.closed", attempt }),
      credential: async (attempt, pushId) => {
        if (!isLive(attempt)) return { refused: retired };
        const repository = ports.state()?.repository ?? null;
        if (repository && pushId !== undefined) return ports.writing().give(attempt, pushId, repository);
        return gitCredential(ports.github(), repository, ports.log);
      },
      sessions: async (attempt, id, request) => {
        if (!isLive(attempt)) return { refused: retired };
        if (request.call === "start" && !ports.mayWork()) {
          return { refused: "This session is being stopped: it begins no others." };
        }
        return ports.subSessions().answer(id, request);
      },
    },
    ports.now,
  );
}
