/** One object per session: a switchboard between requests, sockets, the alarm and the pure machine in `domain/session.ts`. */
import { DurableObject } from "cloudflare:workers";
import { imageScopeOf, type RuntimeEvent, type SessionEvent, type SessionView } from "@open-inspect/protocol";
import { createBridge } from "../adapters/bridge.ts";
import { createSessions } from "../adapters/d1/sessions.ts";
import { createLog } from "../adapters/log.ts";
import { acceptSocket, createViewers, sendText } from "../adapters/sockets.ts";
import { createEffectStore } from "../adapters/sqlite/effect-store.ts";
import { createLogStore } from "../adapters/sqlite/log-store.ts";
import { createPromptStore } from "../adapters/sqlite/prompt-store.ts";
import { createViewPush } from "../adapters/view-push.ts";
import { dataPlaneOf, gitHubOf } from "../compose.ts";
import { deadlines, limits } from "../domain/deadlines.ts";
import { type PullFound } from "../domain/ports.ts";
import { pushInFlight } from "../domain/pull-request.ts";
import { isSessionEffectWanted, nextSessionWakeAt, type SessionInput, stepSession } from "../domain/session.ts";
import { type SessionClaim } from "../domain/session-messages.ts";
import { liveAttemptOf, noWork, type SessionOrder, type SessionState } from "../domain/session-state.ts";
import { viewOf } from "../domain/session-views.ts";
import { type Env, readConfig } from "../env.ts";
import { setAlarm } from "./alarm.ts";
import { createWriteCredentials, gitCredential } from "./credentials.ts";
import { createPullRequests, type PullDemand, type PullRefusal } from "./pull-requests.ts";
import { createRunner, type Runner } from "./runner.ts";
import {
  deriveSessionRecords,
  type OwedSessionEffect,
  performSessionEffect,
  recordLane,
  sessionAddress,
  sessionPolicy,
} from "./session-effects.ts";

const now = () => Date.now();
const settleMs = 1_000;
const logPageBytes = 512 * 1024;
/** the log of a session has one owner */
const logOwner = "session";

/** What is asked of a reserved sandbox before it is kept or claimed. */
export interface ReservedFor {
  scope: string;
  /** null: the default branch */
  branch: string | null;
}

/** A session that has just begun. */
export interface Begun {
  view: SessionView;
  /** from the accepted request until the sandbox was asked for; 0 when it was there */
  controlPlaneMs: number | null;
}

export interface FirstPrompt {
  id: string;
  text: string;
}

export class SessionObject extends DurableObject<Env> {
  private readonly log = createLog({ object: "session", id: this.ctx.id.toString() });
  private readonly config = readConfig(this.env);
  private readonly logs = createLogStore(this.ctx.storage.sql, {
    headBytes: limits.logHeadBytes,
    tailBytes: limits.logTailBytes,
  });
  private readonly prompts = createPromptStore(this.ctx.storage.sql);
  private readonly viewers = createViewers(this.ctx);
  private readonly views = createViewPush(() => this.showView(), deadlines.viewRestMs);

  private readonly bridge = createBridge(
    this.ctx,
    {
      hello: (attempt, { runtimeVersion, revision: runtimeRevision = 1, protocol }) => {
        const after = this.runner.dispatch({ type: "runtime.connected", attempt, runtimeVersion, runtimeRevision, protocol });
        return liveAttemptOf(after) === attempt;
      },
      event: (attempt, event, at) => this.take(attempt, event, at),
      welcomed: (attempt) => {
        this.sendQueued(attempt);
        this.runner.schedule();
      },
      closed: (attempt) => void this.runner.dispatch({ type: "bridge.closed", attempt }),
      credential: (attempt, pushId) => {
        const repository = this.runner.state()?.repository ?? null;
        if (repository && pushId !== undefined) return this.writing.give(attempt, pushId, repository);
        return gitCredential(gitHubOf(this.config), repository, this.log);
      },
    },
    now,
  );

