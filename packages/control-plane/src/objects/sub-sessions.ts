/**
 * Sessions that an agent begins from its own, and what it may read of them. A start is known by the id of its request, so that one that is
 * asked for again after a cut is the same session. The root of a family counts its members.
 */
import { type AgentSessionRequest, type AgentSessionState, createId } from "@open-inspect/protocol";
import { createSessionLinks } from "../adapters/d1/session-links.ts";
import { type SubSessionStore } from "../adapters/sqlite/sub-session-store.ts";
import { sessionPageOf } from "../compose.ts";
import { type Log } from "../domain/ports.ts";
import { type SessionState } from "../domain/session-state.ts";
import { refuseSubSession, subSessionStateOf } from "../domain/sub-sessions.ts";
import { readConfig } from "../env.ts";
import { ApiError } from "../http/errors.ts";
import { branchOf, orderOf, readStart, type StartCaller, titleOf } from "../http/session-start.ts";
import { newId } from "./ids.ts";

export type SubSessionAnswer = { sessions: AgentSessionState[] } | { refused: string };

export interface SubSessionPorts {
  caller: StartCaller;
  store: SubSessionStore;
  state(): SessionState | null;
  now(): number;
  log: Log;
}

export function createSubSessions({ caller, store, state, now, log }: SubSessionPorts) {
  const { env } = caller;
  const links = createSessionLinks(env.DB);
  const pageOf = (id: string) => sessionPageOf(readConfig(env), id);
  const objectOf = (id: string) => env.SESSIONS.getByName(id);

  /** Lets another one begin below this root, once for each id. @returns why not, as a sentence */
  async function admit(id: string): Promise<string | null> {
    const known = store.list();
    if (known.some((one) => one.id === id)) return null;
    const rows = new Map((await links.workOf(known.map((one) => one.id))).map((row) => [row.id, row]));
    // Nothing is awaited between this reading and the writing.
    const others = store.list().map(({ id: other, admittedAt }) => {
      const row = rows.get(other);
      return { id: other, admittedAt, row: row ? { isStarting: starting.has(row.status), isWorking: row.isWorking } : null };
    });
    const refused = refuseSubSession(isNested(state()), others, now());
    if (refused === null) store.add(id, now());
    return refused;
  }

  async function start(
    self: SessionState,
    requestId: string,
    { prompt, branch: wanted, model }: Extract<AgentSessionRequest, { call: "start" }>,
  ): Promise<SubSessionAnswer> {
    const { MODELS } = readConfig(env);
    if (model !== undefined && !MODELS.includes(model)) {
      return { refused: `This installation does not offer the model ${model}. Use one of ${MODELS.join(", ")}.` };
    }
    const id = await idOf(self, requestId);
    const known = await objectOf(id).view();
    if (known) return { sessions: [subSessionStateOf(known.view, pageOf(id))] };
    const root = self.parentId === null ? null : objectOf(self.parentId);
    const refused = await (root ? root.admitSubSession(id) : admit(id));
    if (refused !== null) return { refused };
    try {
      const facts = await readStart(caller, self.repository);
      const branch = await branchOf(caller, facts, wanted ?? (self.isDefaultBranch ? undefined : self.branch));
      const { owner, name } = self.repository;
      const { author, id: parentId } = self;
      const title = titleOf(prompt, `${owner}/${name}`);
      const asked = { id, branch, model: model ?? self.model, title, author, acceptedAt: now() };
      const order = {
        ...orderOf(caller, facts, { ...asked, wanted: wanted ?? (self.isDefaultBranch ? undefined : branch) }),
        parentId,
      };
      const { view } = await objectOf(id).create(order, {
        ...{ id: newId("prompt", now()), text: prompt, model: model ?? null, author, attachments: [] },
      });
      return { sessions: [subSessionStateOf(view, pageOf(id))] };
    } catch (error) {
      await (root ? root.dismissSubSession(id) : store.remove(id));
      if (error instanceof ApiError) return { refused: `${error.message} ${error.hint}` };
      throw error;
    }
  }

  async function answer(self: SessionState, requestId: string, request: AgentSessionRequest): Promise<SubSessionAnswer> {
    switch (request.call) {
      case "start":
        return start(self, requestId, request);
      case "list": {
        const children = await links.childrenOf(self.id);
        const toState = ({ id, status, isWorking, title }: (typeof children)[number]): AgentSessionState => {
          return { id, status, isWorking, title, url: pageOf(id), lastAnswer: null };
        };
        return { sessions: children.map(toState) };
      }
      case "read": {
        const found = await objectOf(request.sessionId).view();
        if (found?.view.parentId !== self.id) {
          return { refused: `This session began no session ${request.sessionId}. List those that it began.` };
        }
        return { sessions: [subSessionStateOf(found.view, pageOf(request.sessionId))] };
      }
    }
  }

  return {
    admit,
    dismiss: (id: string): void => store.remove(id),
    /** Never rejects: the agent waits for a word. */
    async answer(requestId: string, request: AgentSessionRequest): Promise<SubSessionAnswer> {
      const self = state();
      if (!self || self.reserved) return { refused: "Nobody has begun this session yet." };
      try {
        return await answer(self, requestId, request);
      } catch (error) {
        log.error("sub_session.failed", { call: request.call, error });
        return { refused: "Something went wrong in the control plane. Try again in a moment." };
      }
    },
  };
}

const starting: ReadonlySet<string> = new Set(["created", "connecting", "syncing"]);
const isNested = (state: SessionState | null): boolean => state !== null && state.parentId !== null;

/** The same for each repetition of a request. The time in it is the parent's, for it has to be the same, too. */
async function idOf({ id, acceptedAt }: SessionState, requestId: string): Promise<string> {
  const bytes = new TextEncoder().encode(`${id} ${requestId}`);
  return createId("session", acceptedAt, new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)));
}