  private readonly runner: Runner<SessionState | null, SessionInput> = createRunner<
    SessionState | null,
    SessionInput,
    OwedSessionEffect
  >({
    step: stepSession,
    initial: null,
    store: createEffectStore(this.ctx.storage, { state: (json) => JSON.parse(json), effect: (json) => JSON.parse(json) }),
    address: sessionAddress,
    policy: sessionPolicy,
    isWanted: (state, effect) =>
      effect.type === "record.session" ||
      effect.type === "publish" ||
      effect.type === "pool.tell" ||
      isSessionEffectWanted(state, effect),
    perform: (effect, state) => {
      const { config, env } = this;
      return performSessionEffect(effect, state, {
        dataPlane: dataPlaneOf(config),
        config,
        env,
        sessions: createSessions(env.DB),
        github: gitHubOf(config),
        send: (attempt, message) => this.bridge.send(attempt, message),
        lastLines: () => this.logs.lastLines(logOwner),
        creating: () => this.noteCreateSent(),
        shutdown: (attempt, reason) => void this.bridge.send(attempt, { type: "shutdown", reason }),
        sync: (attempt, branch) => this.bridge.send(attempt, { type: "sync", branch }),
        endPrompts: ({ cause, at }) => {
          this.prompts.endAll(cause, at);
          return { ...noWork, promptCount: this.prompts.list().length };
        },
      });
    },
    derive: deriveSessionRecords,
    afterCommit: (before, after) => this.show(before, after),
    nextWakeAt: (state) => nextSessionWakeAt(state, state && this.bridge.heardAt(state.attempt)),
    clock: (state) => ({
      type: "clock",
      heardAt: state && this.bridge.heardAt(state.attempt),
      lastLines: this.logs.lastLines(logOwner),
    }),
    setAlarm: setAlarm(this.ctx),
    background: (work) => this.ctx.waitUntil(work),
    now,
    log: this.log,
  });

  private readonly writing = createWriteCredentials({
    github: () => gitHubOf(this.config),
    log: this.log,
    isInFlight: (attempt, pushId) => {
      const state = this.runner.state();
      return state !== null && pushInFlight(state, attempt) === pushId;
    },
    background: (work) => this.ctx.waitUntil(work),
  });

  private readonly pulls = createPullRequests({
    state: () => this.runner.state(),
    prompts: () => this.prompts.list(),
    dispatch: (input) => void this.runner.dispatch(input),
  });

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.runner.resume();
    // Browsers stay connected while the object sleeps; the life before this one may have ended with a view owed to them. Only parts
    // are owed, and the end of their prompt is pushed at once.
    if (this.viewers.isWatched(logOwner) && this.prompts.list().some((one) => one.status === "running")) this.views.now();
  }

  /** Begins the session; the gateway's create call is on its way before this answers. A repetition changes nothing. */
  async create(order: SessionOrder, prompt: FirstPrompt | null): Promise<Begun> {
    if (prompt && !this.runner.state()) this.prompts.add({ ...prompt, model: order.model, createdAt: order.acceptedAt });
    this.runner.dispatch({ type: "create", order });
    await this.runner.settled(recordLane, settleMs);
    return { view: this.viewNow() ?? viewOf(this.existing(), []), controlPlaneMs: this.controlPlaneMs() };
  }

  /** null: there is no such session */
  async view(): Promise<{ view: SessionView; controlPlaneMs: number | null } | null> {
    const view = this.viewNow();
    return view && { view, controlPlaneMs: this.controlPlaneMs() };
  }

  /** null: there is no such session. The same holds for each of the next. */
  async stop(): Promise<SessionView | null> {
    return this.change({ type: "stop" });
  }

  async resume(): Promise<SessionView | null> {
    return this.change({ type: "resume" });
  }

  async archive(): Promise<SessionView | null> {
    return this.change({ type: "archive" });
  }

  async restore(): Promise<SessionView | null> {
    return this.change({ type: "restore" });
  }

  async rename(title: string): Promise<SessionView | null> {
    return this.change({ type: "rename", title });
  }

  /** Makes a session of a reserved sandbox, once; null: there is none, it is for something else, or it is somebody else's. */
  async claim(claim: SessionClaim, wanted: ReservedFor, prompt: FirstPrompt | null): Promise<Begun | null> {
    const before = this.runner.state();
    if (!before || !fits(before, wanted)) return null;
    const isAgain = claim.attemptId !== undefined && before.claimedBy === claim.attemptId;
    const after = this.runner.dispatch({ type: "claim", claim });
    if (!isAgain && (before.reserved === null || !after || after.reserved !== null)) return null;
    if (prompt && !isAgain) this.prompts.add({ ...prompt, model: claim.model, createdAt: claim.acceptedAt });
    await this.runner.settled(recordLane, settleMs);
    return { view: this.viewNow() ?? viewOf(this.existing(), []), controlPlaneMs: this.controlPlaneMs() };
  }

  /** @returns null when there is nothing reserved here any more, or not for this */
  async keep(until: number, wanted: ReservedFor): Promise<{ isReady: boolean } | null> {
    const state = this.runner.state();
    if (!state?.reserved || !fits(state, wanted) || liveAttemptOf(state) === null) return null;
    const after = this.runner.dispatch({ type: "keep", until });
    return { isReady: after?.stage.at === "ready" };
  }

  /** Ends what is still reserved; a session goes on. */
  async release(): Promise<void> {
    if (this.runner.state()) this.runner.dispatch({ type: "release" });
  }

  /** Pushes and opens the pull request, or updates the one that is open. null: there is no such session */
  async requestPullRequest(demand: PullDemand): Promise<{ view: SessionView } | { refused: PullRefusal } | null> {
    const state = this.runner.state();
    if (!state || state.reserved) return null;
    const refused = await this.pulls.request(state, demand);
    const view = this.viewNow();
    return refused ? { refused } : view && { view };
  }

  /** GitHub says what became of a pull request; what is none of this session's changes nothing. */
  async hearPullRequest(found: PullFound): Promise<void> {
    if (this.runner.state()) this.runner.dispatch({ type: "pull.heard", found, isRead: false });
  }

  /** Whether the attempt's sandbox may use the model. */
  async mayUseModel(attempt: string): Promise<boolean> {
    return liveAttemptOf(this.runner.state()) === attempt;
  }

  /** Upgrades, checked by the Worker: `/bridge/<attempt>`, or `/events?after=`. */
  override async fetch(request: Request): Promise<Response> {
    const url = new URL(request.url);
    const state = this.runner.state();
    const [, kind, attempt = ""] = url.pathname.split("/");
    if (kind === "bridge") {
      const isOver = !state || state.stage.at === "ended";
      return this.bridge.upgrade(attempt, isOver ? { over: "the session is over" } : { live: liveAttemptOf(state) });
    }
    return acceptSocket((socket) => this.watch(socket, Number(url.searchParams.get("after") ?? 0)));
  }

  override webSocketMessage(socket: WebSocket, data: string | ArrayBuffer): void {
    this.bridge.message(socket, data);
  }

  override webSocketClose(socket: WebSocket): void {
    this.bridge.close(socket);
  }

  override webSocketError(socket: WebSocket): void {
    this.bridge.close(socket);
  }

  override alarm(): void {
    this.runner.wake();
  }

  private async change(input: SessionInput): Promise<SessionView | null> {
    const state = this.runner.state();
    if (!state || state.reserved) return null;
    this.runner.dispatch(input);
    await this.runner.settled(recordLane, settleMs);
    return this.viewNow();
  }

  private viewNow(): SessionView | null {
    const state = this.runner.state();
    return state && viewOf(state, this.prompts.list());
  }

  private existing(): SessionState {
    const state = this.runner.state();
    if (!state) throw new Error("The session was not created.");
    return state;
  }

  private take(attempt: string, event: RuntimeEvent, at: number): void {
    if (liveAttemptOf(this.runner.state()) !== attempt) return;
    switch (event.type) {
      case "log":
        this.print({ at, phase: event.phase, stream: event.stream, text: event.text });
        break;
      case "agent.restarted":
        this.print({
          at,
          phase: "agent",
          stream: "system",
          text: `The agent was restarted (${event.attempt}): ${event.reason}\n`,
        });
        break;
      case "prompt.delta":
        this.prompts.grew(event.promptId, event.partId, event.kind, event.delta);
        // A browser puts a delta behind what it shows. While a view is owed it shows something older, and the view will hold the delta.
        if (!this.views.isOwed()) this.viewers.send(logOwner, toDelta(event));
        break;
      case "prompt.started":
        this.prompts.started(event.promptId);
        this.views.now();
        break;
      case "prompt.part":
        this.prompts.part(event.promptId, event.part);
        // A tool sends its part anew for each line it prints, and the view holds all parts of all prompts.
        this.views.soon();
        break;
      case "prompt.finished":
        this.prompts.finished(event.promptId, event.outcome, event.error, at);
        this.views.now();
        break;
      default:
        this.runner.dispatch({ type: "runtime.event", attempt, event });
        if (event.type === "session.ready") this.sendQueued(attempt);
    }
  }

  /** Sent again after each reconnect until the runtime says that it began; the runtime knows a prompt by its id. */
  private sendQueued(attempt: string): void {
    const state = this.runner.state();
    if (state?.stage.at !== "ready") return;
    for (const { id, text, model, createdAt } of this.prompts.queued()) {
      this.bridge.send(attempt, { type: "prompt", promptId: id, text, model, createdAt });
    }
  }

  private print(entry: Parameters<typeof this.logs.append>[1]): void {
    const stored = this.logs.append(logOwner, entry);
    this.viewers.send(logOwner, { type: "log", entries: [stored] } satisfies SessionEvent);
  }

  /** The first create call's time is the one that counts: it is what the person waited for. */
  private noteCreateSent(): void {
    const { kv } = this.ctx.storage;
    const state = this.runner.state();
    if (!state || kv.get("createSentAt") !== undefined) return;
    const at = now();
    kv.put("createSentAt", at);
    const text = `The sandbox was asked for ${at - state.acceptedAt} ms after the session was accepted.\n`;
    this.print({ at, phase: "sandbox", stream: "system", text });
  }

  private controlPlaneMs(): number | null {
    const state = this.runner.state();
    const at = this.ctx.storage.kv.get<number>("createSentAt");
    return state && at !== undefined ? Math.max(0, at - state.acceptedAt) : null;
  }

  private show(before: SessionState | null, after: SessionState | null): void {
    if (!after || before === after) return;
    this.writing.settle();
    this.pulls.settle();
    const retired = before && liveAttemptOf(before) !== null && liveAttemptOf(before) !== liveAttemptOf(after);
    // A stopping session's socket is kept until its sandbox is gone: the shutdown travels on it.
    if (retired && after.stage.at !== "stopping") this.bridge.end(before.attempt);
    if (after.stage.at === "ended") this.bridge.end(after.attempt);
    this.views.now();
  }

  private showView(): void {
    if (!this.viewers.isWatched(logOwner)) return;
    const session = this.viewNow();
    if (session) this.viewers.send(logOwner, { type: "snapshot", cursor: 0, session } satisfies SessionEvent);
  }

  private watch(socket: WebSocket, after: number): void {
    this.viewers.accept(socket, logOwner);
    const session = this.viewNow();
    if (session) sendText(socket, JSON.stringify({ type: "snapshot", cursor: 0, session } satisfies SessionEvent));
    for (let cursor = after; ; ) {
      const { entries, next, end } = this.logs.read(logOwner, cursor, logPageBytes);
      if (entries.length > 0) sendText(socket, JSON.stringify({ type: "log", entries } satisfies SessionEvent));
      if (end) return;
      cursor = next;
    }
  }
}

const fits = ({ repository, branch, isDefaultBranch }: SessionState, wanted: ReservedFor): boolean =>
  imageScopeOf(repository) === wanted.scope && (wanted.branch === null ? isDefaultBranch : branch === wanted.branch);

function toDelta(event: Extract<RuntimeEvent, { type: "prompt.delta" }>): SessionEvent {
  const { promptId, partId, kind, delta } = event;
  return { type: "delta", cursor: 0, promptId, partId, kind, delta };
}
